# SPDX-License-Identifier: Apache-2.0
"""Commands: what each of them takes in processes of its own, and what is remembered from one to the next.

All in a new home with a new cache of compiled programs, one after the other, as somebody does on the first day.
"""

from __future__ import annotations

import pathlib
import sys
import tempfile

from harness.bench import process, row, timing

SPEC = "specs/quickstart/mlp.yaml"

COMMANDS = {
    "gdzoo --help": ["--help"],
    "gdzoo list": ["list"],
    f"gdzoo check {SPEC}": ["check", SPEC],
    f"gdzoo check {SPEC}, again": ["check", SPEC],
    f"gdzoo certify {SPEC}": ["certify", SPEC],
    "gdzoo store init": ["store", "init"],
    f"gdzoo run {SPEC} --seeds 1": ["run", SPEC, "--seeds", "1"],
    f"gdzoo run {SPEC} --seeds 1, again": ["run", SPEC, "--seeds", "1"],
    "gdzoo status": ["status"],
    "gdzoo board build": ["board", "build"],
    "gdzoo board build, again": ["board", "build"],
}
"""What is said, in this order."""


@timing.all_cores()
def rows() -> list[row.Row]:
    """Runs COMMANDS; CPU seconds and peak memory of each, and what a second time costs of the first."""
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder)
        where = {"GDZOO_HOME": str(home / "home"), "GDZOO_BOARD": str(home / "board"), "XDG_CACHE_HOME": str(home)}
        (home / "home").mkdir()
        found = {
            name: process.spent([sys.executable, "-m", "gdzoo", *words], where) for name, words in COMMANDS.items()
        }
    group = "commands, one after the other in a new home: CPU seconds"
    made = [
        row.Row(group, name, took.seconds, note=f"{took.wall:.3g} s, {took.peak / 2**30:.2f} GiB at the peak")
        for name, took in found.items()
    ]
    for name, took in found.items():
        if name.endswith(", again"):
            first = found[name.removesuffix(", again")]
            share = took.seconds / first.seconds
            made.append(row.Row("a second time / the first, CPU", name, share, target=row.Target(0.5)))
    return made
