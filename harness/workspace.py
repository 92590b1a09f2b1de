# SPDX-License-Identifier: Apache-2.0
"""The workspace: the folder in which gdzoo keeps what it makes, and where what it is made of lies.

It is the checkout itself, or without one the folder that gdzoo is called from, unless `GDZOO_HOME` names another. It
holds `runs/` (the run folders), `mlflow.db` and `mlartifacts/` (the default store), `data/` (prepared data sets, unless
`TFDS_DATA_DIR` is set) and `site/`.
"""

from __future__ import annotations

import os
import pathlib

from harness import errors

CODE = pathlib.Path(__file__).resolve().parent.parent
"""The folder that holds the packages and `gdzoo.py`: the checkout, or where a wheel was installed."""

INSTALLED = not (CODE / "pyproject.toml").is_file()
"""Whether there is no checkout: gdzoo came in a wheel."""

CHECKOUT = CODE / "harness" / "shipped" if INSTALLED else CODE
"""The folder that holds `specs/`, `docs/` and `mlflow.db-init/`: the checkout, or its copy in the wheel (setup.py)."""


def home() -> pathlib.Path:
    """Returns the workspace folder (absolute; it need not exist yet)."""
    return pathlib.Path(os.environ.get("GDZOO_HOME") or ("." if INSTALLED else CHECKOUT)).expanduser().resolve()


def runs() -> pathlib.Path:
    """Returns the folder that holds one folder per run."""
    return home() / "runs"


def site() -> pathlib.Path:
    """Returns the folder into which the static site is built."""
    return home() / "site"


def board() -> pathlib.Path:
    """Returns the folder of what was submitted, `submissions/`, `verdicts/`, `disputes/`: GDZOO_BOARD, else ours.

    Without a checkout it is `board/` in the workspace.
    """
    ours = home() / "board" if INSTALLED else CHECKOUT / "leaderboard"
    return pathlib.Path(os.environ.get("GDZOO_BOARD") or ours).expanduser().resolve()


def shipped(path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns a path that a person gave, or where it leads in the checkout or the wheel, if it is not there.

    So `specs/quickstart` means ours wherever gdzoo is called from.
    """
    given = pathlib.Path(path)
    ours = CHECKOUT / given
    missing = given.parts[:1] == ("specs",) and not os.path.exists(given)
    return ours if missing and os.path.exists(ours) else given


def data() -> pathlib.Path:
    """Returns the folder of prepared data sets: `TFDS_DATA_DIR`, else `data/` in the workspace."""
    return pathlib.Path(os.environ.get("TFDS_DATA_DIR") or home() / "data").expanduser().resolve()


def store(uri: str | None = None) -> str:
    """Returns the URI of the store: `uri`, else `MLFLOW_TRACKING_URI`, else `mlflow.db` in the workspace.

    Raises:
        errors.InputError: If it is the last, and the name of the workspace holds what ends a path in a URI: MLflow
            would write beside it.
    """
    named, file = uri or os.environ.get("MLFLOW_TRACKING_URI"), home() / "mlflow.db"
    if not named and any(character in str(file) for character in "?%"):
        raise errors.InputError(
            f"GDZOO_HOME: no store can lie in {file.parent}, as ? and % mean something in its address; choose another "
            "folder, or name a store with --store, or say --no-store"
        )
    return named or f"sqlite:///{file}"
