# SPDX-License-Identifier: Apache-2.0
"""The leaderboard's commands. Everything slow to import is imported in the command that needs it."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from harness import errors, workspace
from harness.cli import store as store_commands
from harness.cli.options import Store, console
from leaderboard.cli import board, bundles

if TYPE_CHECKING:
    import rich.table

app = typer.Typer()
app.add_typer(board.board_app, name="board")


@store_commands.app.command("import")
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
    store: Store = None,
) -> None:
    """Take run folders from a machine that has no store (`gdzoo run --no-store`) and send them to the store here.

    Each is checked like a stranger's: a run whose files disagree is refused, the others are taken. A run that is here
    already stays as it is. Exit code 1 where a run was not taken or waits for the store.
    """
    from harness.jobs import progress
    from harness.tracking import client
    from leaderboard.export import incoming

    opened = client.open_store(workspace.store(store))
    sources = incoming.run_folders(folders)
    if not sources:
        raise errors.InputError(
            f"{folders[0]}: no run folder here or below (one holds run.json, records.jsonl, cell.yaml)"
        )
    taken = []
    with progress.bar(console(stderr=True), len(sources)) as bar:
        for source in sources:
            bar.begin(source.name, 1)
            taken.append(incoming.take(source))
            bar.end()
    out = console()
    words = [one.word for one in taken]
    refused = words.count("conflict") + words.count("refused")
    for one in taken:
        if one.why:
            out.print(f"not taken: {one.source}: {one.why}", highlight=False, soft_wrap=True, markup=False)
    out.print(
        f"{words.count('taken')} runs taken, {words.count('present')} there already, {refused} not taken",
        highlight=False,
    )
    store_commands.bring([one.folder for one in taken if one.folder is not None], opened)
    if refused:
        raise typer.Exit(errors.EXIT_FAILED)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(help="run_ids, cell_ids (all seeds of one), or the beginning of either.", metavar="RUN..."),
    ],
    store: Store = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print settings and all curves as JSON, and nothing else.")
    ] = False,
) -> None:
    """Show runs side by side: the settings in which they differ, where they ended, their curves in a line each.

    A run is shown with the error bars of its numbers, a configuration with the median and [least–greatest] of its
    seeds. Curves (of a configuration: those of its first seed) share one scale in each row. `gdzoo ui` draws them.
    """
    from leaderboard.board import compare as compared

    out = console()
    with console(stderr=True).status("reading the runs"):
        columns = compared.columns_of(runs, workspace.store(store))
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


app.command()(bundles.submit)
app.command()(bundles.verify)
app.command()(bundles.dispute)


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
