# SPDX-License-Identifier: Apache-2.0
"""What the documents show of `import gdzoo` runs as it stands there."""

from __future__ import annotations

import pathlib
import re
import runpy
from typing import Any

import pytest

import gdzoo
from harness import specs, workspace
from tests import front_door


def blocks(name: str, language: str) -> list[str]:
    """Returns the pieces of a language in a document of docs/."""
    text = (workspace.CHECKOUT / "docs" / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_example_of_the_page_runs_and_every_name_is_on_it(capsys: Any) -> None:
    (example,) = blocks("python.md", "python")
    held: dict[str, Any] = {}
    exec(example, held)  # the page is ours
    assert capsys.readouterr().out.startswith("Survey of apply at η = 0.1")
    assert held["found"].verdict == "invertible"
    page = (workspace.CHECKOUT / "docs" / "python.md").read_text(encoding="utf-8")
    functions = [name for name in gdzoo.__all__ if name.islower() and name != "plot"]
    assert functions and all(f"gdzoo.{name}(" in page for name in functions)


def test_the_page_of_a_network_of_ones_own_is_followed_word_for_word(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (workspace.CHECKOUT / "docs" / "own-network.md").read_text(encoding="utf-8")
    files = re.findall(r"`([a-z/]+\.[a-z]+)`:\n\n```[a-z]+\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in files] == ["mynet.py", "mydata.py", "mine/gated.yaml"]
    for name, text in files:
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(home)
    runpy.run_path("mydata.py")
    said = ""
    for line in page.split("\n```\npython mydata.py\n")[1].split("```")[0].splitlines():
        program, *words = line.split()
        assert program == "gdzoo"
        done = front_door.say(*words, home=home)
        assert done.code == 0, done.err
        said += done.out
    for promised in ("theorem 1", "sigmoid: analytic activation", "2 certified", "4 runs made, 0 there already"):
        assert promised in said
    assert "`4 runs made, 0 there already`" in page
    monkeypatch.chdir(home)
    label = re.findall(r'label="(gated[^"]+)"', page)[0]
    assert gdzoo.network("mine/gated.yaml", label=label).parameters == 2 * 4 * 4 + 4 * 2 + 2
    cells = specs.read("mine/gated.yaml").cells
    assert {one.facts.cell_id for one in gdzoo.runs("mine/gated.yaml")} == {cell.cell_id for cell in cells}
