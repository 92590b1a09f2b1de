# SPDX-License-Identifier: Apache-2.0
"""`gdzoo data`: the data sets."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from harness import workspace
from harness.cli.options import console

app = typer.Typer(help="The data sets.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The data sets."""


@app.command("prepare")
def prepare(
    name: Annotated[str, typer.Argument(help="A data set of `gdzoo list datasets`, or any of tensorflow-datasets.")],
    source: Annotated[
        pathlib.Path | None, typer.Option("--from", help="Folder with the upstream files, instead of the network.")
    ] = None,
) -> None:
    """Download a data set (or take it from a folder) and write it where `gdzoo run` reads it."""
    from harness import data

    console().print(f"preparing {name} in {workspace.data()}; this can take minutes", highlight=False, soft_wrap=True)
    data.prepare(name, source)
    console().print(f"{name} is ready", highlight=False)
