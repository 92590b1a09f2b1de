# SPDX-License-Identifier: Apache-2.0
"""The leaderboard's commands. Everything slow to import is imported in the command that needs it."""

from __future__ import annotations

import pathlib
import textwrap
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from harness import cli as harness_cli
from harness import errors, workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    import rich.console
    import rich.table

    from leaderboard import document, export
    from leaderboard import table as tables

Result = TypeVar("Result")

app = typer.Typer()
board_app = typer.Typer(help="The static site.", no_args_is_help=True)
app.add_typer(board_app, name="board")


@board_app.command("build")
def board_build(
    store: harness_cli.Store = None,
    output: Annotated[
        pathlib.Path | None, typer.Option("--output", help="Folder of the site. Default: site/ in the workspace.")
    ] = None,
    source: Annotated[
        pathlib.Path | None, typer.Option("--from", help="Build from an export.json instead of a store.")
    ] = None,
) -> None:
    """Read the store, write export.json and the pages, and say where they are."""
    if store and source:
        raise errors.InputError("--store and --from exclude each other: the one is read instead of the other")
    from leaderboard import export

    board = export.load(source) if source else None
    build_board(workspace.store(store), output or workspace.site(), harness_cli.console(), board=board)


@board_app.command("export")
def board_export(
    file: Annotated[pathlib.Path, typer.Argument(help="The file to write; replaced when it is whole.")] = (
        pathlib.Path("export.json")
    ),
    store: harness_cli.Store = None,
) -> None:
    """Write all runs of the store to one JSON file, in bulk: memory does not grow with the number of runs' points.

    It is what `gdzoo board build --from FILE` builds from, on this machine or another.
    """
    from leaderboard import export

    _read(workspace.store(store), lambda source, step: export.write(source, file, step))
    harness_cli.console().print(f"export: {file}", highlight=False, soft_wrap=True, markup=False)


Site = Annotated[
    pathlib.Path | None, typer.Argument(help="Folder of the site. Default: site/ in the workspace.", metavar="FOLDER")
]


@board_app.command("check")
def board_check(site: Site = None) -> None:
    """Check a built site: checksums, links, ids, content policies, and sizes against their budgets.

    Exit code 1 where something is wrong or too large.
    """
    from harness import progress
    from leaderboard import checking

    output, out = site or workspace.site(), harness_cli.console()
    pages = [path for path in checking.checksums(output) if path.endswith(".html")]
    with progress.bar(harness_cli.console(stderr=True), len(pages)) as bar:
        wrong = list(checking.problems(output, lambda path: bar.end()))
    for line in wrong[:50]:
        out.print(line, highlight=False, soft_wrap=True, markup=False)
    if len(wrong) > 50:
        out.print(f"... and {len(wrong) - 50} more", highlight=False)
    large = 0
    for figure in checking.figures(output):
        large += not figure.holds
        verdict = "within" if figure.holds else "OVER"
        out.print(f"{figure.name}: {figure.value:,.1f} {figure.unit}, {verdict} {figure.budget:,.0f}", highlight=False)
    out.print(f"{len(pages)} pages; {len(wrong)} problems, {large} sizes over their budget", highlight=False)
    if wrong or large:
        raise typer.Exit(errors.EXIT_FAILED)


@board_app.command("serve")
def board_serve(
    site: Site = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8000,
) -> None:
    """Serve a built site on this machine alone, until Ctrl-C. A convenience: the pages open from disk as well."""
    import functools
    import http.server

    from leaderboard import checking

    output, out = site or workspace.site(), harness_cli.console()
    checking.checksums(output)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(output))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise errors.InputError(
            f"port {port} is taken ({error.strerror}); name another with --port, 0 for any"
        ) from None
    with server:
        out.print(
            f"http://127.0.0.1:{server.server_port}/ serves {output}; Ctrl-C ends it", highlight=False, soft_wrap=True
        )
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            out.print("ended")


@harness_cli.store_app.command("import")
def store_import(
    folders: Annotated[
        list[pathlib.Path],
        typer.Argument(
            help="A run folder, a suite's, the runs/ of a workspace, or a workspace.",
            metavar="FOLDER...",
            exists=True,
            file_okay=False,
        ),
    ],
    store: harness_cli.Store = None,
) -> None:
    """Take run folders from a machine that has no store (`gdzoo run --no-store`) and send them to the store here.

    Each is checked like a stranger's: a run whose files disagree is refused, the others are taken. A run that is here
    already stays as it is. Exit code 1 where a run was not taken or waits for the store.
    """
    from harness import progress, tracking
    from leaderboard import incoming

    opened = tracking.open_store(workspace.store(store))
    sources = incoming.found(folders)
    if not sources:
        raise errors.InputError(
            f"{folders[0]}: no run folder here or below (one holds run.json, records.jsonl, cell.yaml)"
        )
    taken = []
    with progress.bar(harness_cli.console(stderr=True), len(sources)) as bar:
        for source in sources:
            bar.begin(source.name, 1)
            taken.append(incoming.take(source))
            bar.end()
    out = harness_cli.console()
    words = [one.word for one in taken]
    refused = words.count("other") + words.count("refused")
    for one in taken:
        if one.why:
            out.print(f"not taken: {one.source}: {one.why}", highlight=False, soft_wrap=True, markup=False)
    out.print(
        f"{words.count('taken')} runs taken, {words.count('there')} there already, {refused} not taken",
        highlight=False,
    )
    harness_cli.bring([one.folder for one in taken if one.folder is not None], opened)
    if refused:
        raise typer.Exit(errors.EXIT_FAILED)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(help="run_ids, cell_ids (all seeds of one), or the beginning of either.", metavar="RUN..."),
    ],
    store: harness_cli.Store = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print settings and all curves as JSON, and nothing else.")
    ] = False,
) -> None:
    """Show runs side by side: the settings in which they differ, where they ended, their curves in a line each.

    A run is shown with the error bars of its numbers, a cell with the median and [least–greatest] of its seeds. Curves
    (of a cell: those of its first seed) share one scale in each row. `gdzoo ui` draws them.
    """
    from leaderboard import compare as compared

    out = harness_cli.console()
    with harness_cli.console(stderr=True).status("reading the runs"):
        columns = compared.found(runs, workspace.store(store))
    if json:
        print(compared.as_json(columns))
        return
    for heading, rows in (
        ("settings that differ", compared.settings(columns)),
        ("at the last checkpoint step", compared.ends(columns)),
        ("over the checkpoint steps", compared.curves(columns)),
    ):
        out.print(_side_by_side(heading, list(map(compared.title, columns)), rows))
        out.print()


@app.command()
def submit(specs: harness_cli.Specs, store: harness_cli.Store = None, device: harness_cli.Device = "auto") -> None:
    """Check specs, make the missing runs, rebuild the board, and say what was found."""
    from harness import engines

    out = harness_cli.console()
    harness_cli.check_specs(specs, device=device)
    outcome = harness_cli.run_specs(specs, store=store, options=engines.Options(device=device))
    build_board(workspace.store(store), workspace.site(), out)
    harness_cli.finish(outcome, out)
    out.print("next: `gdzoo ui` opens the runs in MLflow", highlight=False)


def build_board(
    store: str, output: pathlib.Path, out: rich.console.Console, *, board: document.Export | None = None
) -> pathlib.Path:
    """Builds the site and prints what it shows and where its first page is.

    Args:
        store: URI of the store to read.
        output: Folder of the site.
        out: Where to print.
        board: The export to show instead of what the store holds.

    Returns:
        The path of the first page.

    Raises:
        errors.InputError: The store cannot be read, a run in it is malformed, or the folder cannot be written. The
            old site then stays as it was.
    """
    from leaderboard import export, folder, site, table

    shown = board or _read(store, export.gathered)
    with out.status("building the pages"):
        own = _own(shown)
        written = folder.write(site.render(shown, own), output, site.SUMS)
    page = (output / "index.html").resolve()
    if shown.runs:
        out.print(_table(table.summary(shown)))
    else:
        out.print("there is no run in the store yet; `gdzoo run specs/quickstart` makes some", highlight=False)
    out.print(
        f"{len(shown.runs)} runs; {written.written} files written, {written.unchanged} unchanged, "
        f"{written.removed} removed",
        highlight=False,
    )
    if own:
        out.print(f"{len(own)} of the cells were run here and are marked: index.html#show=mine", highlight=False)
    out.print(f"page: {page}", highlight=False, soft_wrap=True, markup=False)
    return page


def _own(board: document.Export) -> set[str]:
    """Returns the `suite/cell_id` of the cells that were run in this workspace, unless all were."""
    every = {f"{run.suite}/{run.cell_id}" for run in board.runs}
    here = {f"{run.suite}/{run.cell_id}" for run in board.runs if (workspace.runs() / run.suite / run.run_id).is_dir()}
    return here if here != every else set()


def _side_by_side(heading: str, titles: list[str], rows: dict[str, list[str]]) -> rich.table.Table:
    """Returns a table with a column for each run, with text from runs kept as text."""
    import rich.table
    import rich.text

    drawn = rich.table.Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    drawn.add_column(heading, overflow="fold")
    for title in titles:
        drawn.add_column(rich.text.Text(title), overflow="fold")
    for name, entries in rows.items():
        drawn.add_row(rich.text.Text(name), *map(rich.text.Text, entries))
    if not rows:
        drawn.add_row("none")
    return drawn


def _read(uri: str, use: Callable[[export.Source, Callable[[], None]], Result]) -> Result:
    """Opens a store and has it read, with a bar over its runs."""
    from harness import progress
    from leaderboard import export

    out = harness_cli.console(stderr=True)
    with out.status("asking the store what it holds"):
        source = export.opened(uri)
    with progress.bar(out, source.size) as bar:
        return use(source, bar.end)


def _table(summary: tables.Summary) -> rich.table.Table:
    """Returns the summary as a table that a terminal of any width folds, with text from runs kept as text."""
    import rich.table
    import rich.text

    from leaderboard import table

    drawn = rich.table.Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    shown = [column for column in table.COLUMNS.values() if column.terminal]
    for column, entries in zip(shown, zip(*summary.rows, strict=True), strict=True):
        if column.numeric:
            width = max(8, *map(len, (*column.label.split(), *entries)))
            drawn.add_column("\n".join(textwrap.wrap(column.label, width)), justify="right", no_wrap=True)
        else:
            drawn.add_column(column.label, overflow="fold")
    for row in summary.rows:
        drawn.add_row(*(rich.text.Text(entry) for entry in row))
    return drawn
