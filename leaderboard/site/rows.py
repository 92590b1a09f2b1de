# SPDX-License-Identifier: Apache-2.0
"""Rows: the tables of cells and of runs as scripts, which `assets/table.js` sorts, filters and shows page by page.

Columns, not rows, with repeated words told once: a browser on file:// can load scripts and nothing else, and 10,000
runs are to arrive in 300 kB. What a view alone needs lies in a script of its own, loaded when the view is chosen.
A run is shown as a cell of one seed, so that both tables have the same columns by the same functions.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from leaderboard.board import cell as cells
from leaderboard.board import entries, number, settings, table, tally, theorem
from leaderboard.export import document
from leaderboard.site import figure

OWN = "★ yours"
"""What a row of the reader's own says."""

PAGE = 50
"""Rows that are shown at a time, and that stand in the page itself."""

STATUSES = ("finished", "diverged", "interrupted", "failed")


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


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the site.

    Attributes:
        name: `cells` or `runs`.
        rows: The cells, or the runs as cells of one seed, in their order.
        entries: For each column the entry of each row.
        strips: By place of a row, where its seeds lie (figure.Strip).
    """

    name: str
    rows: Sequence[cells.Cell]
    entries: dict[str, list[entries.Entry]]
    strips: Sequence[figure.Strip | None]


def of_cells(rows: Sequence[cells.Cell], own: Collection[str] = ()) -> Table:
    """Returns the table of cells; those whose `suite/cell_id` is in `own` say that they are the reader's."""
    strips = figure.strips(list(rows))
    found = [strips.get(f"{cell.first.suite}/{cell.first.cell_id}") for cell in rows]
    columns = _entries(rows)
    columns["cell"] = [
        entry._replace(note=f"{OWN} · {entry.note}") if f"{cell.first.suite}/{cell.first.cell_id}" in own else entry
        for entry, cell in zip(columns["cell"], rows, strict=True)
    ]
    return Table("cells", rows, columns, found)


def of_runs(rows: Sequence[cells.Cell]) -> Table:
    """Returns the table of the runs of some cells, in the order of the cells and their seeds."""
    alone = [cells.Cell((run,), cell.trust) for cell in rows for run in cell.runs]
    columns = _entries(alone) | {"seeds": [_status(cell.first) for cell in alone]}
    return Table("runs", alone, columns, [None] * len(alone))


def label(made: Table, key: str) -> str:
    """Returns the heading of a column: a run has a name and a status where a cell has a name and seeds."""
    of_run = {"cell": "Run", "seeds": "Status"} if made.name == "runs" else {}
    return of_run.get(key, table.COLUMNS[key].label)


def _status(run: document.Run) -> entries.Entry:
    """Returns the status of a run, and how many of its steps are logged."""
    steps = f"{run.steps[-1]} of {run.cell.get('steps', '?')} steps" if run.steps else "no step logged"
    mark = "unlearned" if cells.unlearned(run) else run.status if run.status in cells.MARKS else ""
    note = f"{steps}; learned nothing" if mark == "unlearned" else steps
    return entries.Entry(run.status, float(STATUSES.index(run.status)), note, mark)


def ident(made: Table, cell: cells.Cell) -> str:
    """Returns what names a row: its path below `cell/` or `run/`, without an ending."""
    run = cell.first
    return f"{run.suite}/{run.cell_id if made.name == 'cells' else run.run_id}"


def ordered(made: Table, view: table.View) -> list[int]:
    """Returns the places of the rows in the order of a view; what is missing goes last."""
    places = range(len(made.rows))
    if not view.sort:
        return list(places)
    keys = [entry.sort for entry in made.entries[view.sort]]
    there = [at for at in places if isinstance(keys[at], int | float)]
    gone = [at for at in places if not isinstance(keys[at], int | float)]
    sign = -1 if view.down else 1
    return sorted(there, key=lambda at: sign * float(str(keys[at]))) + gone


def scripts(made: Table) -> dict[str, bytes]:
    """Returns the scripts of a table by their paths: the first view's, and what each other view adds.

    The first rows stand in the page, so the ranges of all cells come only when a reader sorts, filters or turns a page.
    """
    default, *others = table.VIEWS
    core = table.VIEWS[default].columns
    later = {key for key in core if made.name == "cells" and table.COLUMNS[key].numeric}
    head = {
        "heads": {
            key: {"label": label(made, key), "definition": column.definition, "numeric": column.numeric}
            for key, column in table.COLUMNS.items()
        },
        "views": {
            name: {"columns": view.columns, "sort": view.sort, "down": view.down} for name, view in table.VIEWS.items()
        },
        "facets": {name: _words([facet.of(cell) for cell in made.rows]) for name, facet in FACETS.items()},
        "signs": {name: sign for name, (sign, _) in _signs().items()},
        "verdicts": list(cells.VERDICTS),
        "ids": [ident(made, cell) for cell in made.rows],
        "seeds": _words([" ".join(str(run.seed) for run in cell.runs) for cell in made.rows]),
        "flags": _words([" ".join(_flags(made, at)) for at in range(len(made.rows))]),
        "strips": [strip and [round(strip.low), round(strip.high), round(strip.median)] for strip in made.strips],
        "columns": {key: _column(made.entries[key], notes=key not in later) for key in core},
    }
    files = {f"data/{made.name}.js": _put(f"table/{made.name}", head)}
    if later:
        notes = {key: _words([entry.note for entry in made.entries[key]]) for key in core if key in later}
        files[f"data/{made.name}-notes.js"] = _put(f"table/{made.name}/notes", notes)
    for name in others:
        own = {key: _column(made.entries[key]) for key in table.VIEWS[name].columns if key not in core}
        files[f"data/{made.name}-{name}.js"] = _put(f"table/{made.name}/{name}", own)
    return files


def _flags(made: Table, at: int) -> list[str]:
    mine = made.name == "cells" and made.entries["cell"][at].note.startswith(OWN)
    return tally.flags(made.rows[at]) + (["mine"] if mine else [])


def _signs() -> dict[str, tuple[str, str]]:
    return {str(name): row for rows in (cells.VERDICTS, cells.MARKS, cells.TRUST) for name, row in rows.items()}


def _entries(rows: Sequence[cells.Cell]) -> dict[str, list[entries.Entry]]:
    used = {key for view in table.VIEWS.values() for key in view.columns}
    return {key: [column.entry(cell) for cell in rows] for key, column in table.COLUMNS.items() if key in used}


def _complete(cell: cells.Cell) -> str:
    return "with marks" if cells.marks(cell) else "complete"


def _column(column: Sequence[entries.Entry], *, notes: bool = True) -> dict[str, Any]:
    """Returns a column: what sorts it, and what is printed where that is not the number itself."""
    sort = [_short(entry.sort) for entry in column]
    main = ["" if _plain(entry, value) else entry.main for entry, value in zip(column, sort, strict=True)]
    words = all(isinstance(value, str) for value in sort)
    same = words and [entry.main for entry in column] == sort
    return {
        "sort": _words(sort) if words else sort,
        "main": {"words": [""], "at": [0] * len(main)} if same else _words(main),
        "note": _words([entry.note for entry in column]) if notes else None,
        "mark": _words([entry.mark for entry in column]),
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


def _words(values: Sequence[Any]) -> dict[str, Any]:
    """Returns strings as they are, or, where they repeat, each once and the place of each."""
    unique = list(dict.fromkeys(values))
    if len(unique) * 2 > len(values):
        return {"all": list(values)}
    place = {word: at for at, word in enumerate(unique)}
    return {"words": unique, "at": [place[value] for value in values]}


def _put(name: str, value: Any) -> bytes:
    written = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character in "\u2028\u2029":
        written = written.replace(character, json.dumps(character)[1:-1])
    return f"GDZ.put({json.dumps(name)},{written});\n".encode()
