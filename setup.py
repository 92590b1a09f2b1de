# SPDX-License-Identifier: Apache-2.0
"""What a wheel holds beside the packages: specs, documents and the makers of a store, under harness/shipped/.

All else about the package stands in pyproject.toml. A checkout, or an editable install of one, needs no copy.
"""

from __future__ import annotations

import pathlib
import shutil

import setuptools
from setuptools.command import build_py

FOLDERS = ("specs", "docs", "mlflow.db-init")


class Build(build_py.build_py):
    """Copies the packages, and then what they read."""

    def run(self) -> None:
        """Copies all."""
        super().run()
        if self.editable_mode:
            return
        for name in FOLDERS:
            target = pathlib.Path(self.build_lib) / "harness" / "shipped" / name
            shutil.copytree(name, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", ".*"))


setuptools.setup(cmdclass={"build_py": Build})
