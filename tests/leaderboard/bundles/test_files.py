# SPDX-License-Identifier: Apache-2.0
"""Archives and folders of strangers: a name, a link or a byte that belongs to no bundle refuses the whole."""

from __future__ import annotations

import io
import os
import pathlib
import stat
import struct
import warnings
import zipfile
from typing import Any

import pytest

from harness import errors
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import reading, submissions

Files = dict[str, bytes]


def archive(entries: list[tuple[str, bytes]], **facts: Any) -> bytes:
    """A zip with entries as they are given, whatever their names."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in entries:
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name
            info.external_attr = facts.get("mode", 0) << 16
            made.writestr(info, content, zipfile.ZIP_DEFLATED)
    return held.getvalue()


NAMES = [
    *("../evil", "/evil", "C:evil", "..\\evil", "seed-0/../../evil", "seed-0/run.json/", "SEED-0/run.json"),
    *("seed-00/run.json", "cell.yaml\0.exe", "bundle.json ", "./bundle.json", "seed-0/states.npz", "seed-0/x.zip"),
    "seed-0\uff0frun.json",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_a_zip_are_ours_or_it_is_refused(name: str, files: Files, tmp_path: pathlib.Path) -> None:
    (tmp_path / "b.zip").write_bytes(archive([*files.items(), (name, b"x")]))
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(errors.Rejected, match="rejected"):
        reading.read(tmp_path / "b.zip")
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_archives_that_are_more_than_they_say_are_refused(files: Files, tmp_path: pathlib.Path) -> None:
    good = bundles.zipped(files)
    file = tmp_path / "b.zip"
    file.write_bytes(good)
    assert reading.read(file).digest == reading.parse(files).digest
    assert bundles.zipped(files) == good
    bomb = archive([("cell.yaml", b"\0" * (1 << 16))])
    lying = bytearray(archive([("cell.yaml", os.urandom(5000))]))
    place = lying.rindex(b"PK\x01\x02")
    lying[place + 24 : place + 28] = struct.pack("<I", 7)
    link = archive([*files.items()], mode=stat.S_IFLNK | 0o777)
    for content, message in (
        (good + b"x", "bytes before or behind|no zip"),
        (b"#!/bin/sh\n" + good, "bytes before or behind"),
        (good[: len(good) // 2], "no zip that can be read"),
        (b"", "no zip"),
        (archive([*files.items(), ("cell.yaml", b"x")]), "holds a file twice"),
        (archive([("cell.yaml", b"x")] * 700), "more than any bundle"),
        (bomb, "would become 65536 bytes"),
        (bytes(lying), "no zip|no bundle.json|CRC"),
        (link, "is not a regular file"),
    ):
        file.write_bytes(content)
        with pytest.raises(errors.Rejected, match=message):
            reading.read(file)


def test_links_devices_and_strangers_in_a_folder_are_refused(files: Files, tmp_path: pathlib.Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")

    def link(folder: pathlib.Path) -> None:
        (folder / "cell.yaml").unlink()
        (folder / "cell.yaml").symlink_to(secret)

    def linked_folder(folder: pathlib.Path) -> None:
        (folder / "seed-7").symlink_to(tmp_path)

    def pipe(folder: pathlib.Path) -> None:
        (folder / "seed-0" / "records.jsonl").unlink()
        os.mkfifo(folder / "seed-0" / "records.jsonl")

    for number, (change, message) in enumerate(
        (
            (link, "cell.yaml is not a regular file"),
            (linked_folder, "'seed-7' is not a file of a bundle"),
            (pipe, "is not a regular file"),
            (lambda folder: (folder / "run.sh").write_text("x"), "'run.sh' is not a file of a bundle"),
            (lambda folder: (folder / "seed-0" / "deep").mkdir(), "'seed-0/deep' is not a file of a bundle"),
            (lambda folder: (folder / "cell.yaml").write_bytes(b"x" * (1 << 18)), "cell.yaml is larger than 128 KiB"),
        )
    ):
        folder = tmp_path / str(number)
        submissions.write(files, folder)
        change(folder)
        with pytest.raises(errors.Rejected, match=message):
            reading.read(folder)


def test_a_million_files_are_not_looked_at(files: Files, tmp_path: pathlib.Path, at_most: Any) -> None:
    """The first file that is none of a bundle ends it: the work does not grow with their number (3,000 here)."""
    folder = tmp_path / "b"
    submissions.write(files, folder)
    for number in range(3000):
        (folder / f"x{number}").touch()
    with at_most(2_000), pytest.raises(errors.Rejected, match="is not a file of a bundle"):
        reading.read(folder)
