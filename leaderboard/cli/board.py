# SPDX-License-Identifier: Apache-2.0
"""`gdzoo board`: the site is built, exported, checked and served, and what the terminal prints of it."""

from __future__ import annotations

import itertools
import pathlib
import textwrap
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import typer

from harness import errors, workspace
from harness.cli.options import Store, console

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    import rich.console
    import rich.table

    from leaderboard.board import table as tables
    from leaderboard.export import from_store, shelf
    from leaderboard.site import brief

Result = TypeVar("Result")

board_app = typer.Typer(help="The static site.", no_args_is_help=True)

ROWS = 200
"""Configurations that the terminal prints, at most."""

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
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 where a run of the store was left out as it cannot be shown.")
    ] = False,
    to_come: Annotated[
        int, typer.Option("--to-come", min=0, help="How many runs are still being made: the first page says so.")
    ] = 0,
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
    from leaderboard.export import from_file, shelf

    def read(folder: pathlib.Path) -> shelf.Shelf:
        return from_file.shelved(source, folder=folder) if source else shelf.Shelf(folder=folder)

    output, out = output or workspace.site(), console()
    server = _server_address(mlflow) if mlflow else None
    content = Content(read if source or only else None, source is None, server, to_come, [])
    build_board(workspace.store(store), output, out, content)
    if strict and content.left_out:
        raise typer.Exit(errors.EXIT_FAILED)


@board_app.command("export")
def board_export(
    file: Annotated[pathlib.Path, typer.Argument(help="The file to write; replaced when it is whole.")] = (
        pathlib.Path("export.json")
    ),
    store: Store = None,
) -> None:
    """Write all runs of the store to one JSON file, in bulk: memory does not grow with what the runs recorded.

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
        read: Puts its runs on a shelf in a folder; None for those that the store holds.
        submitted: Whether what was submitted is shown too.
        server: Address of the MLflow that serves the store, with a slash at its end; its runs are linked to it.
        to_come: How many runs are still being made.
        left_out: Gets the runs of the store that cannot be shown, and why; None for whom one such run stops it.
    """

    read: Callable[[pathlib.Path], shelf.Shelf] | None = None
    submitted: bool = False
    server: str | None = None
    to_come: int = 0
    left_out: list[str] | None = None


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
        errors.InputError: The store or the folder cannot be used, or a run is malformed and may not be left out. The
            old site then stays as it was.
        errors.Rejected: A submitted bundle is none.
    """
    from leaderboard import folder
    from leaderboard.bundles import certificate, submissions
    from leaderboard.export import from_store
    from leaderboard.site import pages as site_pages

    links: dict[str, str] = {}

    def shelved(source: from_store.Source, step: Callable[[], None]) -> shelf.Shelf:
        if content.server:
            links.update({key: f"{content.server}{page}" for key, page in source.pages.items()})
        return from_store.shelved(source, step, target.partial)

    with folder.opened(output, site_pages.SUMS) as target:
        leave_out = None if content.left_out is None else content.left_out.append
        board = content.read(target.partial) if content.read else _read_store(store, shelved, leave_out)
        held = len(board)
        with out.status("reading what was submitted"):
            guests = submissions.merge(board, submissions.rows()) if content.submitted else set()
            certificates = list(certificate.shipped()) if content.submitted else []
        with out.status("building the pages"):
            own = _cells_run_here(board)
            briefs = site_pages.build(board, target, own, links, target.partial, content.to_come, certificates)
            written = target.finish()
    if held:
        _print_cells(briefs, guests, out)
    elif not len(board):
        out.print("there is no run in the store yet; `gdzoo run specs/quickstart` makes some", highlight=False)
    more = len(board) - held
    words = f"{len(board)} runs, {more} of them submitted" if more else f"{len(board)} runs"
    out.print(
        f"{words}; {written.written} files written, {written.unchanged} unchanged, {written.removed} removed",
        highlight=False,
    )
    if own:
        out.print(
            f"{len(own)} of the configurations were run here and are marked: index.html#show=mine", highlight=False
        )
    for reason in content.left_out or ():
        out.print(f"left out: {reason}", highlight=False, soft_wrap=True, markup=False)
    page = (output / "index.html").resolve()
    out.print(f"page: {page}", highlight=False, soft_wrap=True, markup=False)
    return page


def _print_cells(briefs: brief.Briefs, guests: Collection[shelf.Key], out: rich.console.Console) -> None:
    """Prints the scope of the cells that were not submitted, the first of them as a table, and their counts."""
    from leaderboard.board import scope, table, tally

    def held() -> Iterator[brief.Brief]:
        return (one for one in briefs if one.key not in guests)

    out.print(scope.sentences(one.seen for one in held()), highlight=False)
    out.print(_terminal_table(table.summary(one.row.entries for one in itertools.islice(held(), ROWS))))
    if (more := len(briefs) - len(guests) - ROWS) > 0:
        out.print(f"... and {more:,} more, on the page", highlight=False)
    for count in tally.tallies(one.counted for one in held()):
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


def _cells_run_here(board: shelf.Shelf) -> set[str]:
    """Returns the `suite/cell_id` of the cells that were run in this workspace, unless all were."""
    every = board.configurations()
    runs = workspace.runs()
    here = {
        f"{suite}/{cell_id}"
        for suite, cell_id in every
        if any((runs / suite / run_id).is_dir() for run_id in board.run_ids((suite, cell_id)))
    }
    return here if len(here) < len(every) else set()


def _read_store(
    uri: str,
    use: Callable[[from_store.Source, Callable[[], None]], Result],
    leave_out: from_store.LeaveOut | None = None,
) -> Result:
    """Opens a store and has it read, with a bar over its runs."""
    from harness.jobs import progress
    from leaderboard.export import from_store

    out = console(stderr=True)
    with out.status("asking the store what it holds"):
        source = from_store.opened(uri, leave_out)
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
