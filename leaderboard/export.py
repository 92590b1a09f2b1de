# SPDX-License-Identifier: Apache-2.0
"""The export: out of MLflow, into one versioned file that the site is built from.

`read` is the only code of the leaderboard that knows MLflow. It believes nothing that it finds there: the three
artifacts of a run are checked like input from a stranger (`document.py`), and one bad run stops the export with its
name, because a board that leaves rows out without a word is wrong.
"""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
from typing import TYPE_CHECKING, Any

import pydantic

from harness import errors, store, tracking
from leaderboard import document, text

if TYPE_CHECKING:
    import mlflow.entities

FILE = "export.json"
ARTIFACTS = {"run.json": 1 << 18, "records.jsonl": 1 << 24, "cell.yaml": 1 << 17}
MAX_EXPORT_BYTES = 1 << 30
PAGE = 1000


def read(uri: str) -> document.Export:
    """Reads every suite of a store.

    Of two MLflow runs with the same `gdzoo.run_id` the one that started last counts. Runs that are still running are
    left out; any other status is a result and is kept.

    Args:
        uri: Where the store is, for example `sqlite:///mlflow.db`.

    Returns:
        The checked export.

    Raises:
        errors.InputError: The store cannot be read, or a run in it is malformed.
    """
    _require_readable(uri)
    tracking.quieten()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    try:
        suites, runs = _read_all(client)
    except mlflow.exceptions.MlflowException as error:
        reason = text.clean(str(error))[:300]
        raise errors.InputError(f"the store {store.shown(uri)} cannot be read: {reason}") from error
    return document.compose(suites, runs)


def dump(export: document.Export) -> bytes:
    """Returns the bytes of `export.json`: sorted keys, one run per line, no clock and no place in them."""
    whole = json.loads(export.model_dump_json(by_alias=True))
    runs = [_line(run) for run in whole.pop("runs")]
    head = _line(whole).removesuffix("}")
    return (head + ',"runs":[' + ("\n" if runs else "") + ",\n".join(runs) + "]}\n").encode()


def schema() -> bytes:
    """Returns the JSON Schema of `export.json`."""
    return (json.dumps(document.Export.model_json_schema(by_alias=True), indent=2, sort_keys=True) + "\n").encode()


def load(path: pathlib.Path) -> document.Export:
    """Reads an `export.json`.

    Raises:
        errors.InputError: The file is missing or is not such an export.
    """
    try:
        if path.stat().st_size > MAX_EXPORT_BYTES:
            raise errors.InputError(f"{path}: larger than {MAX_EXPORT_BYTES >> 20} MiB")
        source = path.read_text(encoding="utf-8")
        document.parse_json(source, path.name)
        return document.Export.model_validate_json(source)
    except OSError as error:
        raise errors.InputError(
            f"{path}: cannot be read ({error.strerror}); `gdzoo board build` writes one as site/{FILE}"
        ) from error
    except pydantic.ValidationError as error:
        raise errors.InputError(f"{path}: not an export of gdzoo: {document.explain(error)}") from error
    except ValueError as error:
        raise errors.InputError(f"{path}: not an export of gdzoo: {error}") from error


def _require_readable(uri: str) -> None:
    """Refuses a store that is not there or not ready; opening one with MLflow would make a schema in it."""
    state = store.check(uri)
    if state.word == "ready":
        return
    remedy = {
        "missing": "`gdzoo store init` makes one, `gdzoo run specs/quickstart` fills it",
        "old": "say `gdzoo store init` to upgrade it",
        "newer": "use the MLflow that made it",
        "unreachable": "name a store with --store: sqlite:///FILE, postgresql+psycopg://USER@HOST/NAME, http://HOST:PORT",
    }[state.word]
    raise errors.InputError(f"the store {store.shown(uri)} cannot be read: {state.detail}; {remedy}")


def _read_all(client: Any) -> tuple[list[document.Suite], list[document.Run]]:
    suites: list[document.Suite] = []
    runs: list[document.Run] = []
    for experiment in _pages(client.search_experiments, filter_string="tags.`gdzoo.suite` LIKE '%'"):
        place = f"experiment {text.clean(experiment.name)[:80]!r}"
        try:
            note = experiment.tags.get("mlflow.note.content", "")
            suite = document.Suite(name=experiment.tags["gdzoo.suite"], note=note)
        except pydantic.ValidationError as error:
            raise errors.InputError(f"{place} in the store: {document.explain(error)}") from error
        if suite.name in {other.name for other in suites}:
            raise errors.InputError(f"{place} in the store: a second experiment says that it is suite '{suite.name}'")
        suites.append(suite)
        found = _pages(client.search_runs, experiment_ids=[experiment.experiment_id])
        runs += [_read_run(client, run, suite.name) for run in _latest(found)]
    return suites, runs


def _pages(search: Any, **arguments: Any) -> list[Any]:
    """Follows the page tokens of one of MLflow's searches to its end."""
    found: list[Any] = []
    token = None
    while True:
        page = search(max_results=PAGE, page_token=token, **arguments)
        found += page
        token = page.token
        if not token:
            return found


def _latest(runs: list[mlflow.entities.Run]) -> list[mlflow.entities.Run]:
    """Keeps, for each `gdzoo.run_id`, the run that started last among those that have ended."""
    kept: dict[str, mlflow.entities.Run] = {}
    for run in sorted(runs, key=lambda run: (run.info.start_time or 0, run.info.run_id)):
        tags = run.data.tags
        if run.info.status in ("RUNNING", "SCHEDULED") or tags.get("gdzoo.status") == "running":
            continue
        if "gdzoo.run_id" not in tags:
            raise errors.InputError(
                f"{_name(run)} in the store is not one of gdzoo's (no tag gdzoo.run_id); delete it in MLflow, or move "
                "it to an experiment of its own"
            )
        kept[tags["gdzoo.run_id"]] = run
    return [kept[run_id] for run_id in sorted(kept)]


def _read_run(client: Any, run: mlflow.entities.Run, suite: str) -> document.Run:
    try:
        with tempfile.TemporaryDirectory(prefix="gdzoo-export-") as folder:
            sizes = {item.path: item.file_size for item in client.list_artifacts(run.info.run_id)}
            parts = [_artifact(client, run, name, sizes, folder) for name in ARTIFACTS]
        checked = document.parse_run(*parts)
        tags = run.data.tags
        for tag, value in (("gdzoo.run_id", checked.run_id), ("gdzoo.suite", checked.suite)):
            if tags.get(tag) != value:
                raise ValueError(f"the tag {tag} says {tags.get(tag)!r}, run.json says {value!r}")
        if checked.suite != suite:
            raise ValueError(f"run.json says suite {checked.suite!r}, its experiment says {suite!r}")
    except (ValueError, OSError) as error:
        reason = text.clean(str(error))[:400]
        remedy = "delete it in MLflow and say `gdzoo run` again"
        raise errors.InputError(f"{_name(run)} in the store is malformed: {reason}; {remedy}") from error
    return checked


def _artifact(
    client: Any,
    run: mlflow.entities.Run,
    name: str,
    sizes: dict[str, int | None],
    folder: str,
) -> str:
    if name not in sizes:
        raise ValueError(f"it has no artifact {name}")
    if (sizes[name] or 0) > ARTIFACTS[name]:
        raise ValueError(f"its artifact {name} is larger than {ARTIFACTS[name] >> 10} KiB")
    path = pathlib.Path(client.download_artifacts(run.info.run_id, name, folder))
    if path.stat().st_size > ARTIFACTS[name]:
        raise ValueError(f"its artifact {name} is larger than {ARTIFACTS[name] >> 10} KiB")
    return path.read_bytes().decode("utf-8")


def _name(run: mlflow.entities.Run) -> str:
    """Names a run so that a person finds it: our id, or else MLflow's."""
    ours = text.clean(run.data.tags.get("gdzoo.run_id", ""))[:80]
    return f"run {ours} (MLflow run {run.info.run_id})" if ours else f"MLflow run {run.info.run_id}"


def _line(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
