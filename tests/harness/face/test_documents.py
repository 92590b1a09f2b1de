# SPDX-License-Identifier: Apache-2.0
"""What the documents show of `import gdzoo` runs as it stands there."""

from __future__ import annotations

import re
from typing import Any

import gdzoo
from harness import workspace


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
