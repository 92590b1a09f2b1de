# SPDX-License-Identifier: Apache-2.0
"""The export: out of MLflow, into one versioned file that the site is built from.

This is the only code of the leaderboard that knows MLflow. It believes nothing that it finds there: the three
artifacts of a run are checked like input from a stranger (`document.py`). A run that cannot be shown stops an export
with its name, and is left out of a page that is built, which names it: a board that leaves rows out without a word is
wrong.

In bulk: the store is searched page by page, and a run's numbers are read from its artifact `records.jsonl`, not from
MLflow's table of points, which changes what is not finite. Where artifacts lie in a folder nothing is asked about a
single run; behind an MLflow server each artifact is one request. A few runs are in memory at a time, and of the others
what names them (`Found`, `shelf.py`).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import itertools
import json
import math
import os
import pathlib
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pydantic

from harness import errors
from harness.tracking import client as clients
from harness.tracking import store
from leaderboard.export import document, parsing, shelf, text, tracing

if TYPE_CHECKING:
    import mlflow.entities

FILE = "export.json"
ARTIFACTS = {"run.json": 1 << 18, "records.jsonl": 1 << 24, "cell.yaml": 1 << 17}
OPTIONAL = tracing.FILES
LIMITS = ARTIFACTS | OPTIONAL
MAX_EXPORT_BYTES = 1 << 30
PAGE = 1000
READERS = 8

LeaveOut = Callable[[str], None]
"""Called with the name of a run that cannot be shown, and why."""


class Source(NamedTuple):
    """What a store holds, to be read run by run.

    Attributes:
        suites: Its suites.
        size: How many runs there are.
        runs: The checked runs, in the order of the store; raises errors.InputError at one that is malformed.
        pages: `suite/run_id` -> the page of the run in MLflow's UI, as what follows the server's address.
    """

    suites: list[document.Suite]
    size: int
    runs: Iterator[document.Run]
    pages: Mapping[str, str] = {}


class UnreadRun(NamedTuple):
    """A run that a store holds, not yet read.

    Attributes:
        read: Reads and checks it; raises errors.InputError where it is malformed.
    """

    read: Callable[[], document.Run]


def unread_runs(uri: str) -> dict[str, UnreadRun]:
    """Returns the runs of a store by their run_id, without reading them; of two suites' the last.

    Raises:
        errors.InputError: The store cannot be read, or is not in order.
    """
    client, found = _searched(uri)
    return {
        run.run_id: UnreadRun(functools.partial(_read_run, client, run, suite.name))
        for suite, runs in found
        for run in runs
        if run.run_id is not None
    }


def opened(uri: str, leave_out: LeaveOut | None = None) -> Source:
    """Opens a store for reading.

    Of two MLflow runs with the same `gdzoo.run_id` the one that started last counts. Runs that are still running are
    left out; any other status is a result and is kept.

    Args:
        uri: Where the store is, for example `sqlite:///mlflow.db`.
        leave_out: Called for each run that cannot be shown, which then is left out; None to raise instead.

    Raises:
        errors.InputError: The store cannot be read, or is not in order.
    """
    client, found = _searched(uri, leave_out)
    pages = {
        f"{suite.name}/{run.run_id}": f"#/experiments/{run.experiment}/runs/{run.key}"
        for suite, runs in found
        for run in runs
    }
    return Source([suite for suite, _ in found], len(pages), _read_all(client, found, leave_out), pages)


def _searched(uri: str, leave_out: LeaveOut | None = None) -> tuple[Any, SuiteRuns]:
    """Returns MLflow's client for a store, and what its searches find there."""
    _require_readable(uri)
    clients.quieten()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    try:
        return client, _search(client, leave_out)
    except mlflow.exceptions.MlflowException as error:
        reason = text.clean(str(error))[:300]
        raise errors.InputError(f"the store {store.shown(uri)} cannot be read: {reason}") from error


def read(uri: str) -> document.Export:
    """Reads every suite of a store into memory; see `opened`."""
    return shelved(opened(uri)).export()


def shelved(source: Source, step: Callable[[], None] = lambda: None, folder: pathlib.Path | None = None) -> shelf.Shelf:
    """Puts all runs of an opened store on a shelf, one in memory at a time, and calls `step` after each.

    Raises:
        errors.InputError: A run is malformed.
    """
    made = shelf.Shelf(source.suites, folder)
    for run in source.runs:
        made.add(run)
        step()
    return made


def write(source: Source, path: pathlib.Path, step: Callable[[], None] = lambda: None) -> None:
    """Writes the export of a store to a file, with one run in memory at a time; `path` is replaced when it is whole.

    Gives the bytes of `dump(read(uri))`.

    Args:
        source: What `opened` returned.
        path: The file.
        step: Called after each run.

    Raises:
        errors.InputError: A run is malformed, or the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        held = shelved(source, step, path.parent)
        with open(partial, "wb") as target:
            for part in parts(held.empty(), held.lines()):
                target.write(part)
        partial.replace(path)
    except OSError as error:
        raise errors.InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def parts(empty: document.Export, lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the bytes of `export.json`: sorted keys, one run per line, no clock and no place in them.

    Args:
        empty: The export; its runs are not asked.
        lines: Of each run, in their order.
    """
    whole = shelf.line(empty.model_copy(update={"runs": ()}).model_dump(mode="json", by_alias=True)).encode()
    head, _, tail = whole.partition(b'"runs":[')
    yield head + b'"runs":['
    for number, line in enumerate(lines):
        yield (b",\n" if number else b"\n") + line
    yield tail + b"\n"


def dump(export: document.Export) -> bytes:
    """Returns the bytes of `export.json`."""
    return b"".join(parts(export, map(shelf.dumped, export.runs)))


def schema() -> bytes:
    """Returns the JSON Schema of `export.json`."""
    return (json.dumps(document.Export.model_json_schema(by_alias=True), indent=2, sort_keys=True) + "\n").encode()


def load(path: pathlib.Path) -> document.Export:
    """Reads an `export.json`.

    Raises:
        errors.InputError: The file is missing or is not such an export.
    """
    with explained(path):
        if path.stat().st_size > MAX_EXPORT_BYTES:
            raise errors.InputError(f"{path}: larger than {MAX_EXPORT_BYTES >> 20} MiB")
        source = path.read_text(encoding="utf-8")
        parsing.parse_json(source, path.name)
        return document.Export.model_validate_json(source)


@contextlib.contextmanager
def explained(path: pathlib.Path) -> Iterator[None]:
    """Says what is wrong with a file that is read as an export.

    Raises:
        errors.InputError: The file is missing or is not such an export.
    """
    try:
        yield
    except OSError as error:
        raise errors.InputError(
            f"{path}: cannot be read ({error.strerror}); `gdzoo board build` writes one as site/{FILE}"
        ) from error
    except pydantic.ValidationError as error:
        raise errors.InputError(f"{path}: not an export of gdzoo: {parsing.explain(error)}") from error
    except ValueError as error:
        raise errors.InputError(f"{path}: not an export of gdzoo: {error}") from error


def _require_readable(uri: str) -> None:
    """Refuses a store that is not there or not ready; opening one with MLflow would make a schema in it."""
    state = store.check(uri)
    if state.word == "ready":
        return
    remedy = {
        "missing": "`gdzoo store init` makes one, `gdzoo run specs/quickstart` fills it",
        "old": "bring it up to date with `gdzoo store upgrade`",
        "newer": "use the MLflow that made it",
        "unreachable": "name a store with --store: sqlite:///FILE, postgresql+psycopg://USER@HOST/NAME, http://HOST:PORT",
    }[state.word]
    raise errors.InputError(f"the store {store.shown(uri)} cannot be read: {state.detail}; {remedy}")


class Found(NamedTuple):
    """What a search keeps of a run of MLflow: its metrics and parameters are many, and asked nothing.

    Attributes:
        key: MLflow's name of it.
        experiment: MLflow's name of its suite.
        artifacts: Where its artifacts lie.
        started: When, in milliseconds.
        ended: Whether it is no longer running.
        run_id: The tag `gdzoo.run_id`; None without one.
        suite: The tag `gdzoo.suite`.
    """

    key: str
    experiment: str
    artifacts: str
    started: int
    ended: bool
    run_id: str | None
    suite: str | None


SuiteRuns = list[tuple[document.Suite, list[Found]]]


def _search(client: Any, leave_out: LeaveOut | None) -> SuiteRuns:
    """Returns each suite of a store with the MLflow runs that count, sorted by name."""
    found: SuiteRuns = []
    for experiment in _pages(client.search_experiments, filter_string="tags.`gdzoo.suite` LIKE '%'"):
        place = f"experiment {text.clean(experiment.name)[:80]!r}"
        try:
            note = experiment.tags.get("mlflow.note.content", "")
            suite = document.Suite(name=experiment.tags["gdzoo.suite"], note=note)
        except pydantic.ValidationError as error:
            _leave_out(f"{place} in the store: {parsing.explain(error)}", leave_out, error)
            continue
        if suite.name in {other.name for other, _ in found}:
            _leave_out(f"{place} in the store: a second experiment says that it is suite '{suite.name}'", leave_out)
            continue
        runs = map(_found, _pages(client.search_runs, experiment_ids=[experiment.experiment_id]))
        found.append((suite, _latest(list(runs), leave_out)))
    return [(suite, runs) for suite, runs in found if runs]


def _read_all(client: Any, found: SuiteRuns, leave_out: LeaveOut | None) -> Iterator[document.Run]:
    """Yields the checked runs, READERS at a time: a store behind a server keeps one waiting for each."""
    todo = ((run, suite.name) for suite, runs in found for run in runs)
    with concurrent.futures.ThreadPoolExecutor(READERS) as readers:
        while batch := list(itertools.islice(todo, 4 * READERS)):
            for run in readers.map(lambda item: _read_or_said(client, *item), batch):
                if isinstance(run, document.Run):
                    yield run
                else:
                    _leave_out(str(run), leave_out, run)


def _leave_out(reason: str, leave_out: LeaveOut | None, cause: Exception | None = None) -> None:
    """Says what is left out and why, or raises errors.InputError where nothing may be."""
    if leave_out is None:
        raise errors.InputError(reason) from cause
    leave_out(reason)


def _read_or_said(client: Any, run: Found, suite: str) -> document.Run | errors.InputError:
    """Returns a run, or what is wrong with it."""
    try:
        return _read_run(client, run, suite)
    except errors.InputError as error:
        return error


def _pages(search: Any, **arguments: Any) -> Iterator[Any]:
    """Follows the page tokens of one of MLflow's searches to its end."""
    token = None
    while True:
        page = search(max_results=PAGE, page_token=token, **arguments)
        yield from page
        token = page.token
        if not token:
            return


def _found(run: mlflow.entities.Run) -> Found:
    info, tags = run.info, run.data.tags
    running = info.status in ("RUNNING", "SCHEDULED") or tags.get("gdzoo.status") == "running"
    started = info.start_time or 0
    named = tags.get("gdzoo.run_id"), tags.get("gdzoo.suite")
    return Found(info.run_id, info.experiment_id, info.artifact_uri or "", started, not running, *named)


def _latest(runs: list[Found], leave_out: LeaveOut | None) -> list[Found]:
    """Keeps, for each `gdzoo.run_id`, the run that started last among those that have ended."""
    kept: dict[str, Found] = {}
    for run in sorted(runs, key=lambda run: (run.started, run.key)):
        if not run.ended:
            continue
        if run.run_id is None:
            stray = (
                f"{_name(run)} in the store is not one of gdzoo's (no tag gdzoo.run_id); delete it in MLflow, or move "
                "it to an experiment of its own"
            )
            _leave_out(stray, leave_out)
            continue
        kept[run.run_id] = run
    return [kept[run_id] for run_id in sorted(kept)]


def _read_run(client: Any, run: Found, suite: str) -> document.Run:
    try:
        texts = _artifacts(client, run)
        checked = parsing.parse_run(*(texts[name] for name in ARTIFACTS))
        checked = tracing.with_trace(checked, *(texts[name] for name in OPTIONAL))
        for tag, told, value in (("run_id", run.run_id, checked.run_id), ("suite", run.suite, checked.suite)):
            if told != value:
                raise ValueError(f"the tag gdzoo.{tag} says {told!r}, run.json says {value!r}")
        if checked.eta is not None and not math.isfinite(2 / checked.eta):
            raise ValueError(f"its step size is {checked.eta:g}, and 2/η is beyond what numbers hold")
        if checked.suite != suite:
            raise ValueError(f"run.json says suite {checked.suite!r}, its experiment says {suite!r}")
    except (ValueError, OSError) as error:
        reason = text.clean(str(error))[:400]
        remedy = "delete it in MLflow and say `gdzoo run` again"
        raise errors.InputError(f"{_name(run)} in the store is malformed: {reason}; {remedy}") from error
    return checked


def _artifacts(client: Any, run: Found) -> dict[str, str]:
    """Returns the texts of the artifacts of a run, by name; empty for one of OPTIONAL that it has not.

    From its folder where that lies here, else through the server.
    """
    where = urllib.parse.urlsplit(run.artifacts)
    if where.scheme in ("", "file"):
        folder = pathlib.Path(urllib.request.url2pathname(where.path))
        sizes = {file.name: file.stat().st_size for file in folder.iterdir()} if folder.is_dir() else {}
        return {name: _bounded(name, sizes, folder) for name in LIMITS}
    if where.scheme == "mlflow-artifacts" and not client.tracking_uri.startswith(("http://", "https://")):
        raise errors.InputError(
            f"the artifacts of {_name(run)} lie behind an MLflow server; name that with --store, not its database"
        )
    with _malformed(), tempfile.TemporaryDirectory(prefix="gdzoo-export-") as temporary:
        sizes = {item.path: item.file_size or 0 for item in client.list_artifacts(run.key)}
        for name in LIMITS:
            if sizes.get(name, math.inf) <= LIMITS[name]:
                client.download_artifacts(run.key, name, temporary)
        return {name: _bounded(name, sizes, pathlib.Path(temporary)) for name in LIMITS}


@contextlib.contextmanager
def _malformed() -> Iterator[None]:
    """Turns what MLflow raises about the artifacts of one run into a ValueError."""
    from mlflow import exceptions

    try:
        yield
    except exceptions.MlflowException as error:
        raise ValueError(f"its artifacts cannot be had: {str(error).strip().splitlines()[0]}") from error


def _bounded(name: str, sizes: Mapping[str, int], folder: pathlib.Path) -> str:
    """Returns the text of an artifact that is there and not too large; empty for an optional one that is not there."""
    if name not in sizes:
        if name in OPTIONAL:
            return ""
        raise ValueError(f"it has no artifact {name}")
    path = folder / name
    if max(sizes[name], path.stat().st_size if path.exists() else 0) > LIMITS[name]:
        raise ValueError(f"its artifact {name} is larger than {LIMITS[name] >> 10} KiB")
    return path.read_bytes().decode("utf-8")


def _name(run: Found) -> str:
    """Names a run so that a person finds it: our id, or else MLflow's."""
    ours = text.clean(run.run_id or "")[:80]
    return f"run {ours} (MLflow run {run.key})" if ours else f"MLflow run {run.key}"
