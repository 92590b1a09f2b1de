# SPDX-License-Identifier: Apache-2.0
"""The profile of the demo is what workers wrote into run folders, counted by hand."""

from __future__ import annotations

import json
import pathlib

from harness.bench import demo


def written(folder: pathlib.Path, process: int, cell: str, seed: int, seconds: list[float]) -> None:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"label": cell, "seed": seed}), encoding="utf-8")
    (folder / "lock").write_text(f"process {process} on vm since 2026", encoding="utf-8")
    lines = [json.dumps({"step": step, "values": {"cpu_seconds": one}}) for step, one in enumerate(seconds)]
    (folder / "usage.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_cell_takes_what_its_worker_took_since_the_last_one(tmp_path: pathlib.Path) -> None:
    written(tmp_path / "a-s0", 7, "a", 0, [10.0, 12.0, 16.0])
    written(tmp_path / "a-s1", 7, "a", 1, [11.0, 13.0, 17.0])  # side by side
    written(tmp_path / "b-s0", 7, "b", 0, [37.0, 40.0])
    written(tmp_path / "c-s0", 8, "c", 0, [5.0, 6.0])
    assert demo.parts(tmp_path.glob("*")) == [
        demo.Part("a", 10.0, 7.0),
        demo.Part("b", 20.0, 3.0),
        demo.Part("c", 5.0, 1.0),
    ]
