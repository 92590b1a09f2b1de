# SPDX-License-Identifier: Apache-2.0
"""Rows: the tables of cells and of runs, as pages show them and as the scripts that `assets/table.js` reads.

A browser on file:// can load scripts and nothing else. What a reader sees first must not grow with the board, so a
table is cut: rows in blocks of BLOCK, each view's columns by themselves, and for all rows only what a filter, a sort
or a search asks for, each in a file of its own that is loaded when it is asked for. Repeated words are told once.
A run is shown as a cell of one seed, so that both tables have the same columns by the same functions.
"""

from __future__ import annotations

import array
import dataclasses
import itertools
import json
import math
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from leaderboard.board import cell as cells
from leaderboard.board import entries, number, settings, table, tally, theorem
from leaderboard.export import document
from leaderboard.site import figure

OWN = "★ yours"
"""What a row of the reader's own says."""

PAGE = 50
"""Rows that are shown at a time, and that stand in the page itself."""

BLOCK = 200
"""Rows of a script."""

STATUSES = ("finished", "diverged", "interrupted", "failed")
SEARCHED = ("cell", "verdict", "eta", "trust", "seeds")
"""Columns whose words are searched, beside the names of rows; of eta the number too, from the file that sorts it."""


class Facet(NamedTuple):
    """What a table can be narrowed by: its heading, and what it is for a row."""

    heading: str
    of: Callable[[cells.Cell], str]


FACETS = {
    "suite": Facet("Suite", lambda cell: cell.first.suite),
    "spec": Facet("Spec", lambda cell: cell.first.spec),
    "family": Facet("Family", lambda cell: str(cell.first.part("model")["family"])),
    "activation": Facet("Activation", lambda cell: settings.activation(cell.first)),
    "regularity": Facet("Regularity", lambda cell: _regularity(cell.first)),
    "optimizer": Facet("Optimiser", lambda cell: str(cell.first.part("optimizer")["name"])),
    "data": Facet("Data", lambda cell: cell.first.dataset.name),
    "status": Facet("Status", lambda cell: _complete(cell) if len(cell.runs) > 1 else cell.first.status),
}


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        name: `suite/cell_id` or `suite/run_id`: its path below `cell/` or `run/`, without an ending.
        seeds: Its seeds.
        entries: By column, of those that a view has.
        facets: What it is for each of FACETS.
        flags: Of which counts on the overview it is one.
        ends: Of a cell, where the margins of its seeds begin and end (figure.ends).
    """

    name: str
    seeds: tuple[int, ...]
    entries: dict[str, entries.Entry]
    facets: tuple[str, ...]
    flags: tuple[str, ...]
    ends: tuple[tuple[float, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """A table as a page shows it.

    Attributes:
        name: `cells` or `runs`.
        rows: Those that stand in the page, in their order.
        count: How many there are.
        strips: Of each of them, where its seeds lie.
        facets: Those of FACETS that leave a choice.
    """

    name: str
    rows: Sequence[Row]
    count: int
    strips: Sequence[figure.Strip | None]
    facets: Collection[str] = ()


def choices(rows: Iterable[Row]) -> set[str]:
    """Returns the keys of FACETS of which some rows have more than one value."""
    values: dict[str, set[str]] = {key: set() for key in FACETS}
    for row in rows:
        for key, value in zip(FACETS, row.facets, strict=True):
            values[key].add(value)
    return {key for key, found in values.items() if len(found - {""}) > 1}


def of_cell(cell: cells.Cell, flags: Sequence[str] | None = None) -> Row:
    """Returns the row of a cell; `flags` are those of tally.flags, worked out here unless given."""
    run = cell.first
    return Row(
        f"{run.suite}/{run.cell_id}",
        tuple(one.seed for one in cell.runs),
        {key: table.COLUMNS[key].entry(cell) for key in USED},
        _facets(cell),
        tuple(tally.flags(cell) if flags is None else flags),
        tuple(figure.ends(cell)),
    )


def of_runs(cell: cells.Cell) -> tuple[Row, ...]:
    """Returns the rows of the runs of a cell, by seed."""
    rows = []
    for run in cell.runs:
        alone = cells.Cell((run,), cell.trust)
        told = {key: table.COLUMNS[key].entry(alone) for key in USED if key != "seeds"} | {"seeds": _status(run)}
        rows.append(Row(f"{run.suite}/{run.run_id}", (run.seed,), told, _facets(alone), tuple(tally.flags(alone))))
    return tuple(rows)


def mine(row: Row) -> Row:
    """Returns a row as one of the reader's own."""
    entry = row.entries["cell"]
    told = row.entries | {"cell": entry._replace(note=f"{OWN} · {entry.note}")}
    return row._replace(entries=told, flags=(*row.flags, "mine"))


def label(made: Table, key: str) -> str:
    """Returns the heading of a column."""
    return _label(made.name, key)


def ordered(made: Table, view: table.View) -> list[int]:
    """Returns the places of the rows in the order of a view; what is missing goes last."""
    places = range(len(made.rows))
    if not view.sort:
        return list(places)
    keys = [row.entries[view.sort].sort for row in made.rows]
    there = [at for at in places if isinstance(keys[at], int | float)]
    gone = [at for at in places if not isinstance(keys[at], int | float)]
    sign = -1 if view.down else 1
    return sorted(there, key=lambda at: sign * float(str(keys[at]))) + gone


def scripts(name: str, rows: Iterable[Row], axis: figure.Axis | None = None) -> Iterator[tuple[str, bytes]]:
    """Yields the scripts of a table and their paths; holds BLOCK rows, and of the others what sorts and filters them.

    Args:
        name: `cells` or `runs`.
        rows: All its rows, in their order.
        axis: Of cells, where their seeds lie.
    """
    facets = {key: _Words() for key in FACETS}
    sorts = {key: _Sort() for key in USED}
    searched = {key: _Words() for key in ("name", "seed", *SEARCHED)}
    flags = _Words()
    left, number = iter(rows), 0
    while block := list(itertools.islice(left, BLOCK)):
        for row in block:
            for key, value in zip(FACETS, row.facets, strict=True):
                facets[key].add(value)
            for key in USED:
                sorts[key].add(_short(row.entries[key].sort))
            for key, words in _words_of(name, row).items():
                searched[key].add(words)
            flags.add(" ".join(row.flags))
        yield from _block(name, number, block, axis)
        number += 1
    for key, values in facets.items():
        yield _put(f"{name}/facet-{key}", values.told())
    for key, sort in sorts.items():
        yield _put(f"{name}/sort-{key}", sort.told())
    yield _put(f"{name}/flags", flags.told())
    yield _put(f"{name}/search", {key: words.told() for key, words in searched.items()})
    yield _put(name, _head(name, facets, flags))


class _Words:
    """Words in a column, each kept once, and the place of each row's."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.at = array.array("I")

    def add(self, word: str) -> None:
        self.at.append(self.places.setdefault(word, len(self.places)))

    def told(self) -> dict[str, Any]:
        """Returns what `_told` returns of all its words."""
        words = list(self.places)
        if len(words) == 1:
            return {"same": words[0]}
        if len(words) * 2 > len(self.at):
            return {"all": [words[at] for at in self.at]}
        return {"words": words, "at": list(self.at)}


class _Sort:
    """What sorts a column, 8 bytes a row: numbers, NaN for what is missing, and by its place what is a word."""

    def __init__(self) -> None:
        self.numbers = array.array("d")
        self.words: dict[int, str] = {}

    def add(self, value: float | str | None) -> None:
        if isinstance(value, str):
            self.words[len(self.numbers)] = sys.intern(value)
        self.numbers.append(value if isinstance(value, float | int) else math.nan)

    def told(self) -> Any:
        """Returns its values, or, where all are words, what `_told` returns of them."""
        if len(self.words) == len(self.numbers):
            return _told(list(self.words.values()))
        if not self.words and all(map(math.isnan, self.numbers)):
            return {"same": None}
        return [self.words.get(at, None if math.isnan(one) else one) for at, one in enumerate(self.numbers)]


def _head(name: str, facets: Mapping[str, _Words], flags: _Words) -> dict[str, Any]:
    """Returns what the page loads with itself; its size does not depend on how many rows there are."""
    return {
        "heads": {
            key: {"label": _label(name, key), "definition": column.definition, "numeric": column.numeric}
            for key, column in table.COLUMNS.items()
        },
        "views": {
            view: {"columns": row.columns, "sort": row.sort, "down": row.down} for view, row in table.VIEWS.items()
        },
        "facets": {key: sorted(values.places) for key, values in facets.items()},
        "flags": sorted({flag for some in flags.places for flag in some.split()}),
        "signs": {sign: told for sign, (told, _) in _signs().items()},
        "verdicts": list(cells.VERDICTS),
        "count": len(flags.at),
        "block": BLOCK,
    }


def _block(name: str, number: int, rows: Sequence[Row], axis: figure.Axis | None) -> Iterator[tuple[str, bytes]]:
    """Yields the scripts of some rows: the first view's, and what each other view adds."""
    default, *others = table.VIEWS
    core = table.VIEWS[default].columns
    strips = [axis and axis.strip(row.ends) for row in rows]
    first = {
        "ids": [row.name for row in rows],
        "seeds": _told([" ".join(map(str, row.seeds)) for row in rows]),
        "strips": [one and [round(one.low), round(one.high), round(one.median)] for one in strips],
        "columns": {key: _column([row.entries[key] for row in rows]) for key in core},
    }
    yield _put(f"{name}/{default}-{number}", first)
    for view in others:
        own = [key for key in table.VIEWS[view].columns if key not in core]
        yield _put(f"{name}/{view}-{number}", {key: _column([row.entries[key] for row in rows]) for key in own})


def _words_of(name: str, row: Row) -> dict[str, str]:
    """Returns the words of a row that are searched; the name of a run without its seed, which stands beside it."""
    owner = row.name if name == "cells" else row.name.rpartition("-s")[0]
    seed = "" if name == "cells" else f"-s{row.seeds[0]}"
    told = {
        key: entry.note if key == "eta" else f"{entry.main} {entry.note}"
        for key in SEARCHED
        for entry in (row.entries[key],)
    }
    return {"name": owner, "seed": seed, **told}


def _label(name: str, key: str) -> str:
    """Returns the heading of a column: a run has a name and a status where a cell has a name and seeds."""
    of_run = {"cell": "Run", "seeds": "Status"} if name == "runs" else {}
    return of_run.get(key, table.COLUMNS[key].label)


def _status(run: document.Run) -> entries.Entry:
    """Returns the status of a run, and how many of its steps are logged."""
    steps = f"{run.steps[-1]} of {run.cell.get('steps', '?')} steps" if run.steps else "no step logged"
    mark = "unlearned" if cells.unlearned(run) else run.status if run.status in cells.MARKS else ""
    note = f"{steps}; learned nothing" if mark == "unlearned" else steps
    return entries.Entry(run.status, float(STATUSES.index(run.status)), note, mark)


def _signs() -> dict[str, tuple[str, str]]:
    return {str(name): row for rows in (cells.VERDICTS, cells.MARKS, cells.TRUST) for name, row in rows.items()}


USED = tuple(
    key for key in table.COLUMNS if key in {column for view in table.VIEWS.values() for column in view.columns}
)
"""Columns that a view has."""


def _facets(cell: cells.Cell) -> tuple[str, ...]:
    return tuple(facet.of(cell) for facet in FACETS.values())


def _complete(cell: cells.Cell) -> str:
    return "with marks" if cells.marks(cell) else "complete"


def _column(column: Sequence[entries.Entry]) -> dict[str, Any]:
    """Returns a column: what sorts it, and what is printed where that is not the number itself."""
    sort = [_short(entry.sort) for entry in column]
    main = ["" if _plain(entry, value) else entry.main for entry, value in zip(column, sort, strict=True)]
    words = all(isinstance(value, str) for value in sort)
    same = words and [entry.main for entry in column] == sort
    return {
        "sort": _told(sort) if words or len(set(sort)) == 1 else sort,
        "main": {"same": ""} if same else _told(main),
        "note": _told([entry.note for entry in column]),
        "mark": _told([entry.mark for entry in column]),
    }


def _plain(entry: entries.Entry, value: float | str | None) -> bool:
    """Says whether an entry prints its own number."""
    return isinstance(value, float) and entry.main == number.show(value)


def _regularity(run: document.Run) -> str:
    """Returns whether the risk of a run is one analytic piece; empty where this version does not understand it."""
    says = theorem.known(run)
    return "" if says is None else "analytic" if says.one_piece else "analytic in pieces"


def _short(value: float | str | None) -> float | str | None:
    if isinstance(value, str) or value is None:
        return value
    return ("inf" if value > 0 else "-inf") if value in (float("inf"), float("-inf")) else float(f"{value:.4g}")


def _told(values: Sequence[Any]) -> dict[str, Any]:
    """Returns strings as they are, or, where they repeat, each once and the place of each; one for all alone."""
    unique = list(dict.fromkeys(values))
    if len(unique) == 1:
        return {"same": unique[0]}
    if len(unique) * 2 > len(values):
        return {"all": list(values)}
    place = {word: at for at, word in enumerate(unique)}
    return {"words": unique, "at": [place[value] for value in values]}


def _put(name: str, value: Any) -> tuple[str, bytes]:
    """Returns the path of a script, and what puts a value under the name of its path."""
    written = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character in "\u2028\u2029":
        written = written.replace(character, json.dumps(character)[1:-1])
    return f"data/{name}.js", f"GDZ.put({json.dumps('table/' + name)},{written});\n".encode()
