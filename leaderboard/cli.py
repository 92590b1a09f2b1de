# SPDX-License-Identifier: Apache-2.0
"""The leaderboard's commands. Everything slow to import is imported in the command that needs it."""

from __future__ import annotations

import pathlib
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from harness import cli as harness_cli
from harness import errors, workspace

if TYPE_CHECKING:
    import rich.console
    import rich.table

    from leaderboard import document
    from leaderboard import table as tables

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

    with out.status("reading the store"):
        shown = export.read(store) if board is None else board
    with out.status("building the pages"):
        written = folder.write(site.render(shown), output, site.SUMS)
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
    out.print(f"page: {page}", highlight=False, soft_wrap=True, markup=False)
    return page


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
