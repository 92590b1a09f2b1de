# SPDX-License-Identifier: Apache-2.0
"""Arguments and options that several commands share, and the terminal that they print to."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import rich.console

Specs = Annotated[
    list[pathlib.Path], typer.Argument(help="Spec files, or folders of them.", metavar="SPEC...", show_default=False)
]
Store = Annotated[
    str | None, typer.Option("--store", help="URI of the store. Default: MLFLOW_TRACKING_URI, else mlflow.db here.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, gpu or tpu.")]
Devices = Annotated[
    int, typer.Option("--devices", min=1, max=4096, help="Devices that share the examples of each batch.")
]


def console(*, stderr: bool = False) -> rich.console.Console:
    """Returns the terminal; colours follow NO_COLOR and whether it is one."""
    import rich.console

    return rich.console.Console(stderr=stderr)
