# SPDX-License-Identifier: Apache-2.0
"""`gdzoo store`: the database that holds the runs."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from harness import errors, workspace
from harness.cli.options import Store, console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.tracking import client

app = typer.Typer(help="The database that holds the runs.", no_args_is_help=True)


@app.command("init")
def init(store: Store = None) -> None:
    """Make what is missing of the store: database, tables, and an experiment for each suite.

    Safe to say twice, and from many processes at once. A store from another MLflow is left alone.
    """
    from harness.tracking import store as stores

    uri = workspace.store(store)
    with console().status("making the store ready"):
        done = stores.init(uri)
    console().print(f"store {stores.shown(uri)}: {done}", highlight=False, soft_wrap=True)


@app.command("upgrade")
def upgrade(store: Store = None) -> None:
    """Bring a store from an earlier MLflow up to date.

    Of a SQLite file a copy is kept beside it. Back a PostgreSQL database up before: pg_dump -Fc.
    """
    from harness.tracking import store as stores

    uri = workspace.store(store)
    with console().status("upgrading the store"):
        done = stores.upgrade(uri)
    console().print(f"store {stores.shown(uri)}: {done}", highlight=False, soft_wrap=True)


@app.command("check")
def check(store: Store = None) -> None:
    """Say in which state the store is and what it holds, and change nothing. Exit code 2 where it cannot be used."""
    import rich.table

    from harness.tracking import store as stores

    uri = workspace.store(store)
    drawn = rich.table.Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    drawn.add_row("store", stores.shown(uri))
    for name, value in stores.report(uri).items():
        drawn.add_row(name, value)
    console().print(drawn, highlight=False)
    stores.require(uri)


@app.command("copy")
def copy(
    target: Annotated[str, typer.Argument(help="URI of a store that is new or holds no run.", metavar="URI")],
    store: Store = None,
) -> None:
    """Copy all that the store holds into another: a backup, a restore, or the move from SQLite to PostgreSQL.

    Whole or not at all. Artifacts stay where they are, and the runs of the copy name those places.
    """
    from harness.tracking import store as stores

    with console().status("") as status:
        copied = stores.copy(
            workspace.store(store), target, lambda table, rows: status.update(f"copying {table}: {rows:,} rows")
        )
    words = f"{copied.get('runs', 0):,} runs with {copied.get('metrics', 0):,} points in {stores.shown(target)}"
    console().print(words, highlight=False, soft_wrap=True)


@app.command("sync")
def sync(store: Store = None) -> None:
    """Send to the store what it does not hold of the run folders here: after it was away, or was made anew.

    Runs that another process holds are left to it. Exit code 1 where the store did not take everything.
    """
    from harness.tracking import client, queue

    bring(queue.folders(workspace.runs()), client.open_store(workspace.store(store)))


def bring(folders: Sequence[pathlib.Path], opened: client.Store) -> None:
    """Sends run folders to a store, shows progress, prints the outcome, and exits with 1 where some wait.

    Raises:
        errors.InputError: If the store does not answer.
    """
    from harness.jobs import progress
    from harness.tracking import client, queue

    with progress.bar(console(stderr=True), len(folders)) as bar:

        def step(folder: pathlib.Path) -> None:
            bar.begin(folder.name, 1)
            bar.end()

        try:
            synced = queue.sync(opened, folders, step)
        except client.StoreAway as error:
            raise errors.InputError(f"the store does not answer: {error}") from error
    words = f"{len(synced.sent)} runs sent, {len(synced.there)} there already"
    words += f", {len(synced.waiting)} wait: the store is away" if synced.waiting else ""
    console().print(words, highlight=False)
    for line in synced.damaged:
        console().print(f"left out: {line}", highlight=False, soft_wrap=True, markup=False)
    if synced.waiting or synced.damaged:
        raise typer.Exit(errors.EXIT_FAILED)
