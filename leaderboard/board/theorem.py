# SPDX-License-Identifier: Apache-2.0
"""What the theorem says of a run, worked out here from its cell; what `run.json` says about it is not believed."""

from __future__ import annotations

from harness import theory
from harness.records import verdict as verdict_rule
from harness.runs import conclusions
from harness.training import optimizers
from leaderboard.export import cell_theory, document

LABELS: dict[theory.Covered, str] = {
    "theorem 1": "Theorem 1",
    "proposition 11": "Proposition 11",
    "extension F11": "F11 (ours)",
    "extension F7": "F7 (ours)",
    "outside": "outside",
    "not known": "not known",
}
"""What a map is covered by, best first, as the table prints it."""


def known(run: document.Run) -> theory.Theory | None:
    """Returns what the theorem says of a run's map; None if this version does not understand its cell."""
    return cell_theory.theory_of(run.cell_text, run.dataset.shape, run.dataset.classes)


def match(run: document.Run) -> theory.Match | None:
    """Returns the known bad step that a step size of a run is, or is next to; None if there is none."""
    says, fields = known(run), cell_theory.recipe_of(run.cell_text)
    if says is None or fields is None or run.eta is None or not says.bad_steps:
        return None
    used = optimizers.step_sizes(fields, run.eta, conclusions.made(run.steps, run.diverged_at))
    return theory.matches(says, used, run.precision)


def iterated(run: document.Run) -> str:
    """Says which map the verdict on a run with mini-batches is about; empty for a full batch, or without a verdict."""
    says, fields = known(run), cell_theory.recipe_of(run.cell_text)
    if says is None or fields is None or run.verdict is None:
        return ""
    return theory.iterated(says, fields.optimizer, match(run))


def doubt(run: document.Run) -> str:
    """Says at which logged step a run is undecided, and why; empty where it is not."""
    if run.verdict != "undecided":
        return ""
    said = run.doubt and verdict_rule.Doubt(run.doubt.step, run.doubt.because, run.doubt.steps)
    found = said or verdict_rule.doubt(run.recorded)
    return "" if found is None else found.words


def failure(run: document.Run) -> float:
    """Returns the probability over random starts of Lanczos that the verdict of a run is false, at most."""
    settled = proven(run) is not None
    return conclusions.failure(len(run.steps), run.verdict or "", proven=settled, curvature=run.curvature)


def proven(run: document.Run) -> str | None:
    """Returns why the map of a run's optimizer is singular at no step size, whatever the network; None if it may be."""
    row = optimizers.OPTIMIZERS.get(str(run.part("optimizer").get("name")))
    return theory.FIXED_VOLUME if row is not None and row.never_singular else None
