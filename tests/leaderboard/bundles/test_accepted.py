# SPDX-License-Identifier: Apache-2.0
"""What is remembered of a bundle is what it says, of its very bytes and this code, and no way around a check."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

from harness import errors, workspace
from harness.runtime import compilation_cache
from leaderboard import code
from leaderboard.bundles import accepted, reading
from leaderboard.bundles import bundle as bundles

SHIPPED = workspace.CHECKOUT / "leaderboard" / "submissions" / "quickstart"


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A copy of the smallest shipped bundle, and a memory of this test alone."""
    monkeypatch.setattr(compilation_cache, "folder", lambda: tmp_path / "cache" / "xla")
    source = min(SHIPPED.iterdir(), key=lambda folder: sum(file.stat().st_size for file in folder.rglob("*")))
    return pathlib.Path(shutil.copytree(source, tmp_path / "quickstart" / source.name))


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows by each bundle that is judged."""
    found: list[None] = []
    parse = reading.parse

    def noted(files: dict[str, bytes]) -> bundles.Bundle:
        found.append(None)
        return parse(files)

    monkeypatch.setattr(reading, "parse", noted)
    return found


def test_the_second_asking_judges_nothing_and_says_the_same(folder: pathlib.Path, judged: list[None]) -> None:
    first, second = accepted.accepted(folder), accepted.accepted(folder)
    assert len(judged) == 1
    assert first == second
    bundle = reading.read(folder)
    assert (first.runs, first.digest, first.name) == (bundle.runs, bundle.digest, bundle.name)


def test_another_byte_and_another_version_are_judged_anew(
    folder: pathlib.Path, judged: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted.accepted(folder)
    monkeypatch.setattr(code, "digest", lambda: "another version")
    accepted.accepted(folder)
    assert len(judged) == 2
    records = folder / "seed-0" / "records.jsonl"
    records.write_bytes(records.read_bytes()[:-1] + b" \n")
    with pytest.raises(errors.Rejected, match="its size or SHA-256 differs"):
        accepted.accepted(folder)


def test_a_bundle_that_contradicts_itself_is_rejected_each_time(
    folder: pathlib.Path, judged: list[None], tmp_path: pathlib.Path
) -> None:
    files = reading.files(folder)
    facts = json.loads(files["seed-0/run.json"])
    facts["verdict"] = "singular"
    files["seed-0/run.json"] = json.dumps(facts).encode()
    manifest = json.loads(files[bundles.MANIFEST])
    for name, content in bundles.with_manifest(files, manifest).items():
        (folder / name).write_bytes(content)
    for _ in range(2):
        with pytest.raises(errors.Rejected, match="verdict"):
            accepted.accepted(folder)
    assert len(judged) == 2
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", ["", "{}", "key", "key\n{}", "run"])
def test_what_cannot_be_read_is_judged_anew(folder: pathlib.Path, judged: list[None], damage: str) -> None:
    first = accepted.accepted(folder)
    memory = accepted.place(folder)
    whole = memory.read_text(encoding="utf-8")
    key, _, run = whole.partition("\n")
    edited = run.replace('"status":"finished"', '"status":"a status that is none"')
    memory.write_text(damage.replace("key", key) if damage != "run" else f"{key}\n{edited}", encoding="utf-8")
    assert accepted.accepted(folder) == first
    assert len(judged) == 2
    assert memory.read_text(encoding="utf-8") == whole
