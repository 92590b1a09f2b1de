# SPDX-License-Identifier: Apache-2.0
"""The examples in the docstrings of public modules run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pathlib

import pytest

PUBLIC = (
    "zoo",
    "harness.config",
    "harness.curvature.dense",
    "harness.curvature.logdet",
    "harness.curvature.operators",
    "harness.curvature.spectrum",
    "harness.curvature.survey",
    "harness.data",
    "harness.face.network",
    "harness.records.verdict",
    "harness.risk.losses",
    "harness.risk.objective",
    "harness.specs",
    "harness.theory",
    "harness.training.problem",
)
"""Modules that people would import in a notebook."""


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_of_a_public_module_runs(name: str, home: pathlib.Path) -> None:
    module = importlib.import_module(name)
    assert ">>> " in (module.__doc__ or ""), "it has an example"
    failed, tried = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert tried and not failed
