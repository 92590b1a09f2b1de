# SPDX-License-Identifier: Apache-2.0
"""Fixtures and switches that every test shares: float64, strict shapes, a workspace of its own, and no network."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import pathlib
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from harness.runtime import lapack

lapack.limit()  # before anything loads numpy

import jax  # noqa: E402
import psutil  # noqa: E402
import pytest  # noqa: E402

from harness import workspace  # noqa: E402
from harness.runtime import device  # noqa: E402
from harness.tracking import client, store  # noqa: E402

# A shell starts what it sends to the background with SIGINT ignored, and children inherit that; tests stop children.
signal.signal(signal.SIGINT, signal.default_int_handler)
client.quieten()
# What one session compiled the next need not; programs are told apart by their text, flags and jaxlib.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(workspace.CHECKOUT / ".pytest_cache" / "xla"))
device.configure()
jax.config.update("jax_numpy_rank_promotion", "raise")

FIRST = (
    "test_road.py",
    "test_verify.py",
    "test_cli.py",
    "test_saddles.py",
    "test_problem.py",
    "test_site.py",
    "test_families.py",
    "test_submission.py",
    "test_postgres.py",
    "test_agreement.py",
    "test_expected.py",
)
"""The files that take longest, the longest first: no core idles at the end."""

FULL = 3 * 2**29
"""Bytes of a process from which on what it compiled for one file is forgotten before the next."""

LOOPBACK = ("127.", "::1", "localhost")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the slowest files first."""
    rank = {name: at for at, name in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


def pytest_collection_finish() -> None:
    """Lets the garbage collector look no more at what is here to stay: modules and tests."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def forgetful() -> Iterator[None]:
    """Forgets compiled programs after a file where the process is large; those on disk are read again."""
    yield
    if psutil.Process().memory_info().rss > FULL:
        jax.clear_caches()


@pytest.fixture
def compiled_quickly() -> Iterator[None]:
    """Compiles programs in half the time, without what would make them fast."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses every connection that leaves this machine."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(LOOPBACK):
            raise ConnectionRefusedError(f"tests have no network; something wanted to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def at_most() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """What bounds the work of a block by a number of calls of functions, Python's and built-in ones.

    Calls are counted instead of seconds: they are the same on every machine and under every load. A million of calls
    in reading a file are about half a second.
    """

    @contextlib.contextmanager
    def bounded(calls: int) -> Iterator[None]:
        made = 0

        def count(_frame: Any, event: str, _argument: Any) -> None:
            nonlocal made
            made += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            yield
        finally:
            sys.setprofile(None)
        assert made <= calls, f"{made:,} calls, at most {calls:,} are allowed"

    return bounded


@pytest.fixture(scope="session")
def sample() -> ModuleType:
    """The module leaderboard/sample.py: runs and a board made by formula."""
    path = pathlib.Path(__file__).parent / "leaderboard" / "sample.py"
    spec = importlib.util.spec_from_file_location("leaderboard_sample", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A workspace of this test alone, empty, with no store named by the environment."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("GDZOO_HOME", str(folder))
    monkeypatch.setenv("GDZOO_BOARD", str(folder / "board"))
    for name in ("MLFLOW_TRACKING_URI", "TFDS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture(scope="session")
def ready_store(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A SQLite file with MLflow's schema and no run, made once; copy it, never write to it."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    store.init(f"sqlite:///{file}", experiments_too=False)
    file.chmod(0o444)
    return file


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives a port of this machine that nobody listens on."""

    def found() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return found


@pytest.fixture(scope="session")
def team() -> ModuleType:
    """The module mlflow.db-init/team.py, which starts PostgreSQL and an MLflow server."""
    spec = importlib.util.spec_from_file_location("gdzoo_team", workspace.CHECKOUT / "mlflow.db-init" / "team.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Postgres(NamedTuple):
    """A PostgreSQL server of this session.

    Attributes:
        folder: Where its data lies.
        port: On loopback.
        sql: Runs statements as the superuser and returns what psql prints.
        uri: Address of a database of it by name, for a user that owns it and may not much else.
        database: Makes an empty database, or a copy of another, for a while, and gives its address.
        start: Starts it where it does not run.
        stop: Stops it at once, as if it had crashed.
    """

    folder: pathlib.Path
    port: int
    sql: Callable[[str], str]
    uri: Callable[[str], str]
    database: Callable[[str], contextlib.AbstractContextManager[str]]
    start: Callable[[], None]
    stop: Callable[[], None]


@pytest.fixture(scope="session")
def postgres(team: ModuleType) -> Iterator[Postgres]:
    """A real PostgreSQL server with a role `tester` and an initialised database `template_gdzoo`; else skipped."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gdzoo-pg-"))
    folder.chmod(0o755)
    port = team._free_port()

    def sql(text: str) -> str:
        return str(team.psql(folder, port, "-At", "-c", text))

    def uri(name: str) -> str:
        return f"postgresql+psycopg://tester:tester@127.0.0.1:{port}/{name}"

    @contextlib.contextmanager
    def database(like: str) -> Iterator[str]:
        name = f"t{os.urandom(6).hex()}"
        sql(f"CREATE DATABASE {name} OWNER tester TEMPLATE {like}")
        yield uri(name)
        sql(f"DROP DATABASE {name} WITH (FORCE)")

    def stop() -> None:
        team._pg(folder, "pg_ctl", "stop", "-D", folder / "postgres", "-m", "immediate", "-w")

    try:
        team.start_postgres(folder, port)
    except team.TeamError as error:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(str(error))
    server = Postgres(
        folder,
        port,
        sql,
        uri,
        database,
        lambda: team.start_postgres(folder, port),
        stop,
    )
    try:
        sql("CREATE ROLE tester LOGIN CREATEDB PASSWORD 'tester'")
        sql("CREATE DATABASE template_gdzoo OWNER tester")
        store.init(server.uri("template_gdzoo"), experiments_too=False)
        yield server
    finally:
        stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_uri(home: pathlib.Path, postgres: Postgres) -> Iterator[str]:
    """A PostgreSQL store that is ready and empty, for one test."""
    with postgres.database("template_gdzoo") as uri:
        yield uri


@pytest.fixture
def store_uri(home: pathlib.Path, ready_store: pathlib.Path) -> str:
    """The default store of `home`, ready and empty."""
    copy = home / "mlflow.db"
    shutil.copyfile(ready_store, copy)
    os.chmod(copy, 0o644)
    return f"sqlite:///{copy}"
