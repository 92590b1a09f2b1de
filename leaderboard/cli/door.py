# SPDX-License-Identifier: Apache-2.0
"""The command line: the harness's and the leaderboard's commands behind one door."""

from __future__ import annotations

import contextlib
import pathlib
import sys
import tempfile
import traceback
import warnings

import typer

from harness import errors
from harness.cli import commands as harness_cli
from harness.runtime import lapack, memory, output
from leaderboard.cli import commands as leaderboard_cli

app = typer.Typer(
    help="gdzoo measures gradient descent on real networks: how far its map theta - eta grad L(theta) is from "
    "singular, and where it ends.\n\n"
    "First time: `gdzoo store init`, `gdzoo run specs/quickstart`, `gdzoo board build`. "
    "Your own network: `gdzoo new NAME --family mlp`, then `check`, `run`, `submit`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done (divergence is a result), 1 a run failed or does not fit into memory, 2 wrong "
    "input, 3 a bundle is rejected or a claim not confirmed, 70 our bug, 75 stopped: say the same command again. "
    "GDZOO_HOME moves runs, store, data and site out of the checkout.",
)
app.add_typer(harness_cli.app)
app.add_typer(leaderboard_cli.app)


def main() -> None:
    """Runs the command line and turns every error into one message and an exit code."""
    output.guard()
    lapack.limit()  # before any command loads numpy
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"  # for people: not where in the code
    debug = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        try:
            app(arguments)
        finally:
            sys.stdout.flush()
    except errors.InputError as error:
        _leave(str(error), errors.EXIT_INPUT)
    except errors.Rejected as error:
        _leave(str(error), errors.EXIT_REJECTED)
    except errors.Stopped as error:
        _leave(str(error), errors.EXIT_STOPPED)
    except KeyboardInterrupt:
        _leave("stopped", errors.EXIT_STOPPED)
    except Exception as error:
        if debug:
            raise
        if memory.exhausted(error) or isinstance(error, errors.OutOfMemory):
            _leave((str(error).strip().splitlines() or ["out of memory"])[0][:300], errors.EXIT_FAILED)
        with tempfile.NamedTemporaryFile(
            "w", prefix="gdzoo-bug-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(f"gdzoo {' '.join(arguments)}\n\n{traceback.format_exc()}")
        first = (str(error).strip().splitlines() or [""])[0][:300]
        report = pathlib.Path(file.name)
        _leave(f"a bug in gdzoo: {type(error).__name__}: {first}; the report is in {report}", errors.EXIT_BUG)


def _leave(message: str, code: int) -> None:
    with contextlib.suppress(errors.Stopped):  # nobody reads that either
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
    raise SystemExit(code)
