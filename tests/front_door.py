# SPDX-License-Identifier: Apache-2.0
"""gdzoo's command line said in the process of the tests, which has imported what a process of its own would import."""

from __future__ import annotations

import contextlib
import io
import pathlib
import sys
from typing import NamedTuple

import pytest

import gdzoo


class Said(NamedTuple):
    """What a command ended with, printed, and complained of."""

    code: int
    out: str
    err: str


def say(*words: str, home: pathlib.Path) -> Said:
    """Says a command from `home`, which is its workspace too, with nothing submitted and no store named."""
    out, err = io.StringIO(), io.StringIO()
    names = {"GDZOO_HOME": home, "GDZOO_BOARD": home / "board", "JAX_PLATFORMS": "cpu", "COLUMNS": 200}
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(home)
        patch.setattr(sys, "argv", ["gdzoo", *words])
        for name in ("MLFLOW_TRACKING_URI", "TFDS_DATA_DIR"):
            patch.delenv(name, raising=False)
        for name, value in names.items():
            patch.setenv(name, str(value))
        try:
            gdzoo.main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Said(code, out.getvalue(), err.getvalue())
