# SPDX-License-Identifier: Apache-2.0
"""The UI: MLflow's own on a store, for this machine only, and links into it that open a prepared comparison."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from harness import errors
from harness.tracking import client, store

PATIENCE = 120.0
"""Most seconds that the server may take to answer."""

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that end this process, beside that of Ctrl-C."""

GRACE = 10.0
"""Seconds that a server has to end."""

PR_SET_PDEATHSIG = 1
"""From Linux' sys/prctl.h."""

PREPARED = "curves"
"""The view that a suite's link opens: mlflow.db-init/views/."""


class Suite(NamedTuple):
    """A suite in the UI.

    Attributes:
        name: The suite.
        runs: How many runs it has, at most client.PAGE.
        link: Where its prepared comparison is, or the plain list of runs where its experiment has no prepared views.
        prepared: Whether it has them.
    """

    name: str
    runs: int
    link: str
    prepared: bool


def command(uri: str, port: int) -> tuple[list[str], dict[str, str]]:
    """Returns the command that serves MLflow's own UI on a database, to this machine only, and its environment.

    Raises:
        errors.InputError: It cannot be opened, or the port is taken.
    """
    store.require(uri)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise errors.InputError(f"port {port} cannot be used ({error}); choose another with --port") from error
    file = store.sqlite_file(uri)
    absolute = uri if file is None or "%" in uri else f"sqlite:///{file}"
    words = [sys.executable, "-m", "mlflow", "server", "--no-serve-artifacts"]
    words += ["--default-artifact-root", str(store.artifact_folder(uri, "ui")), "--workers", "1"]
    words += ["--host", "127.0.0.1", "--port", str(port), "--uvicorn-opts", "--log-level warning"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore", "PYTHONSAFEPATH": "1"}
    # The address may hold a password: in the environment others do not see it.
    where = {"MLFLOW_BACKEND_STORE_URI": absolute, "MLFLOW_REGISTRY_STORE_URI": absolute}
    return words, {**os.environ, **client.ENVIRONMENT, **quiet, **where}


@contextlib.contextmanager
def serving(command: list[str], environment: dict[str, str], log: BinaryIO) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server, with all its processes, until the block is left, by whatever signal: no port stays held.

    Signals that would end this process raise KeyboardInterrupt meanwhile. Where it is killed the system ends it.
    """
    previous = {number: signal.signal(number, _interrupted) for number in ENDING}
    server = subprocess.Popen(
        command, env=environment, stdout=log, stderr=subprocess.STDOUT, process_group=0, preexec_fn=_orphaned
    )
    try:
        yield server
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(GRACE)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _orphaned() -> None:
    """Has the system send SIGTERM to this process when its parent ends, where it can (Linux)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))


def answering(address: str, server: subprocess.Popen[bytes], log: BinaryIO) -> None:
    """Returns as soon as a server that was just started answers.

    Args:
        address: Where.
        server: Its process.
        log: The file that its output goes to.

    Raises:
        errors.InputError: It ended, or does not answer within PATIENCE; says what it said last.
    """
    end = time.monotonic() + PATIENCE
    while store.check(address).word != "ready":
        if server.poll() is not None or time.monotonic() > end:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()
            raise errors.InputError(f"MLflow's server does not come up: {said[-1] if said else 'it says nothing'}")
        time.sleep(0.1)


def suites(opened: client.Store, address: str) -> list[Suite]:
    """Returns the suites of a store that have runs, sorted by name, with links to a server at `address`.

    Cost: two searches of the store for each suite.
    """
    found = []
    for experiment in opened.client.search_experiments(filter_string="tags.`gdzoo.suite` LIKE '%'"):
        runs = client.count(opened, experiment.experiment_id)
        if runs:
            prepared = store.view_tag(PREPARED) in experiment.tags
            shown = link(address, experiment.experiment_id, PREPARED if prepared else None)
            found.append(Suite(experiment.tags["gdzoo.suite"], runs, shown, prepared))
    return sorted(found)


def link(address: str, experiment: str | None = None, view: str | None = None) -> str:
    """Returns the link to the UI at `address`, to one experiment there, or to a prepared view of it.

    Each opens in MLflow's mode for training runs; it comes up in the one for agents.
    """
    page = "experiments" if experiment is None else f"experiments/{experiment}/runs"
    shown = "" if view is None else f"viewStateShareKey={view}&compareRunsMode=CHART&"
    return f"{address.rstrip('/')}/#/{page}?{shown}workflowType=machine_learning"


def lines(found: Sequence[Suite], address: str) -> list[str]:
    """Returns what `gdzoo ui` prints of a server that answers."""
    said = [f"MLflow on {link(address)}"]
    for suite in found:
        more = " or more" if suite.runs == client.PAGE else ""
        said.append(f"  {suite.name}, {suite.runs:,}{more} runs: {suite.link}")
    if not found:
        said.append("  there is no run in it yet; `gdzoo run specs/quickstart` makes some")
    if any(not suite.prepared for suite in found):
        said.append("some suites have no prepared comparison yet: `gdzoo store init` makes them, runs stay as they are")
    return said
