# SPDX-License-Identifier: Apache-2.0
"""`gdzoo bench start`: each command has a row, and a second time is told as a share of the first."""

from __future__ import annotations

import pytest

from harness.bench import commands, process


def test_a_second_time_is_a_share_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, ...]] = []

    def spent(command: list[str], environment: dict[str, str]) -> process.Spent:
        said.append(tuple(command[3:]))
        return process.Spent(8.0 / said.count(said[-1]), 1.0, 2**30)

    monkeypatch.setattr(process, "spent", spent)
    rows = commands.rows()
    assert len(rows) == len(commands.COMMANDS) + sum(name.endswith(", again") for name in commands.COMMANDS)
    shares = {each.what: each.value for each in rows if each.target}
    assert shares == {name: 0.5 for name in commands.COMMANDS if name.endswith(", again")}
    assert rows[0].note == "1 s, 1.00 GiB at the peak"


def test_a_command_that_says_much_is_not_stopped_by_it() -> None:
    took = process.spent([commands.sys.executable, "-c", "import sys; sys.stderr.write('x' * 1_000_000)"])
    assert took.seconds > 0


def test_a_command_that_fails_says_its_last_words() -> None:
    with pytest.raises(RuntimeError, match="there is no bench"):
        process.spent([commands.sys.executable, "-m", "gdzoo", "bench", "nothing"])
