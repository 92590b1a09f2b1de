# SPDX-License-Identifier: Apache-2.0
"""The demo: what `make demo` does after the installation, where its CPU seconds go, and when the first row is there.

`gdzoo run specs/quickstart --page` in a new home with a new cache of compiled programs. Workers write into run folders
(usage.jsonl) how many CPU seconds they have taken at each record, so a profile costs nothing.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import psutil

from harness.bench import process, row, timing

SPECS = "specs/quickstart"

EVERY = 0.2
"""Seconds between two looks for the page."""


class Part(NamedTuple):
    """What the runs of a cell took in one worker.

    Attributes:
        cell: What it is called.
        first: CPU seconds until the first record of its first seed: imports if it is the worker's first cell, programs
            compiled or read, the start measured.
        others: CPU seconds of all that came after, of all seeds.
    """

    cell: str
    first: float
    others: float


class Shown(NamedTuple):
    """When the page was there.

    Attributes:
        wall: Seconds since the command.
        seconds: CPU seconds of all processes until then.
    """

    wall: float
    seconds: float


@timing.all_cores()
def rows() -> list[row.Row]:
    """Runs the demo, and says where its CPU seconds went."""
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder) / "home"
        home.mkdir()
        where = {"GDZOO_HOME": str(home), "XDG_CACHE_HOME": folder, "JAX_COMPILATION_CACHE_DIR": f"{folder}/programs"}
        command = [sys.executable, "-m", "gdzoo"]
        process.spent([*command, "store", "init"], where)
        shown: list[Shown] = []
        watching = threading.Thread(target=_watch, args=(home / "site" / "index.html", shown), daemon=True)
        watching.start()
        took = process.spent([*command, "run", SPECS, "--page"], where)
        watching.join(2 * EVERY)
        found = parts((home / "runs").glob("*/*"))
    group = f"gdzoo run {SPECS} --page in a new home: CPU seconds"
    workers = sum(part.first + part.others for part in found)
    told = f"{took.wall:.3g} s on the clock, {took.peak / 2**30:.2f} GiB in the largest process at its peak"
    made = [row.Row(group, "all", took.seconds, note=told)]
    made += [row.Row(group, "until the first row of the page", one.seconds, note=f"{one.wall:.3g} s") for one in shown]
    for part in found:
        note = f"{part.first:.3g} until the first record, {part.others:.3g} after it"
        made.append(row.Row(group, part.cell, part.first + part.others, note=note))
    made.append(row.Row(group, "orders, store and pages", took.seconds - workers, note="whatever no worker did"))
    share = sum(part.first for part in found) / took.seconds
    return [*made, row.Row(group, "until first records / all", share, note="mostly compiling")]


def parts(folders: Iterable[pathlib.Path]) -> list[Part]:
    """Returns what the runs in some folders took, cell by cell, in the order in which workers did them."""
    found: list[Part] = []
    for looks in _looks(folders).values():
        before, mine = 0.0, dict[str, Part]()
        for seconds, cell in sorted(looks):
            spent, known = seconds - before, mine.get(cell)
            mine[cell] = Part(cell, spent, 0.0) if known is None else known._replace(others=known.others + spent)
            before = seconds
        found += mine.values()
    return found


def _looks(folders: Iterable[pathlib.Path]) -> dict[str, list[tuple[float, str]]]:
    """Returns for each worker its CPU seconds at each record, with the name of the cell."""
    looks: dict[str, list[tuple[float, str]]] = {}
    for folder in sorted(folders):
        label = json.loads((folder / "run.json").read_text(encoding="utf-8"))["label"]
        worker = (folder / "lock").read_text(encoding="utf-8").split()[1]
        for line in (folder / "usage.jsonl").read_text(encoding="utf-8").splitlines():
            looks.setdefault(worker, []).append((json.loads(line)["values"]["cpu_seconds"], label))
    return looks


def _watch(page: pathlib.Path, shown: list[Shown]) -> None:
    """Takes note of when a page is there, and what this process's children took until then."""
    began = time.monotonic()
    own = psutil.Process(os.getpid())
    while not shown:
        time.sleep(EVERY)
        if page.exists():
            shown.append(Shown(time.monotonic() - began, sum(_taken(own.children(recursive=True)))))


def _taken(children: Iterable[psutil.Process]) -> Iterator[float]:
    """Yields the CPU seconds of processes, with those of their own children that have ended."""
    for child in children:
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        yield times.user + times.system + times.children_user + times.children_system
