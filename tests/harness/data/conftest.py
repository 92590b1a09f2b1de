# SPDX-License-Identifier: Apache-2.0
"""What the tests of data share: `data` parts from their fields, and the real Fashion-MNIST, prepared once."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pydantic
import pytest

from harness import data
from harness.config import data as config

PACKAGE = pathlib.Path("/usr/share/datasets/fashion-mnist")
PARTS = pydantic.TypeAdapter(config.Data)


@pytest.fixture(scope="session")
def part() -> Callable[..., Any]:
    """Makes the `data` part of a spec from its fields."""
    return lambda **fields: PARTS.validate_python(fields)


@pytest.fixture(scope="session")
def package() -> pathlib.Path:
    """The folder of Debian's dataset-fashion-mnist."""
    if not PACKAGE.is_dir():
        if shutil.which("dpkg"):
            pytest.fail("Debian's files of Fashion-MNIST are not installed; say: make test, or scripts/setup.sh data")
        pytest.skip("this is not Debian or Ubuntu, whose package dataset-fashion-mnist brings the files")
    return PACKAGE


@pytest.fixture(scope="session")
def fashion_folder(package: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A data folder with the real Fashion-MNIST; about 20 s, once."""
    folder = tmp_path_factory.mktemp("fashion")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(folder))
        data.prepare("fashion_mnist", package)
    return folder


@pytest.fixture
def fashion(fashion_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """That folder, named by the environment."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(fashion_folder))
    return fashion_folder
