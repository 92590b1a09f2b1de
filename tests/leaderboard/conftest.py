# SPDX-License-Identifier: Apache-2.0
"""The sample board, for the tests of the leaderboard."""

from __future__ import annotations

import importlib.util
import pathlib
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def sample() -> ModuleType:
    """The module sample.py beside this file: runs and a board made by formula."""
    path = pathlib.Path(__file__).with_name("sample.py")
    spec = importlib.util.spec_from_file_location("leaderboard_sample", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
