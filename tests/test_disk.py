# SPDX-License-Identifier: Apache-2.0
"""File systems: SQLite's locks hold on a local disk alone, so a store elsewhere is refused before it is made."""

from __future__ import annotations

import pathlib

import pytest

from harness import errors
from harness.tracking import client, store

MOUNTS = r"""/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/me/fast tmpfs rw 0 0
//nas/share /mnt/my\040share cifs rw 0 0
user@host:/ /mnt/far fuse.sshfs rw 0 0
old /over ext4 rw 0 0
new /over lustre rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/mlflow.db", "ext4"),
        ("/home/me/gdzoo/mlflow.db", "nfs4"),
        ("/home/me/fast/mlflow.db", "tmpfs"),
        ("/homework/mlflow.db", "ext4"),
        ("/mnt/my share/x", "cifs"),
        ("/mnt/far/x", "fuse.sshfs"),
        ("/over/x", "lustre"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    disk = store._maker().disk
    assert disk.kind(pathlib.Path(path), MOUNTS) == kind
    assert (kind in disk.NETWORK) == (kind in ("nfs4", "cifs", "fuse.sshfs", "lustre"))


def test_without_a_table_of_mounts_it_is_unknown_and_allowed(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = store._maker().disk
    monkeypatch.setattr(disk, "MOUNTS", home / "nothing")
    assert disk.kind(home) == "unknown" and disk.of_a_network(home) is None
    assert disk.kind(pathlib.Path("/x"), "") == "unknown"


def test_on_a_network_file_system_no_store_is_made_and_one_that_is_there_is_used_with_a_warning(
    home: pathlib.Path, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = home / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/ {home} nfs rw 0 0\n", encoding="utf-8")
    monkeypatch.setattr(store._maker().disk, "MOUNTS", mounts)
    cold = f"sqlite:///{home}/cold/mlflow.db"
    with pytest.raises(errors.InputError, match=r"on a network file system \(nfs\), where SQLite's locks do not hold"):
        store.init(cold)
    assert not (home / "cold" / "mlflow.db").exists()
    with pytest.warns(UserWarning, match=r"mlflow.db lies on a network file system \(nfs\).*one program at a time"):
        client.open_store(store_uri)
    assert store.report(store_uri)["file system"] == "nfs"
