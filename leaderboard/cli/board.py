# SPDX-License-Identifier: Apache-2.0
"""`gdzoo board`: the site is built, exported, checked and served, and what the terminal prints of it."""

from __future__ import annotations

import pathlib
import textwrap
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import typer

from harness import errors, workspace
from harness.cli.options import Store, console

if TYPE_CHECKING:
    from collections.abc import Callable

    import rich.console
    import rich.table

    from leaderboard.board import table as tables
    from leaderboard.export import document, from_store

Result = TypeVar("Result")

board_app = typer.Typer(help="The static site.", no_args_is_help=True)

Site = Annotated[
    pathlib.Path | None, typer.Argument(help="Folder of the site. Default: site/ in the workspace.", metavar="FOLDER")
]


@board_app.command("build")
def board_build(
    store: Store = None,
    output: Annotated[
        pathlib.Path | None, typer.Option("--output", help="Folder of the site. Default: site/ in the workspace.")
    ] = None,
    source: Annotated[
        pathlib.Path | None, typer.Option("--from", help="Build from an export.json instead of a store.")
    ] = None,
    only: Annotated[
        bool, typer.Option("--only-submitted", help="Leave the store out: the public board, of bundles alone.")
    ] = False,
    mlflow: Annotated[
        str | None,
        typer.Option("--mlflow", help="Link the runs of the store to their pages in the MLflow at this address."),
    ] = None,
) -> None:
    """Read the store and what was submitted, write export.json and the pages, and say where they are.

    A configuration that the store holds is shown with the store's runs; `leaderboard/submissions/` gives the others.
    """
    if sum(map(bool, (store, source, only))) > 1:
        raise errors.InputError(
            "--store, --from and --only-submitted exclude each other: one is read instead of the others"
        )
    if mlflow and (source or only):
        raise errors.InputError("--mlflow links the runs of a store; --from and --only-submitted read none")
    from leaderboard.export import document, from_store

    board = from_store.load(source) if source else document.compose([], []) if only else None
    output, out = output or workspace.site(), console()
    server = _server_address(mlflow) if mlflow else None
    build_board(workspace.store(store), output, out, Content(board, source is None, server))


@board_app.command("export")
def board_export(
    file: Annotated[pathlib.Path, typer.Argument(help="The file to write; replaced when it is whole.")] = (
        pathlib.Path("export.json")
    ),
    store: Store = None,
) -> None:
    """Write all runs of the store to one JSON file, in bulk: memory does not grow with the number of runs' points.

    It is what `gdzoo board build --from FILE` builds from, on this machine or another.
    """
    from leaderboard.export import from_store

    _read_store(workspace.store(store), lambda source, step: from_store.write(source, file, step))
    console().print(f"export: {file}", highlight=False, soft_wrap=True, markup=False)


@board_app.command("check")
def board_check(site: Site = None) -> None:
    """Check a built site: checksums, links, ids, content policies, and sizes against their budgets.

    Exit code 1 where something is wrong or too large.
    """
    from harness.jobs import progress
    from leaderboard.site import check

    output, out = site or workspace.site(), console()
    pages = [path for path in check.checksums(output) if path.endswith(".html")]
    with progress.bar(console(stderr=True), len(pages)) as bar:
        wrong = list(check.problems(output, lambda path: bar.end()))
    for line in wrong[:50]:
        out.print(line, highlight=False, soft_wrap=True, markup=False)
    if len(wrong) > 50:
        out.print(f"... and {len(wrong) - 50} more", highlight=False)
    large = 0
    for figure in check.figures(output):
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

    from leaderboard.site import check

    output, out = site or workspace.site(), console()
    check.checksums(output)
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


class Content(NamedTuple):
    """What a site shows.

    Attributes:
        board: Its runs; None for those that the store holds.
        submitted: Whether what was submitted is shown too.
        server: Address of the MLflow that serves the store, with a slash at its end; its runs are linked to it.
    """

    board: document.Export | None = None
    submitted: bool = False
    server: str | None = None


def build_board(store: str, output: pathlib.Path, out: rich.console.Console, content: Content) -> pathlib.Path:
    """Builds the site and prints the cells of the store and where the first page is.

    Args:
        store: URI of the store to read.
        output: Folder of the site.
        out: Where to print.
        content: What the site shows.

    Returns:
        The path of the first page.

    Raises:
        errors.InputError: The store cannot be read, a run in it is malformed, or the folder cannot be written. The
            old site then stays as it was.
        errors.Rejected: A submitted bundle is none.
    """
    from leaderboard import folder
    from leaderboard.bundles import submissions
    from leaderboard.export import from_store
    from leaderboard.site import pages as site_pages

    pages: dict[str, str] = {}

    def gathered(source: from_store.Source, step: Callable[[], None]) -> document.Export:
        server = content.server
        pages.update({key: f"{server}{page}" for key, page in source.pages.items()} if server else {})
        return from_store.gathered(source, step)

    held = shown = content.board or _read_store(store, gathered)
    if content.submitted:
        with out.status("reading what was submitted"):
            shown = submissions.merged(held, list(submissions.rows()))
    with out.status("building the pages"):
        own = _cells_run_here(shown)
        written = folder.write(site_pages.render(shown, own, pages), output, site_pages.SUMS)
    page = (output / "index.html").resolve()
    if held.runs:
        _print_cells(held, out)
    elif not shown.runs:
        out.print("there is no run in the store yet; `gdzoo run specs/quickstart` makes some", highlight=False)
    more = len(shown.runs) - len(held.runs)
    words = f"{len(shown.runs)} runs, {more} of them submitted" if more else f"{len(shown.runs)} runs"
    out.print(
        f"{words}; {written.written} files written, {written.unchanged} unchanged, {written.removed} removed",
        highlight=False,
    )
    if own:
        out.print(
            f"{len(own)} of the configurations were run here and are marked: index.html#show=mine", highlight=False
        )
    out.print(f"page: {page}", highlight=False, soft_wrap=True, markup=False)
    return page


def _print_cells(held: document.Export, out: rich.console.Console) -> None:
    """Prints the scope of a board, its cells as a table, and its counts."""
    from leaderboard.board import cell as cells
    from leaderboard.board import scope, table, tally

    rows = cells.cells(held)
    out.print(scope.sentences(rows), highlight=False)
    out.print(_terminal_table(table.summary(held)))
    for count in tally.tallies(rows):
        out.print(f"{count.heading}: {count.shown}", highlight=False)


def _server_address(address: str) -> str:
    """Returns the address of an MLflow server as links begin with it.

    Raises:
        errors.InputError: It is none, or holds what a public page must not.
    """
    import urllib.parse

    try:
        parts = urllib.parse.urlsplit(address)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or "@" in parts.netloc or parts.query or parts.fragment or any(map(str.isspace, address)):
        raise errors.InputError(
            "--mlflow: not the address of a server as its users open it, without a password, for example "
            "https://mlflow.example.org or http://127.0.0.1:5000"
        )
    return address.rstrip("/") + "/"


def _cells_run_here(board: document.Export) -> set[str]:
    """Returns the `suite/cell_id` of the cells that were run in this workspace, unless all were."""
    every = {f"{run.suite}/{run.cell_id}" for run in board.runs}
    here = {f"{run.suite}/{run.cell_id}" for run in board.runs if (workspace.runs() / run.suite / run.run_id).is_dir()}
    return here if here != every else set()


def _read_store(uri: str, use: Callable[[from_store.Source, Callable[[], None]], Result]) -> Result:
    """Opens a store and has it read, with a bar over its runs."""
    from harness.jobs import progress
    from leaderboard.export import from_store

    out = console(stderr=True)
    with out.status("asking the store what it holds"):
        source = from_store.opened(uri)
    with progress.bar(out, source.size) as bar:
        return use(source, bar.end)


def _terminal_table(summary: tables.Summary) -> rich.table.Table:
    """Returns the summary as a table that a terminal of any width folds, with text from runs kept as text."""
    import rich.table
    import rich.text

    from leaderboard.board import table

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
