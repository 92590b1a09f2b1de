# SPDX-License-Identifier: Apache-2.0
"""Shown: a table of words for a terminal and for a notebook, and a bar while something takes long."""

from __future__ import annotations

import contextlib
import html
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import rich.console

from harness.jobs import progress


class Table(NamedTuple):
    """What is shown of a result.

    Attributes:
        title: A line.
        head: Names of the columns; empty for none.
        rows: A word for each column.
        notes: Sentences below.
    """

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = ()


def text(table: Table) -> str:
    """Returns a table as lines of text."""
    lines = [*([table.head] if table.head else []), *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([table.title, *(f"  {line}" for line in padded), *table.notes])


def page(table: Table) -> str:
    """Returns a table as HTML; every word of it is text."""

    def line(words: tuple[str, ...], tag: str) -> str:
        cells = "".join(f'<{tag} style="text-align:left">{html.escape(word)}</{tag}>' for word in words)
        return f"<tr>{cells}</tr>"

    head = line(table.head, "th") if table.head else ""
    rows = "".join(line(row, "td") for row in table.rows)
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in table.notes)
    return f"<p><b>{html.escape(table.title)}</b></p><table>{head}{rows}</table>{notes}"


def number(value: float, error: float | None = None) -> str:
    """Returns a number with its error bar, where it has one: `0.01483 ± 8e-13`."""
    if math.isnan(value):
        return "·"
    whole = f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"
    return whole if error is None else f"{whole} ± {error:.1g}"


@contextlib.contextmanager
def bar(count: int, what: str) -> Iterator[Callable[[str], None]]:
    """Shows how many of `count` things are done while the context lasts; to be called with the name of each.

    A bar on a terminal, one line that renews itself in a notebook, nothing elsewhere.
    """
    console = rich.console.Console(stderr=True)
    if console.is_jupyter:
        yield _line(count, what)
        sys.stderr.write("\r\x1b[K")
        return
    with progress.bar(console, count, what) as shown:
        begun = False

        def begin(name: str) -> None:
            nonlocal begun
            if begun:
                shown.end()
            shown.begin(name, 1)
            begun = True

        yield begin
        if begun:
            shown.end()


def _line(count: int, what: str) -> Callable[[str], None]:
    """Returns what writes how far a loop is, over what it wrote before."""
    done = -1

    def begin(name: str) -> None:
        nonlocal done
        done += 1
        share = 24 * done // count
        sys.stderr.write(f"\r\x1b[K{'━' * share}{'─' * (24 - share)} {done}/{count} {what} · {name}")
        sys.stderr.flush()

    return begin
