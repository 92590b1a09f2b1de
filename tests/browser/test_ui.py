# SPDX-License-Identifier: Apache-2.0
"""The prepared comparison in MLflow's UI, whose form is MLflow's own: does the installed one still show it?"""

from __future__ import annotations

import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from playwright import sync_api

from harness import workspace
from harness.tracking import client, store, upload

SECTION = "Loss, η·λ_max and σ_min"
PATIENCE = 120_000  # milliseconds


@pytest.fixture
def link(store_uri: str, home: pathlib.Path, sample: ModuleType, free_port: Callable[[], int]) -> Iterator[str]:
    """What `gdzoo ui` prints for a suite with two cells of two seeds, while it runs."""
    store.init(store_uri)
    opened = client.open_store(store_uri)
    gelu = {"model": {"family": "mlp", "hidden": [16, 16], "activation": "gelu"}}
    for seed in range(2):
        upload.upload(opened, sample.folder(home / "runs", "relu", seed, suite="elsewhere"))
        name = "mlp · activation=gelu"
        made = sample.folder(home / "runs", "gelu", seed, cell=gelu, label=name, suite="elsewhere")
        for file, text in zip(("trace.jsonl", "steps.csv"), sample.trace(sample.facts("gelu", seed)), strict=True):
            (made / file).write_text(text)
        upload.upload(opened, made)
    with subprocess.Popen(
        [sys.executable, "-m", "gdzoo", "ui", "--port", str(free_port())],
        cwd=workspace.CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    ) as asked:
        assert asked.stdout is not None
        said = [asked.stdout.readline() for _ in range(3)]
        found = re.fullmatch(r"  elsewhere, 4 runs: (http://127\.0\.0\.1:\S+)\n", said[1])
        try:
            assert found is not None, said
            yield found[1]
        finally:
            asked.send_signal(signal.SIGINT)


def test_one_link_shows_loss_sharpness_and_distance_of_all_cells(link: str, browser: sync_api.Browser) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(PATIENCE)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(link)
    page.get_by_text(SECTION).first.wait_for()
    cards = page.get_by_test_id("experiment-view-compare-runs-card")
    for place, metric in enumerate(("train/loss", "map/eta_sharpness", "map/sigma_min")):
        cards.nth(place).get_by_text(metric, exact=True).first.wait_for()
        cards.nth(place).locator("g.trace").first.wait_for(state="attached")
        names = cards.nth(place).get_by_text(re.compile(r"^mlp · activation=(relu|gelu) \["))
        assert {name.split(" [")[0] for name in names.all_inner_texts()} == {
            "mlp · activation=relu",
            "mlp · activation=gelu",
        }, "a line for each cell"
    assert page.get_by_text("Group by: gdzoo.cell").count() == 1
    flow = cards.filter(has=page.get_by_text("flow/eta_lambda_1", exact=True)).first
    flow.scroll_into_view_if_needed()
    flow.locator("g.trace").first.wait_for(state="attached")
    flow.get_by_text(re.compile(r"^mlp · activation=gelu \[")).first.wait_for()
    ticks = [text.replace("−", "-") for text in flow.locator("g.xtick text").all_text_contents()]
    assert {"1", "10", "100"} <= set(ticks), "steps on a logarithmic axis"
    origin = link.split("/#")[0]
    strangers = [url for url in asked if not url.startswith((origin, "data:", "blob:"))]
    assert strangers == []
    page.close()
