# SPDX-License-Identifier: Apache-2.0
"""The site: from the runs on a shelf to the bytes of every file.

Runs are read configuration by configuration, each once; `folder.py` keeps the old site until all files are made, and
those that stand as they would be made are not made again. Pages carry no inline script or style, ask for nothing but
their own files, and say all they know without JavaScript; the scripts in `assets/` add sorting, filtering and plots.
"""

from __future__ import annotations

import collections
import functools
import itertools
import json
import pathlib
import re
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
import markupsafe

from harness import metrics, theory, workspace
from harness.records import ends
from harness.specs import expected
from leaderboard import code, folder
from leaderboard.board import cell as cells
from leaderboard.board import controls as control_rows
from leaderboard.board import (
    entries,
    interval,
    minima,
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
from leaderboard.bundles import certificate
from leaderboard.export import document, from_store, shelf
from leaderboard.site import brief, drawing, figure, overview, published, spreadsheet, tracing
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

ZERO = re.compile(r"(?<=[\[,-])0(?=\.)")

ERRORS = {row.error for row in metrics.METRICS.values() if row.error}


def render(
    board: document.Export | shelf.Shelf,
    own: Collection[str] = (),
    mlflow: Mapping[str, str] = types.MappingProxyType({}),
) -> dict[str, bytes]:
    """Returns every file of the site of a small board by its path; see `build`."""
    target = folder.Memory()
    build(board if isinstance(board, shelf.Shelf) else shelf.of(board), target, own, mlflow)
    return target.files


def build(
    board: shelf.Shelf,
    target: folder.Target,
    own: Collection[str] = (),
    mlflow: Mapping[str, str] = types.MappingProxyType({}),
    scratch: pathlib.Path | None = None,
    to_come: int = 0,
    certificates: Sequence[certificate.Certificate] = (),
) -> brief.Briefs:
    """Makes every file of the site: the pages of one configuration after the other, then those of the whole board.

    The same runs give the same bytes, with a SHA256SUMS over all other files. Pages of a configuration or a spec that
    stand as they would be made are not made again.

    Args:
        board: What to show.
        target: Where the files go.
        own: `suite/cell_id` of the cells that are marked as the reader's own.
        mlflow: `suite/run_id` -> where its page in MLflow is, for runs that link to it.
        scratch: Folder for what does not fit into memory, by default that of temporary files.
        to_come: How many runs are still being made, for the first page to say.
        certificates: Of maps that were never iterated, for the page *Published networks*.

    Returns:
        What the pages of the whole board take of each cell.
    """
    made = _Build(board, target, mlflow, brief.Briefs(scratch))
    for key in board.configurations():
        made.cell(key)
    made.briefs.sort()
    for places in made.briefs.by_spec().values():
        made.spec(places)
    made.published(certificates)
    made.board(own, to_come)
    return made.briefs


class _Build:
    """A site that is being made."""

    def __init__(
        self, board: shelf.Shelf, target: folder.Target, mlflow: Mapping[str, str], briefs: brief.Briefs
    ) -> None:
        self.shelf, self.target, self.mlflow, self.briefs = board, target, mlflow, briefs
        self.pages = _environment()
        self.made_of: dict[shelf.Key, str] = {}
        self.controls: list[control_rows.Row] = []
        self.datasets: dict[tuple[str, str], tuple[Any, document.Dataset]] = {}

    def cell(self, key: shelf.Key) -> None:
        """Makes the pages of a cell and of its runs, and keeps of it what the other pages take."""
        cell = cells.Cell(self.shelf.runs(key), self.shelf.trust.get(key))
        self.briefs.add(cell)
        for run in cell.runs:
            self.controls += control_rows.rows(run)
            place, found = (run.dataset.name, run.dataset.version), (document.order(run), run.dataset)
            self.datasets[place] = max(self.datasets.get(place, found), found, key=lambda one: one[0])
        links = [self.mlflow.get(figure.name(run)) for run in cell.runs]
        trust = None if cell.trust is None else cell.trust.model_dump_json()
        self.made_of[key] = code.hashed(code.digest(), *self.shelf.digests(key), trust, *links)
        scripts = [path for run in cell.runs for path, _ in _scripts(run)]
        paths = [f"{cell_path(cell.first)}.html", *scripts, *(f"{run_path(run)}.html" for run in cell.runs)]
        if self.target.stands(cell_path(cell.first), self.made_of[key], paths):
            return
        dated = {"snapshot": max(run.ended for run in cell.runs), "whose": "the latest run of this configuration"}
        self._page(f"{cell_path(cell.first)}.html", "cell.html", dated | _cell(cell))
        for run, link in zip(cell.runs, links, strict=True):
            for path, made in _scripts(run):
                self.target.put(path, made())
            self._page(f"{run_path(run)}.html", "run.html", dated | _run(run, cell) | {"mlflow": link})

    def spec(self, places: Sequence[int]) -> None:
        """Makes the page of the cells of a spec."""
        keys = self.briefs.keys(places)
        first = next(self.briefs.of(places[:1]))
        path = f"spec/{first.key[0]}/{first.spec}"
        if self.target.stands(path, code.hashed(*(self.made_of[key] for key in keys)), [f"{path}.html"]):
            return
        some = [cells.Cell(self.shelf.runs(key), self.shelf.trust.get(key)) for key in keys[:CURVES]]
        own = list(self.briefs.of(places))
        dated = {"snapshot": max(one.ended for one in own), "whose": "the latest run of this spec"}
        self._page(f"{path}.html", "spec.html", dated | _spec(own, some))

    def published(self, found: Sequence[certificate.Certificate]) -> None:
        """Makes the page of the published networks, and lays their certificates beside it."""
        for one in found:
            self.target.put(published.path(one), certificate.dump(one))
        networks = published.networks(found)
        rows = [row for network in networks for row in network.rows]
        counts = {
            "count": len(rows),
            "known": sum(row.says.complete for row in rows),
            "pointed": sum(bool(row.points) for row in rows),
            "missing": published.missing(found) if found else [],
        }
        self._page("published.html", "published.html", {"snapshot": "", "whose": "", "networks": networks, **counts})

    def board(self, own: Collection[str], to_come: int) -> None:
        """Makes all that is of the whole board."""
        put, briefs = self.target.put, self.briefs
        put(".nojekyll", b"")
        for asset in sorted(ASSETS.iterdir()):
            if asset.suffix in (".css", ".js", ".svg"):
                put(f"a/{asset.name}", asset.read_bytes())
        for name in DOCUMENTS:
            put(f"docs/{name}.txt", (workspace.CHECKOUT / "docs" / f"{name}.md").read_bytes())
        put("data/plots.js", _plots())
        with self.target.opened(from_store.FILE) as file:
            file.writelines(from_store.parts(self.shelf.empty(), self.shelf.lines()))
        put("export.schema.json", from_store.schema())
        for name, parts in (("csv", spreadsheet.to_csv), ("json", spreadsheet.to_json)):
            with self.target.opened(f"data/cells.{name}") as file:
                file.writelines(parts(one.sheet for one in briefs))
        with self.target.opened("data/cells.parquet") as file:
            spreadsheet.to_parquet((one.sheet for one in briefs), file)
        axis = figure.axis(one.row.ends for one in briefs)
        for path, script in row_tables.scripts("cells", _marked(briefs, own), axis):
            put(path, script)
        for path, script in row_tables.scripts("runs", briefs.runs()):
            put(path, script)
        shown = list(itertools.islice(_marked(briefs, own), row_tables.PAGE))
        strips = [axis and axis.strip(row.ends) for row in shown]
        made = row_tables.Table("cells", shown, len(briefs), strips, row_tables.choices(one.row for one in briefs))
        dated = {"snapshot": self.shelf.snapshot, "whose": "its latest run"}
        mine = sum(f"{suite}/{cell_id}" in own for suite, cell_id in self.shelf.configurations())
        first = dated | _overview(self.shelf, briefs, made) | {"mine": mine, "to_come": to_come}
        self._page("index.html", "index.html", first)
        shown = list(itertools.islice(briefs.runs(), row_tables.PAGE))
        made = row_tables.Table(
            "runs", shown, briefs.runs_count, [None] * len(shown), row_tables.choices(briefs.runs())
        )
        self._page("runs.html", "runs.html", dated | {"made": made})
        self._page("compare.html", "compare.html", dated)
        found = control_rows.controls(self.controls)
        self._page("controls.html", "controls.html", dated | {"controls": found, "scores": control_rows.scores(found)})
        tried = (one.tried for one in briefs if one.tried is not None)
        self._page("optimisers.html", "optimisers.html", dated | _optimisers(tried))
        sweeps = minima.sweeps(one.swept for one in briefs if one.swept is not None)
        self._page("minima.html", "minima.html", dated | _minima(sweeps))
        self._page("method.html", "method.html", dated | _method())
        datasets = sorted((place, dataset) for place, (_, dataset) in self.datasets.items())
        self._page("data.html", "data.html", dated | _data(self.target.known, datasets))
        known = self.target.known
        put(SUMS, "".join(f"{known[path].digest.hex()}  {path}\n" for path in sorted(known)).encode())

    def _page(self, path: str, template: str, values: Mapping[str, Any]) -> None:
        root = "../" * path.count("/")
        page = self.pages.get_template(template).render(root=root, current=template.split(".")[0], **values)
        self.target.put(path, page.encode())


def _marked(briefs: brief.Briefs, own: Collection[str]) -> Iterator[row_tables.Row]:
    """Yields the rows of the table of cells; those whose name is in `own` say that they are the reader's."""
    return (row_tables.mine(one.row) if one.row.name in own else one.row for one in briefs)


def run_path(run: document.Run) -> str:
    """Returns where a run's page lies, without its ending; two suites may hold the same run."""
    return f"run/{run.suite}/{run.run_id}"


def cell_path(run: document.Run) -> str:
    """Returns where the page of a run's cell lies, without its ending."""
    return f"cell/{run.suite}/{run.cell_id}"


def spec_path(run: document.Run) -> str:
    """Returns where the page of a run's spec lies, without its ending."""
    return f"spec/{run.suite}/{run.spec}"


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
        "flat": number.show(ends.FLAT),
        "failures": metrics.FAILURES,
        "bars": metrics.BARS,
        "goals": score.GOALS,
        "heading": row_tables.label,
        "ordered": row_tables.ordered,
        "phase_headings": phase.HEADINGS,
        "most_phases": phase.MOST,
        "stationary": number.show(ends.STATIONARY),
        "sweep_least": minima.LEAST,
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


def _overview(board: shelf.Shelf, briefs: brief.Briefs, made: row_tables.Table) -> dict[str, Any]:
    verdicts = collections.Counter(one.verdict for one in briefs)
    sizes = collections.Counter(suite for suite, _ in board.configurations())
    suites = sorted(board.suites.values(), key=lambda suite: suite.name)
    return {
        "suites": [(suite, _caption(suite), sizes[suite.name]) for suite in suites if sizes[suite.name]],
        "count": len(briefs),
        "made": made,
        "phases": phase.rows(one.placed for one in briefs),
        "counts": {name: verdicts[name] for name in cells.VERDICTS},
        "silent": verdicts[None],
        "tallies": tally.tallies(one.counted for one in briefs),
        "scope": scope.sentences(one.seen for one in briefs),
        "flow": _flow(board, briefs),
        "strip": overview.strip(one.pictured for one in briefs),
    }


def _flow(
    board: shelf.Shelf, briefs: brief.Briefs
) -> tuple[document.Run, drawing.Drawing, list[tuple[str, str]]] | None:
    """Returns the run whose flow stands on the first page, its drawing and its key; None where none has a trace."""
    found = overview.chosen([one.pictured._replace(near=()) for one in briefs])
    if found is None or found.turns is None:
        return None
    run_id = found.turns[2]
    run = overview.run_of(board.runs((found.suite, run_id.rpartition("-s")[0])), run_id)
    assert run.trace is not None, "it was chosen among those with one"
    flow = tracing.traced(run.trace)
    return run, drawing.flow(flow), tracing.key(flow, one_piece=run.one_piece)


def _spec(own: Sequence[brief.Brief], some: Sequence[cells.Cell]) -> dict[str, Any]:
    """Returns what the page of a spec shows: of all its cells their briefs, of the first ones their runs."""
    run = some[0].first
    drawn = tuple(cell.first for cell in some)
    axis = figure.axis(one.row.ends for one in own)
    shown = [one.row for one in own]
    return {
        "suite": run.suite,
        "spec": run.spec,
        "run": run,
        "made": row_tables.Table("cells", shown, len(shown), [axis and axis.strip(row.ends) for row in shown]),
        "phases": phase.rows(one.placed for one in own),
        "known": theorem.known(run),
        "drawn": drawn,
        "scatter": drawing.scatter([seed for one in own for seed in one.seeds]),
        "fan": drawing.fan(some),
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
        "traced": _traced(run),
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


def _traced(run: document.Run) -> list[tuple[str, str, list[str], drawing.Drawing, list[tuple[str, str]]]]:
    """Returns the figures of a run's trace: name, title, caption, drawing and key of each."""
    if run.trace is None or not run.trace.steps:
        return []
    flow = tracing.traced(run.trace)
    key = tracing.key(flow, one_piece=run.one_piece)
    shown = [("flow", "Flow of the eigenvalues", tracing.said(run, flow), drawing.flow(flow), key)]
    if losses := drawing.losses(run.trace):
        shown.append(("losses", "Loss, step by step", [tracing.said_of_losses(run)], losses, []))
    return shown


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


def _optimisers(tried: Iterable[optimisers.Tried]) -> dict[str, Any]:
    frozen = optimisers.reference()
    found = optimisers.rows(tried, frozen)
    return {
        "optimisers": found,
        "reference": frozen,
        "taus": optimisers.TAUS,
        "tied": optimisers.tied(found),
        "pareto": drawing.pareto(found),
    }


def _minima(tables: Sequence[minima.Table]) -> dict[str, Any]:
    return {"tables": tables, "said": minima.said(tables), "sharp": drawing.sharpness(minima.of(tables))}


def _method() -> dict[str, Any]:
    wilson = {f"{hits}/{trials}": interval.wilson(hits, trials) for hits, trials in ((3, 3), (5, 5), (10, 10), (0, 3))}
    return {
        "wilson": wilson,
        "statements": theory.STATEMENTS,
        "reference": optimisers.reference(),
    }


def _data(known: Mapping[str, folder.Known], datasets: Sequence[tuple[object, document.Dataset]]) -> dict[str, Any]:
    listed = (from_store.FILE, "export.schema.json", "data/cells.csv", "data/cells.json", "data/cells.parquet")
    return {
        "files": [(path, known[path].size, known[path].digest.hex()) for path in listed],
        "datasets": datasets,
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


def _scripts(run: document.Run) -> list[tuple[str, Callable[[], bytes]]]:
    """Returns paths and makers of a run's scripts, the only lazy loading that a browser allows on file://."""
    found: list[tuple[str, Callable[[], bytes]]] = [(f"data/{run_path(run)}.js", functools.partial(_script, run))]
    if run.trace is not None and run.trace.steps:
        found.append((f"data/trace/{run_path(run)}.js", functools.partial(_trace_script, run, run.trace)))
    return found


def _script(run: document.Run) -> bytes:
    """Returns a run's curves as a script."""
    told = figure.curves(run)
    curves, others = _numbers_of(told.pop("curves")), _written(told)
    return f'GDZ.put({json.dumps(figure.name(run))},{{"curves":{curves},{others[1:]});\n'.encode()


def _trace_script(run: document.Run, trace: document.Trace) -> bytes:
    """Returns a run's trace as a script."""
    told = tracing.script(trace, tracing.traced(trace))
    return f'GDZ.put("trace",{{"run":{json.dumps(figure.name(run))},{_numbers_of(told)[1:]});\n'.encode()


def _written(told: Any) -> str:
    return json.dumps(told, sort_keys=True, allow_nan=False, separators=(",", ":"))


def _numbers_of(told: Any) -> str:
    """Returns what holds numbers without a leading zero, as scripts may have them: one byte less of six."""
    return ZERO.sub("", _written(told))


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
