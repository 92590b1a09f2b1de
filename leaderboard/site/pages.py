# SPDX-License-Identifier: Apache-2.0
"""The site: from an export to the bytes of every file, with nothing written yet.

Everything is made in memory first, so a page that cannot be made leaves the old site as it was (`folder.py` writes).
Pages carry no inline script or style, ask for nothing but their own files, and say all they know without JavaScript;
the scripts in `assets/` add sorting, filtering and plots.
"""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib
import re
import types
from collections.abc import Collection, Mapping
from typing import Any

import jinja2
import markupsafe

from harness import metrics, theory, workspace
from harness.specs import expected
from leaderboard.board import cell as cells
from leaderboard.board import controls as control_rows
from leaderboard.board import (
    entries,
    interval,
    number,
    optimisers,
    phase,
    scope,
    score,
    settings,
    table,
    tally,
    theorem,
)
from leaderboard.export import document, from_store
from leaderboard.site import drawing, figure, spreadsheet
from leaderboard.site import rows as row_tables

HERE = pathlib.Path(__file__).resolve().parent.parent
ASSETS = HERE / "assets"
TEMPLATES = HERE / "templates"
DOCUMENTS = ("mathematics", "theorems", "bundle")
"""Pages of docs/ that lie beside the site, as text that a browser shows, for the method page to link."""
SUMS = "SHA256SUMS"
CURVES = 6
"""Cells whose first seeds a spec's page draws over each other, at most."""

LOOKS = 6
"""Logged steps whose numbers stand in the page of a run, at most."""

ERRORS = {row.error for row in metrics.METRICS.values() if row.error}


def render(
    board: document.Export, own: Collection[str] = (), mlflow: Mapping[str, str] = types.MappingProxyType({})
) -> dict[str, bytes]:
    """Returns every file of the site by its path.

    The same export gives the same bytes.

    Args:
        board: What to show.
        own: `suite/cell_id` of the cells that are marked as the reader's own.
        mlflow: `suite/run_id` -> where its page in MLflow is, for runs that link to it.

    Returns:
        Relative paths with forward slashes -> bytes, with a SHA256SUMS over all the others.
    """
    pages = _environment()
    rows = cells.cells(board)
    files: dict[str, bytes] = {".nojekyll": b""}
    for asset in sorted(ASSETS.iterdir()):
        if asset.suffix in (".css", ".js", ".svg"):
            files[f"a/{asset.name}"] = asset.read_bytes()
    for name in DOCUMENTS:
        files[f"docs/{name}.txt"] = (workspace.CHECKOUT / "docs" / f"{name}.md").read_bytes()
    files["data/plots.js"] = _plots()
    for run in board.runs:
        files[f"data/{run_path(run)}.js"] = _script(run)
    files[from_store.FILE] = from_store.dump(board)
    files["export.schema.json"] = from_store.schema()
    files["data/cells.csv"] = spreadsheet.to_csv(board)
    files["data/cells.parquet"], files["data/cells.json"] = spreadsheet.to_parquet(board), spreadsheet.to_json(board)
    made, runs = row_tables.of_cells(rows, own), row_tables.of_runs(rows)
    files |= row_tables.scripts(made) | row_tables.scripts(runs)
    files["index.html"] = _page(pages, "index.html", "", board=board, **_overview(board, rows, made))
    files["runs.html"] = _page(pages, "runs.html", "", board=board, made=runs)
    files["compare.html"] = _page(pages, "compare.html", "", board=board)
    for group in _by_spec(rows):
        files[f"{spec_path(group[0].first)}.html"] = _page(pages, "spec.html", "../../", board=board, **_spec(group))
    for cell in rows:
        files[f"{cell_path(cell.first)}.html"] = _page(pages, "cell.html", "../../", board=board, **_cell(cell))
        for run in cell.runs:
            said = _run(run, cell) | {"mlflow": mlflow.get(figure.name(run))}
            files[f"{run_path(run)}.html"] = _page(pages, "run.html", "../../", board=board, **said)
    found = control_rows.controls(board)
    scored = control_rows.scores(found)
    files["controls.html"] = _page(pages, "controls.html", "", board=board, controls=found, scores=scored)
    files["optimisers.html"] = _page(pages, "optimisers.html", "", board=board, **_optimisers(rows))
    files["method.html"] = _page(pages, "method.html", "", board=board, **_method())
    files["data.html"] = _page(pages, "data.html", "", board=board, **_data(board, files))
    files[SUMS] = "".join(f"{digest(files[path])}  {path}\n" for path in sorted(files)).encode()
    return files


def run_path(run: document.Run) -> str:
    """Returns where a run's page lies, without its ending; two suites may hold the same run."""
    return f"run/{run.suite}/{run.run_id}"


def cell_path(run: document.Run) -> str:
    """Returns where the page of a run's cell lies, without its ending."""
    return f"cell/{run.suite}/{run.cell_id}"


def spec_path(run: document.Run) -> str:
    """Returns where the page of a run's spec lies, without its ending."""
    return f"spec/{run.suite}/{run.spec}"


def digest(content: bytes) -> str:
    """Returns the SHA-256 of some bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "show": number.show,
        "as_attribute": _as_attribute,
        "exactly": expected.shown,
        "allowance": lambda error: number.show(float(f"{error:.1g}")),
        "capital": lambda sentence: sentence[:1].upper() + sentence[1:],
    }
    environment.globals |= {
        "at": cells.at,
        "bound": entries.bound,
        "cell_path": cell_path,
        "columns": table.COLUMNS,
        "covered": theory.COVERED,
        "facets": row_tables.FACETS,
        "failures": metrics.FAILURES,
        "bars": metrics.BARS,
        "goals": score.GOALS,
        "heading": row_tables.label,
        "ident": row_tables.ident,
        "ordered": row_tables.ordered,
        "page_rows": row_tables.PAGE,
        "phase_headings": phase.HEADINGS,
        "most_phases": phase.MOST,
        "trust": cells.TRUST,
        "trust_of": score.trust,
        "unlearned": cells.unlearned,
        "untested": tally.UNTESTED,
        "views": table.VIEWS,
        "arithmetic": theory.ARITHMETIC,
        "labels": theorem.LABELS,
        "learning_rate": settings.learning_rate,
        "marks": cells.MARKS,
        "maths": _maths,
        "metrics": metrics.METRICS,
        "optimizer": settings.optimizer,
        "run_path": run_path,
        "verdicts": cells.VERDICTS,
        "shown_margin": entries.shown_margin,
    }
    return environment


def _page(pages: jinja2.Environment, template: str, root: str, **values: Any) -> bytes:
    return pages.get_template(template).render(root=root, current=template.split(".")[0], **values).encode()


def _overview(board: document.Export, rows: list[cells.Cell], made: row_tables.Table) -> dict[str, Any]:
    counts = {name: sum(cells.verdict(cell) == name for cell in rows) for name in cells.VERDICTS}
    suites = [
        (suite, _caption(suite), [cell for cell in rows if cell.first.suite == suite.name]) for suite in board.suites
    ]
    return {
        "suites": [group for group in suites if group[2]],
        "rows": rows,
        "made": made,
        "phases": phase.rows(rows),
        "mine": sum(entry.note.startswith(row_tables.OWN) for entry in made.entries["cell"]),
        "counts": counts,
        "silent": len(rows) - sum(counts.values()),
        "tallies": tally.tallies(rows),
        "scope": scope.sentences(rows),
    }


def _by_spec(rows: list[cells.Cell]) -> list[list[cells.Cell]]:
    """Returns the cells of each spec, in their order."""
    found: dict[str, list[cells.Cell]] = {}
    for cell in rows:
        found.setdefault(spec_path(cell.first), []).append(cell)
    return list(found.values())


def _spec(own: list[cells.Cell]) -> dict[str, Any]:
    run = own[0].first
    drawn = tuple(cell.first for cell in own[:CURVES])
    return {
        "suite": run.suite,
        "spec": run.spec,
        "run": run,
        "made": row_tables.of_cells(own),
        "phases": phase.rows(own),
        "known": theorem.known(run),
        "drawn": drawn,
        "scatter": drawing.scatter(own),
        "fan": drawing.fan(own),
        "shown": figure.together(drawn, [one.label for one in drawn]) if len(drawn) > 1 else None,
    }


def _cell(cell: cells.Cell) -> dict[str, Any]:
    known = theorem.known(cell.first)
    return {
        "cell": cell,
        "run": cell.first,
        "entries": {key: column.entry(cell) for key, column in table.COLUMNS.items()},
        "seeds": [(run, cells.margin_of(run), _crossings(run)) for run in cell.runs],
        "known": known,
        "bad": [(run, theory.told(known, match)) for run in cell.runs if known and (match := theorem.match(run))],
        "shown": figure.together(cell.runs),
    }


def _run(run: document.Run, cell: cells.Cell) -> dict[str, Any]:
    alone = cells.Cell((run,), cell.trust)
    names = [name for name in metrics.METRICS if name in run.curves and name not in ERRORS]
    known, match = theorem.known(run), theorem.match(run)
    return {
        "run": run,
        "cell": cell,
        "alone": alone,
        "margin": cells.margin_of(run),
        "crossings": _crossings(run),
        "shown": figure.shown(run),
        "spectra": drawing.spectra(run),
        "looks": _numbers(run, alone, names),
        "left_out": _by_reason(run.left_out),
        "proven": theorem.proven(run),
        "told": theory.told(known, match) if known and match else "",
        "doubt": theorem.doubt(run),
        "failure": theorem.failure(run),
        "iterated": theorem.iterated(run),
        "numbers": names,
        "together": [
            (name, _whole(run, name)) for name in metrics.METRICS if name in run.summary and name not in ERRORS
        ],
    }


def _crossings(run: document.Run) -> entries.Entry:
    """Returns what the column of crossings says of one run."""
    return entries.crossings_of((run,), entries.bound(cells.Cell((run,)), "n_above_inv_eta") and "≈")


def _whole(run: document.Run, name: str) -> str:
    """Returns a number of a whole run as it is printed."""
    metric = metrics.METRICS[name]
    return entries.shown_metric(name, run.summary[name], run.summary.get(metric.error or ""), metric.bound)


def _numbers(run: document.Run, alone: cells.Cell, names: list[str]) -> list[tuple[int, list[str]]]:
    """Returns step and printed numbers of the logged steps whose numbers stand in the page."""
    signs = {name: entries.bound(alone, name) for name in names}
    return [(run.steps[at], [_number(run, name, at, signs[name]) for name in names]) for at in _looks(run)]


def _number(run: document.Run, name: str, at: int, sign: str) -> str:
    """Returns a number as it is printed: of sigma_min, where that is all that is known, the interval."""
    value, error = cells.at(run, name, at), cells.error_bar(run, name, at)
    if name == "sigma_min" and sign and value is not None:
        return entries.shown_margin(
            cells.Margin(value, error, run.steps[at], cells.at(run, "sigma_min_lower", at)), sign
        )
    return entries.shown_metric(name, value, error, sign)


def _looks(run: document.Run) -> list[int]:
    """Returns the places of at most LOOKS checkpoints: the first, the last, the one of the margin, and some between."""
    count = len(run.steps)
    if count <= LOOKS:
        return list(range(count))
    margin = cells.margin_of(run)
    least = {run.steps.index(margin.step)} if margin else set()
    return sorted({round(at * (count - 1) / (LOOKS - 2)) for at in range(LOOKS - 1)} | least)


def _by_reason(left_out: Mapping[str, str]) -> dict[str, list[str]]:
    """Returns, for each reason, which diagnostics were left out for it."""
    found: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        found.setdefault(reason, []).append(name)
    return found


def _optimisers(rows: list[cells.Cell]) -> dict[str, Any]:
    frozen = optimisers.reference()
    found = optimisers.rows(rows, frozen)
    return {
        "optimisers": found,
        "reference": frozen,
        "taus": optimisers.TAUS,
        "tied": optimisers.tied(found),
        "pareto": drawing.pareto(found),
    }


def _method() -> dict[str, Any]:
    wilson = {f"{hits}/{trials}": interval.wilson(hits, trials) for hits, trials in ((3, 3), (5, 5), (10, 10), (0, 3))}
    return {
        "wilson": wilson,
        "statements": theory.STATEMENTS,
        "reference": optimisers.reference(),
    }


def _data(board: document.Export, files: dict[str, bytes]) -> dict[str, Any]:
    listed = (from_store.FILE, "export.schema.json", "data/cells.csv", "data/cells.json", "data/cells.parquet")
    return {
        "files": [(path, len(files[path]), digest(files[path])) for path in listed],
        "datasets": sorted({(run.dataset.name, run.dataset.version): run.dataset for run in board.runs}.items()),
    }


def _caption(suite: document.Suite) -> str:
    """Returns the first sentence of a suite's note, below its heading and without its Markdown."""
    lines = [line for line in suite.note.strip().splitlines() if not line.startswith("#")]
    paragraph = " ".join("\n".join(lines).strip().partition("\n\n")[0].split())
    return re.sub(r"[`*]", "", re.split(r"(?<=\.) ", paragraph)[0])


@functools.lru_cache(maxsize=4096)
def _maths(written: str) -> markupsafe.Markup:
    """Returns a label for a page, escaped, with `_max` and `_min` as subscripts."""
    said = [markupsafe.escape(part) for part in re.split(r"_(max|min)\b", written)]
    return markupsafe.Markup("").join(
        markupsafe.Markup("<sub>{}</sub>").format(part) if place % 2 else part for place, part in enumerate(said)
    )


def _script(run: document.Run) -> bytes:
    """Returns a run's curves as a script: the only lazy loading that a browser allows on file://."""
    values = json.dumps(figure.curves(run), sort_keys=True, allow_nan=False, separators=(",", ":"))
    return f"GDZ.put({json.dumps(figure.name(run))},{values});\n".encode()


def _plots() -> bytes:
    """Returns what every page's plots are as a script."""
    said = json.dumps([plot.plain() for plot in figure.PLOTS], sort_keys=True, allow_nan=False)
    return f'GDZ.put("plots",{said});\n'.encode()


def _as_attribute(shown: figure.Shown) -> markupsafe.Markup:
    """Returns what differs from the defaults as an attribute, in single quotes, where JSON's own need no escapes."""
    values = {key: value for key, value in shown._asdict().items() if value}
    written = json.dumps(values, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character, escape in (("&", "&amp;"), ("'", "&#39;"), ("<", "&lt;")):
        written = written.replace(character, escape)
    return markupsafe.Markup(f"data-shown='{written}'")
