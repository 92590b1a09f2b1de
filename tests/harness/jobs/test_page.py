# SPDX-License-Identifier: Apache-2.0
"""The page while runs are made: when it is built again, and what is said of it."""

from __future__ import annotations

import json
import pathlib
import re
import sys

import pytest

from harness.jobs import page as pages
from tests import builders, front_door

NOTES = """
import json, sys
with open(sys.argv[1], "a") as file:
    file.write(json.dumps(sys.argv[2:]) + "\\n")
"""


def test_it_is_built_again_when_four_times_as_many_runs_are_there_and_more_will_come(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, lines = home / "notes", []
    monkeypatch.setattr(pages, "_command", lambda store: [sys.executable, "-c", NOTES, str(notes), store])
    with pages.kept("sqlite:///x.db", lines.append) as page:
        for runs in range(1, 21):
            page.sent(runs, 20 - runs)
            page._waiting.join()
    said = [json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()]
    assert said == [["sqlite:///x.db", "--to-come", str(20 - runs)] for runs in (1, 4, 16)]
    assert len(lines) == 1
    assert str(home / "site" / "index.html") in lines[0]


def test_a_page_that_cannot_be_built_is_said_once_and_not_tried_again(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    words = [sys.executable, "-c", "import sys; sys.exit('a bundle is none')"]
    monkeypatch.setattr(pages, "_command", lambda store: words)
    with pages.kept("sqlite:///x.db", lines.append) as page:
        for runs in (1, 2, 4):
            page.sent(runs, 5)
            page._waiting.join()
    assert lines == ["the page is not built while runs are made: a bundle is none"]


def test_what_is_still_being_built_is_ended_and_nothing_is_said_of_it(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(pages, "_command", lambda store: [sys.executable, "-c", "import time; time.sleep(600)"])
    with pages.kept("sqlite:///x.db", lines.append) as page:
        page.sent(1, 5)
        building = page._building
    assert building is not None
    assert building.returncode < 0
    assert lines == []


def test_a_run_shows_its_page_before_all_are_made_and_the_whole_one_at_the_end(
    home: pathlib.Path, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[int, int]] = []
    sent = pages.Page.sent

    def waited(page: pages.Page, runs: int, to_come: int) -> None:
        sent(page, runs, to_come)
        if page._waiting.is_alive():
            page._waiting.join()
        shown = re.findall(r"<strong>(\d+)</strong> more run", (home / "site" / "index.html").read_text("utf-8"))
        begun.append((runs, *map(int, shown)))

    monkeypatch.setattr(pages.Page, "sent", waited)
    grid = {"grid": {"optimizer.learning_rate": [0.1, 0.2]}, "steps": 4, "checkpoints": 2}
    (home / "t.yaml").write_text(builders.spec_text(**grid), encoding="utf-8")
    code, out, err = front_door.say(
        "run", "t.yaml", "--seeds", "1", "--jobs", "1", "--first", "--page", "--device", "cpu", home=home
    )
    assert code == 0, err
    assert begun[0] == (1, 1)
    assert out.index("page: ") < out.index("2 runs made, 0")
    assert "being made" not in (home / "site" / "index.html").read_text(encoding="utf-8")


def test_a_page_needs_a_store_and_people(home: pathlib.Path) -> None:
    for words in ("--no-store", "--json"):
        code, _, err = front_door.say("run", "t.yaml", "--page", words, home=home)
        assert (code, "--page" in err) == (2, True)
