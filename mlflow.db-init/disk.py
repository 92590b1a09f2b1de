# SPDX-License-Identifier: Apache-2.0
"""Disks: which file system a path lies on, and whether SQLite's locks hold there."""

from __future__ import annotations

import pathlib
import re

MOUNTS = pathlib.Path("/proc/mounts")

NETWORK = {
    "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "orangefs", "pvfs2", "smb3", "smbfs",
}  # fmt: skip
"""File systems of several machines. SQLite: https://sqlite.org/faq.html, question 5."""


def kind(path: pathlib.Path, mounts: str | None = None) -> str:
    """Returns the type of the file system that `path` lies on (it need not exist), or `unknown`.

    Args:
        path: Absolute.
        mounts: The table of mounted file systems, in the form of /proc/mounts; None for this machine's.
    """
    try:
        table = MOUNTS.read_text(encoding="utf-8", errors="replace") if mounts is None else mounts
    except OSError:
        return "unknown"
    best, found = -1, "unknown"
    for line in table.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = pathlib.Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields[1]))
        if path.is_relative_to(point) and len(point.parts) >= best:  # of two at one point, the later hides the first
            best, found = len(point.parts), fields[2]
    return found


def of_a_network(path: pathlib.Path) -> str | None:
    """Returns the type of the network file system that `path` lies on, or None where it lies on none."""
    found = kind(path.resolve())
    return found if found in NETWORK else None
