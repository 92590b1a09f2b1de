# SPDX-License-Identifier: Apache-2.0
"""How many workers there are where nobody says."""

from __future__ import annotations

import os

import pytest

from harness.jobs import engines
from harness.jobs.engines import local
from harness.runtime import memory


@pytest.mark.parametrize(
    ("cores", "free", "options", "jobs"),
    [
        (8, 64 * 2**30, engines.Options(device="cpu"), 8),
        (8, 7 * 2**30, engines.Options(device="cpu"), 3),
        (8, 2**20, engines.Options(device="cpu"), 1),
        (8, 64 * 2**30, engines.Options(device="gpu"), 1),
        (8, 64 * 2**30, engines.Options(device="cpu", devices=2), 1),
    ],
)
def test_there_is_a_worker_for_each_core_that_memory_has_room_for(
    cores: int, free: int, options: engines.Options, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)))
    monkeypatch.setattr(memory, "spare", lambda: free)
    assert local.default_jobs(options) == jobs


def test_what_is_spare_is_part_of_the_machine() -> None:
    assert 0 < memory.spare() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
