# SPDX-License-Identifier: Apache-2.0
"""Text that strangers wrote, made fit to be published.

Whatever a run carries in its text fields ends on a page, in a terminal and in a CSV file. Escaping belongs to those
places; what is dropped here has no place in any of them: control and bidirectional characters, which rewrite a
terminal or reverse a line, and the folders of the machine that made the run.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any

NAME = r"[/\\][\w.+@-]+"
PATH = re.compile(rf"(?<![\w:/\\.~-])(?:(?:~|[A-Za-z]:)(?:{NAME})+|(?:{NAME}){{2,}})[/\\]?")
DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(value: str) -> str:
    """Returns `value` on one line: NFC, no control, format or bidirectional characters, no absolute paths."""
    spaced = re.sub(r"[\t\r\n\u2028\u2029]+", " ", unicodedata.normalize("NFC", value))
    return strip_paths("".join(character for character in spaced if unicodedata.category(character) not in DROPPED))


def clean_lines(value: str) -> str:
    """Returns `value` cleaned line by line; line feeds and indentation stay."""
    return "\n".join(clean(line) for line in value.replace("\r\n", "\n").split("\n"))


def cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """Returns plain values with every text in them cleaned, keys too."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [cleaned(item, clean) for item in value]
    if isinstance(value, dict):
        return {clean(key): cleaned(item, clean) for key, item in value.items()}
    return value


def strip_paths(value: str) -> str:
    """Replaces each absolute path by its tail: from `specs` on if it has such a folder, else its last name."""

    def tail(match: re.Match[str]) -> str:
        parts = [part for part in re.split(r"[/\\]", match.group().rstrip("/\\")) if part]
        return "/".join(parts[parts.index("specs") :]) if "specs" in parts else parts[-1]

    return PATH.sub(tail, value)
