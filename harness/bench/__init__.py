# SPDX-License-Identifier: Apache-2.0
"""BENCHES: what `gdzoo bench` measures again, and the table it prints."""

from __future__ import annotations

import dataclasses
import datetime
import json
import platform
from collections.abc import Callable
from typing import Any

import rich.console

from harness import errors
from harness.bench import crossover, curvature, device, large, row, scaling, start, store, timing, trace, training
from harness.jobs import progress
from harness.runtime import provenance


@dataclasses.dataclass(frozen=True)
class Bench:
    """One row of BENCHES.

    Attributes:
        title: What it measures.
        minutes: How long it takes, whole and quick, in CPU minutes.
        units: From `quick` to its parts.
        one_core: Whether the process keeps to one core.
    """

    title: str
    minutes: str
    units: Callable[[bool], list[curvature.Unit]]
    one_core: bool


BENCHES: dict[str, Bench] = {
    "curvature": Bench("the curvature engine against its peers", "25, quick 6", curvature.units, one_core=True),
    "training": Bench(
        "the training loop against a scan by hand and PyTorch", "15, quick 3", training.units, one_core=True
    ),
    "start": Bench("from a command to its first step; commands and the demo", "7", start.units, one_core=False),
    "scaling": Bench("a step against examples, parameters and seeds", "2", scaling.units, one_core=True),
    "store": Bench("MLflow's store: writing runs, reading them in bulk", "40, quick 2", store.units, one_core=False),
    "trace": Bench(
        "eigenvalues followed from step to step, against asking cold", "10, quick 3", trace.units, one_core=True
    ),
    "device": Bench("whatever device is there against a CPU, and at full width", "8", device.units, one_core=False),
    "crossover": Bench("a survey by Lanczos against the dense method", "15, quick 4", crossover.units, one_core=True),
    "large": Bench("VGG-16 at full width: 15 million parameters", "20, quick 1", large.units, one_core=False),
}


def find(what: str) -> Bench:
    """Returns a row of BENCHES.

    Raises:
        errors.InputError: If there is no such bench.
    """
    if what not in BENCHES:
        allowed = ", ".join(BENCHES)
        raise errors.InputError(f"there is no bench '{what}'; allowed: {allowed}{errors.nearest(what, BENCHES)}")
    return BENCHES[what]


def show(what: str, quick: bool, device: str, console: rich.console.Console, *, as_json: bool) -> bool:
    """Measures a bench and prints its table; says whether nothing was refused.

    Raises:
        errors.Stopped: On Ctrl-C or SIGTERM, after what was measured has been printed.
    """
    units = find(what).units(quick)
    rows: list[row.Row] = []
    try:
        with progress.bar(rich.console.Console(stderr=True), len(units), "parts") as bar:
            for unit in units:
                bar.begin(unit.title, 1)
                rows += unit.rows()
                bar.end()
    except KeyboardInterrupt:
        raise errors.Stopped(
            f"stopped: {len(rows)} rows were measured; they are of one run, so the others need a new one"
        ) from None
    finally:
        _print(_facts(what, quick, device), rows, console, as_json=as_json)
    return not any(each.refused for each in rows)


def _print(facts: dict[str, Any], rows: list[row.Row], console: rich.console.Console, *, as_json: bool) -> None:
    """Prints rows, those of a group together, and what a table needs to be compared with another."""
    groups = {name: place for place, name in enumerate(dict.fromkeys(each.group for each in rows))}
    rows = sorted(rows, key=lambda each: groups[each.group])
    if as_json:
        print(json.dumps({**facts, "rows": [each.as_dict() for each in rows]}, ensure_ascii=False, indent=2))
    else:
        row.show(rows, console)
        console.print(f"{facts['command']}, {facts['date']}, {facts['device']}, {facts['clock']}", highlight=False)


def _facts(what: str, quick: bool, device: str) -> dict[str, Any]:
    """Returns what a table needs to be compared with another."""
    return {
        "command": f"gdzoo bench {what}{' --quick' if quick else ''}",
        "date": datetime.date.today().isoformat(),
        "device": device,
        "python": platform.python_version(),
        "commit": provenance.commit()[0],
        "versions": provenance.versions(),
        "clock": "CPU seconds of one core" if find(what).one_core else "all cores",
        "rounds": f"interleaved, medians; ± is half the interquartile range; again where beyond {timing.SPREAD:.0%}",
    }
