# SPDX-License-Identifier: Apache-2.0
"""What the page of a traced run says and draws: against a flow by formula, and against one counted by hand."""

from __future__ import annotations

import html
import json
import re
from types import ModuleType

import pytest

from leaderboard.export import document
from leaderboard.site import drawing, pages, tracing


def site(*runs: document.Run) -> dict[str, bytes]:
    """Returns the site of some runs of one suite."""
    ordered = sorted(runs, key=document.order)
    return pages.render(document.compose([document.Suite(name=runs[0].suite, note="")], ordered))


def trace(**changes: object) -> document.Trace:
    """Returns a trace of two followed eigenvalues and the least one at three steps."""
    plain: dict[str, object] = {
        "steps": (0, 1, 9),
        "eta": (0.5, 0.5, 0.25),
        "values": ((3.0, 1.0, 8.0), (1.0, None, 2.0), (-1.0, -1.0, -4.0)),
        "errors": ((0.0, 0.2, 0.0), (0.0, None, 0.0), (0.0, 0.0, 0.0)),
        "batch_sharpness": (None, None, None),
        "batch_sharpness_error": (None, None, None),
        "missed": (0, 2, 0),
        "loss_steps": (0, 1),
        "losses": (1.0, 0.1),
    }
    return document.Trace.model_validate(plain | changes)


def test_curves_are_eta_times_the_eigenvalues_with_the_step_size_of_their_step() -> None:
    first, second, least = tracing.traced(trace()).curves
    assert (first.label, first.look, first.values, first.errors) == ("η·λ₁", "first", (1.5, 0.5, 2.0), (0.0, 0.1, 0.0))
    assert (second.label, second.look, second.values) == ("η·λ₂", "rest", (0.5, None, 0.5))
    assert (least.label, least.look, least.values, least.crosses) == ("η·λ_min", "least", (-0.5, -0.5, -1.0), False)
    batches = {"batch_sharpness": (4.0, 2.0, None), "batch_sharpness_error": (1.0, 1.0, None)}
    batch = tracing.traced(trace(**batches)).curves[-1]
    assert (batch.look, batch.values, batch.errors) == ("batch", (2.0, 1.0, None), (0.5, 0.5, None))
    huge = tracing.traced(trace(eta=(10.0, 0.5, 0.5), values=((1e308, 0, 0), (0, 0, 0), (0, 0, 0))))
    assert huge.curves[0].values[0] is None, "what is too large for a number"


def test_a_column_of_error_bars_for_each_eigenvalue() -> None:
    with pytest.raises(ValueError, match="error bars"):
        trace(errors=((0.0, 0.2, 0.0),))
    with pytest.raises(ValueError, match="for each of its steps"):
        trace(batch_sharpness_error=(None,))


def test_the_flow_is_drawn_where_it_belongs_with_a_circle_where_a_curve_comes_to_the_other_side_of_1() -> None:
    flow = tracing.traced(trace())
    found = drawing.flow(flow)
    low, high = tracing.span([1.5, 0.5, 2.0, -1.0])
    assert (low, high) == pytest.approx((-1.15, 2.15))

    def up(value: float) -> float:
        return pytest.approx(260 - 250 * (value - low) / (high - low), abs=0.06)

    def across(share: float) -> float:
        return pytest.approx(70 + 550 * share, abs=0.06)

    half = 0.30103  # log 2 / log 10
    assert [(dot.x, dot.y) for dot in found.dots] == [
        (across(half / 2), up(1)),  # from 1.5 to 0.5: half of the way
        (across(half + (1 - half) / 3), up(1)),  # from 0.5 to 2: a third
    ], "none for the second eigenvalue, which stays below 1, and none for the least"
    assert [(level.at, level.label) for level in found.levels] == [(up(1), "1: singular"), (up(2), "2: unstable above")]
    assert found.lines[0].path == f"M70 {260 - 250 * 2.65 / 3.3:.1f}L235.6 135L620 21.4"
    assert found.lines[0].band and not found.lines[1].band, "an error bar of 0.1 is 8 pixels high"
    assert found.bars == ("M235.6 260v-10",), "at the step at which a survey found two more"


def test_what_lies_beyond_the_axis_is_at_its_rim() -> None:
    values = ((3.0, 1e6, 8.0), (1.0, None, 2.0), (-1.0, -1e9, -4.0))
    flow = tracing.traced(trace(values=values))
    first, _, least = drawing.flow(flow).lines
    assert first.path.split("L")[1].split() == ["235.6", "10"] and least.path.split("L")[1].split() == ["235.6", "260"]


def test_the_caption_says_what_was_drawn_and_what_was_missed(sample: ModuleType) -> None:
    def said(run: document.Run) -> str:
        assert run.trace is not None
        return " ".join(tracing.said(run, tracing.traced(run.trace)))

    right = said(sample.traced())
    assert "at 160 of 301 trace points" in right and "15 surveys at trace points none found" in right
    assert "kink" not in right and "so that more may" not in right and "rim" not in right
    assert "standard error" not in right
    batches = {"optimizer": {"name": "sgd", "learning_rate": 0.1, "batch_size": 64}}
    assert "one standard error" in said(sample.traced(cell=batches))
    missed = said(sample.traced(missed=(100, 102)))
    assert "2 eigenvalues (bold at the foot: steps 100, 102)" in missed
    assert "2 eigenvalues" not in right
    assert "At 261 points all that were followed lie above 1" in said(sample.traced(top=1))


def test_the_page_of_a_traced_run_has_its_figures_and_others_have_none(sample: ModuleType) -> None:
    run, other = sample.traced(missed=(100,)), sample.run("mlp", 0)
    files = site(run, other)
    page = html.unescape(files[f"run/{run.suite}/{run.run_id}.html"].decode())
    assert page.index('data-trace="flow"') < page.index('data-trace="losses"') < page.index('class="plots"')
    assert page.count('class="hollow"') == 1 + 2, "in the key, and where two of the three cross"
    assert '"without":"loss"' in page
    for name in ("trace_points", "trace_crossings", "trace_missed", "trace_closest"):
        assert f'method.html#metric-{name}"' in page, "the numbers of the whole trace, with their definitions"
    script = files[f"data/trace/run/{run.suite}/{run.run_id}.js"].decode()
    told = json.loads(re.sub(r"(?<=[\[,-])\.", "0.", script.partition(",")[2].rpartition(")")[0]))
    assert told["missed"] == [100] and [label for label, *_ in told["curves"]] == ["η·λ₁", "η·λ₂", "η·λ₃", "η·λ_min"]
    plain = files[f"run/{other.suite}/{other.run_id}.html"].decode()
    assert "data-trace" not in plain and "flow." not in plain and "without" not in plain
    assert f"data/trace/run/{other.suite}/{other.run_id}.js" not in files


def test_the_loss_of_a_mini_batch_is_called_so(sample: ModuleType) -> None:
    batches = {"optimizer": {"name": "sgd", "learning_rate": 0.1, "batch_size": 64}}
    assert "of its mini-batch of 64 examples" in tracing.said_of_losses(sample.traced(cell=batches))
    assert "of the whole training set" in tracing.said_of_losses(sample.traced())
