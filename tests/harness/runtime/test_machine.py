# SPDX-License-Identifier: Apache-2.0
"""What of a machine is ours: affinity, control groups of both versions, nested ones, and machines without any."""

from __future__ import annotations

import os
import pathlib

import pytest

from harness.runtime import machine

GIB = 2**30


def given(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int = 8) -> None:
    """Makes a machine of so many cores whose files of the kernel are these; /proc/meminfo says 64 GiB."""
    for name, text in {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {64 * GIB // 1024} kB\n", **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(machine, "PROC", folder / "proc")
    monkeypatch.setattr(machine, "GROUPS", folder / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(cores)), raising=False)


@pytest.mark.parametrize(
    ("files", "cores", "free"),
    [
        ({}, 8, 64),
        ({"proc/self/cgroup": "0::/\n", "groups/cpu.max": "max 100000", "groups/memory.max": "max"}, 8, 64),
        ({"proc/self/cgroup": "0::/\n", "groups/cpu.max": "250000 100000"}, 3, 64),
        ({"proc/self/cgroup": "0::/\n", "groups/cpu.max": "20000 100000"}, 1, 64),
        (
            {"proc/self/cgroup": "0::/\n", "groups/memory.max": str(6 * GIB), "groups/memory.current": str(2 * GIB)},
            8,
            4,
        ),
        (
            {
                "proc/self/cgroup": "0::/slurm/job_7/step_0\n",
                "groups/slurm/job_7/cpu.max": "400000 100000",
                "groups/slurm/job_7/memory.max": str(16 * GIB),
                "groups/slurm/job_7/memory.current": str(GIB),
                "groups/slurm/job_7/step_0/memory.max": "max",
            },
            4,
            15,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n1:name=systemd:/\n",
                "groups/cpu/docker/x/cpu.cfs_quota_us": "200000",
                "groups/cpu/docker/x/cpu.cfs_period_us": "100000",
                "groups/memory/docker/x/memory.limit_in_bytes": str(3 * GIB),
                "groups/memory/docker/x/memory.usage_in_bytes": str(GIB),
            },
            2,
            2,
        ),
        ({"proc/self/cgroup": "4:cpu:/\n", "groups/cpu/cpu.cfs_quota_us": "-1"}, 8, 64),
    ],
)
def test_the_least_limit_on_the_way_up_holds(
    files: dict[str, str], cores: int, free: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(tmp_path, monkeypatch, files)
    assert (machine.cores(), machine.spare() / GIB) == (cores, free)


def test_a_group_that_is_full_has_nothing_to_spare(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"proc/self/cgroup": "0::/", "groups/memory.max": "100", "groups/memory.current": "200"}
    given(tmp_path, monkeypatch, files)
    assert machine.spare() == 0


def test_here_something_is_ours() -> None:
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)
    assert 0 < machine.spare() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
