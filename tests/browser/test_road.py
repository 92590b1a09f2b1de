# SPDX-License-Identifier: Apache-2.0
"""The whole road on the quickstart suite: specs, runs, MLflow, board, and a browser that reads it from disk."""

from __future__ import annotations

import pathlib
import re
from typing import NamedTuple

import mlflow
import pytest
from playwright import sync_api

from harness import config, diagnostics, metrics, specs
from tests import builders, front_door

ROOT = pathlib.Path(__file__).parents[2]
SUITE = ROOT / "specs" / "quickstart"


def gdzoo(*words: str, home: pathlib.Path) -> str:
    """Says a command that must succeed; returns what it printed."""
    code, out, err = front_door.say(*words, home=home)
    assert code == 0, err
    return out


class Road(NamedTuple):
    """A workspace in which some specs were run with one seed, and its board built."""

    home: pathlib.Path
    specs: list[pathlib.Path]

    @property
    def cells(self) -> list[config.Cell]:
        """The configurations of the specs."""
        return [cell for spec in specs.read_all(self.specs) for cell in spec.cells]

    def run(self) -> str:
        """Makes what is missing of one seed; returns what is printed."""
        return gdzoo("run", *map(str, self.specs), "--seeds", "1", home=self.home)


@pytest.fixture(scope="module", params=builders.tiers(["mlp.yaml", "*.yaml"], quick=["mlp.yaml"]))
def road(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Road:
    """The MLPs of the quickstart suite; in the larger tier all of it."""
    road = Road(tmp_path_factory.mktemp("road"), sorted(SUITE.glob(request.param)))
    gdzoo("store", "init", home=road.home)
    assert f"{len(road.cells)} runs made" in road.run()
    assert "page:" in gdzoo("board", "build", home=road.home)
    return road


def test_every_cell_is_in_mlflow_with_all_its_metrics(road: Road) -> None:
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{road.home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("gdzoo: quickstart")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    expected = {cell.cell_id for cell in road.cells}
    assert {run.data.tags["gdzoo.cell_id"] for run in runs} == expected
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.tags["gdzoo.status"] == "finished"
        asked = {metric for name in diagnostics.DEFAULT for metric in diagnostics.DIAGNOSTICS[name].metrics}
        assert {metrics.METRICS[name].key(name) for name in asked} <= set(run.data.metrics)
        assert run.data.metrics["train/loss"] < 0.45
        assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"cell.yaml", "records.jsonl"}
    histories = [len(client.get_metric_history(runs[0].info.run_id, key)) for key in ("train/loss", "map/sigma_min")]
    assert histories == [12, 12]


def test_the_browser_reads_table_and_run_pages_from_disk(road: Road, browser: sync_api.Browser) -> None:
    wrong: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith("file://") else wrong.append(request.url))
    page.goto((road.home / "site" / "index.html").as_uri())
    labels = {cell.label for cell in road.cells}
    shown = [text.strip() for text in page.locator("table.cells tbody th a").all_inner_texts()]
    assert sorted(shown) == sorted(labels)
    row = page.locator("table.cells tbody tr", has_text="mlp · activation=relu")
    assert "invertible" in row.inner_text()
    row.get_by_label("run of seed 0").click()
    page.wait_for_url(re.compile(r"/run/quickstart/[0-9a-f]{12}-s0\.html$"))
    assert page.locator("h1").inner_text().startswith("mlp · activation=relu")
    assert page.locator("figure").count() == 8
    assert page.locator("figure").first.inner_text().startswith("Flow of the eigenvalues")
    assert all(figure.locator("svg").count() for figure in page.locator("figure").all())
    drawn = page.locator("figure").all_inner_texts()
    assert any("1/η" in text and "2/η" in text for text in drawn)
    assert "gdzoo run specs/quickstart/mlp.yaml" in page.inner_text("body")
    page.close()
    assert wrong == []


def test_a_second_pass_changes_nothing(road: Road) -> None:
    site = road.home / "site"
    before = {file: file.stat().st_mtime_ns for file in site.rglob("*") if file.is_file()}
    assert "0 runs made" in road.run()
    gdzoo("board", "build", home=road.home)
    assert {file: file.stat().st_mtime_ns for file in site.rglob("*") if file.is_file()} == before
