# SPDX-License-Identifier: Apache-2.0
"""The table of metrics: each group is in the file of its name, and no row is lost when the groups are joined."""

from __future__ import annotations

import importlib

import pytest

from harness import metrics

FILES = {group: importlib.import_module(f"harness.metrics.{group}") for group in metrics.FAILURES}


@pytest.mark.parametrize("group", FILES)
def test_a_file_holds_the_rows_of_its_group_alone(group: str) -> None:
    assert {row.group for row in FILES[group].ROWS.values()} == {group}
    assert metrics.FAILURES[group] == FILES[group].FAILURE


def test_the_table_has_every_row_of_every_file_once() -> None:
    names = [name for file in FILES.values() for name in file.ROWS]
    assert sorted(metrics.METRICS) == sorted(names)
    assert all(metrics.METRICS[name] is file.ROWS[name] for file in FILES.values() for name in file.ROWS)


def test_a_row_that_was_moved_follows_the_one_that_is_named() -> None:
    order = list(metrics.METRICS)
    for name, before in metrics.FOLLOWS.items():
        assert order.index(name) == order.index(before) + 1
