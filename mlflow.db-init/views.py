# SPDX-License-Identifier: Apache-2.0
"""Views: comparisons of runs that are prepared in MLflow's UI, written in views/*.json and kept as tags of experiments.

The form of the tags is MLflow's own and not documented: what its UI writes when somebody shares a view (MLflow 3.17).
`tests/browser/test_ui.py` looks whether it still shows them. Without them the UI works as it comes.
"""

from __future__ import annotations

import base64
import json
import pathlib
import zlib
from collections.abc import Sequence
from typing import Any

FOLDER = pathlib.Path(__file__).resolve().parent / "views"
PREFIX = "mlflow.sharedViewState."
MADE = 1_795_000_000_000
"""When the views were made, in milliseconds since 1970; MLflow sorts by it. Fixed, so that equal views are equal."""

CELL = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "gdzoo.cell"}]}
"""One line for each cell: the mean over its seeds, with their range as a band."""

STEPS = {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""}


def names() -> list[str]:
    """Returns the names of the views, by which links call them."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def tags(differing: Sequence[str] = (), *, traced: bool = True) -> dict[str, str]:
    """Returns the tags that bring every view into an experiment.

    Args:
        differing: The parameters in which runs of the experiment differ, which then are the ones that stand in
            columns; without any the views' own.
        traced: Whether runs of the experiment have traces; without any, a view has not the sections that it calls
            `traced`, which would stand there empty.
    """
    found = {}
    for name in names():
        view = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
        if differing:
            others = [column for column in view["columns"] if not column.startswith("params.")]
            view["columns"] = [f"params.`{param}`" for param in differing] + others
        for section in () if traced else view.get("traced", ()):
            del view["sections"][section]
        found[f"{PREFIX}{name}"] = encoded(view)
    return found


def encoded(view: dict[str, Any]) -> str:
    """Returns the value of the tag of a view."""
    packed = base64.b64encode(zlib.compress(json.dumps(state(view), ensure_ascii=False).encode(), 9)).decode()
    return json.dumps(
        {"name": view["name"], "createdAt": MADE, "updatedAt": MADE, "state": f"deflate;{packed}"}, ensure_ascii=False
    )


def state(view: dict[str, Any]) -> dict[str, Any]:
    """Returns the state of MLflow's page of runs that shows a view."""
    sections, charts = [], []
    for number, (title, drawn) in enumerate(view["sections"].items()):
        section = f"gdzoo-{number}"
        sections.append({"uuid": section, "name": title, "display": True, "isReordered": False})
        charts += [_chart(one, section, f"{section}-{place}") for place, one in enumerate(drawn)]
    return {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "lifecycleFilter": "Active",
        "selectedColumns": view["columns"],
        "runsHiddenMode": "SHOWALL",
        "groupBy": CELL,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "isAccordionReordered": True,
        "autoRefreshEnabled": True,
        "globalLineChartConfig": STEPS,
        "compareRunSections": sections,
        "compareRunCharts": charts,
    }


def _chart(one: dict[str, str], section: str, key: str) -> dict[str, Any]:
    """Returns a chart as MLflow keeps it: a curve over steps, or a bar for each cell."""
    kind, metric = ("LINE", one["line"]) if "line" in one else ("BAR", one["bar"])
    chart = {
        "type": kind,
        "uuid": key,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "metricKey": metric,
        "displayName": one["title"],
    }
    if kind == "BAR":
        return chart | {"runsCountToCompare": 100}
    scales = {"scaleType": one.get("scale", "linear"), "xAxisScaleType": one.get("steps", "linear")}
    curve = {"selectedMetricKeys": [metric], **scales}
    return chart | curve | STEPS | {"range": {}, "useGlobalXaxisKey": True, "useGlobalLineSmoothing": True}
