# SPDX-License-Identifier: Apache-2.0
"""Experiments: what that of a suite is called and carries in MLflow, and how those of all our suites are made."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import views
else:
    import gdzoo_db_views as views

HERE = pathlib.Path(__file__).resolve().parent
TEXTS = HERE / "experiments.yaml"
SPECS = HERE.parent / "specs"
PARAMS = {
    "spec": "",
    "family": "model.family",
    "activation": "model.activation",
    "dataset": "data.name",
    "loss": "loss.name",
    "optimizer": "optimizer.name",
    "learning_rate": "optimizer.learning_rate",
    "batch_size": "optimizer.batch_size",
}
"""Parameters that harness/tracking gives a run, and where they stand in a spec; the first is the file's name."""

LARGEST = 1_000_000
"""Bytes of a spec that is looked at."""


def name(suite: str) -> str:
    """Returns the name of the experiment that holds the runs of a suite."""
    return f"gdzoo: {suite}"


def suites() -> list[str]:
    """Returns our suites, sorted: the folders of specs/, and those that experiments.yaml describes."""
    folders = [folder.name for folder in SPECS.iterdir() if folder.is_dir()] if SPECS.is_dir() else []
    return sorted({*folders, *_texts()} - {"how_to_read"})


def tags(suite: str) -> dict[str, str]:
    """Returns the tags that the experiment of a suite carries."""
    return {
        "gdzoo.suite": suite,
        "mlflow.note.content": description(suite),
        "mlflow.experimentKind": "custom_model_development",
        **views.tags(differing(suite), traced=traced(suite)),
    }


def differing(suite: str) -> list[str]:
    """Returns the parameters of MLflow in which the specs of a suite differ, from the files of its folder alone.

    A file that is no spec counts for nothing: `gdzoo check` says what is wrong with it.
    """
    if not (SPECS / suite).is_dir():
        return []
    values: dict[str, set[str]] = {param: set() for param in PARAMS}
    for file in sorted((SPECS / suite).glob("*.yaml")):
        spec = _spec(file)
        grid = spec.get("grid")
        for param, path in PARAMS.items():
            value: Any = spec if path else file.stem
            for key in path.split(".") if path else ():
                value = value.get(key) if isinstance(value, dict) else None
            several = grid.get(path) if isinstance(grid, dict) else None
            if spec:
                values[param] |= {repr(one) for one in (several if isinstance(several, list) else [value])}
    return [param for param, known in values.items() if len(known) > 1]


def traced(suite: str) -> bool:
    """Says whether some spec of a suite asks for a trace; where its folder is not ours, some may."""
    folder = SPECS / suite
    return not folder.is_dir() or any(_spec(file).get("trace") for file in sorted(folder.glob("*.yaml")))


def _spec(file: pathlib.Path) -> dict[str, Any]:
    """Returns what stands in a spec; nothing where that is no mapping, is too large, or makes much of little."""
    import yaml

    try:
        if file.stat().st_size > LARGEST:
            return {}
        text = file.read_text(encoding="utf-8")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
            return {}
        found = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def description(suite: str) -> str:
    """Returns the text (Markdown) that the experiment of a suite carries, from `experiments.yaml`, else a plain one."""
    texts = _texts()
    plain = f"# gdzoo: {suite}\nRuns of the specs in the suite `{suite}`. {texts['how_to_read']}"
    return f"{texts[suite]}\n\n{texts['how_to_read']}" if suite in texts else plain


def make(uri: str, artifacts: str | None) -> int:
    """Makes the experiments of our suites that are missing, brings the tags of the others up to date, counts both.

    An experiment that somebody has deleted stays deleted.

    Args:
        uri: A store that is ready.
        artifacts: URI of the folder below which each suite has one for its artifacts; None where a server decides.

    Returns:
        How many experiments were made.
    """
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    return sum(_make(client, suite, artifacts and f"{artifacts}/{suite}") for suite in suites())


def _make(client: Any, suite: str, artifacts: str | None) -> bool:
    from mlflow import exceptions

    found = client.get_experiment_by_name(name(suite))
    if found is None:
        try:
            client.create_experiment(name(suite), artifacts, tags(suite))
            return True
        except exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return False  # another process was quicker
    if found.lifecycle_stage == "active":
        for key, value in tags(suite).items():
            if found.tags.get(key) != value:
                client.set_experiment_tag(found.experiment_id, key, value)
    return False


def _texts() -> dict[str, str]:
    import yaml

    texts: dict[str, str] = yaml.safe_load(TEXTS.read_text(encoding="utf-8"))
    return texts
