# SPDX-License-Identifier: Apache-2.0
"""A wheel, built as `python -m build` does and installed by pip into an empty folder, serves without a checkout."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from packaging import version

from harness import specs, workspace

ROOT = workspace.CHECKOUT
BACKEND = "from setuptools import build_meta as b; import sys; b.build_{kind}(sys.argv[1])"
NEEDED = version.Version("77")


def built(kind: str, source: pathlib.Path, into: pathlib.Path) -> pathlib.Path:
    """Builds a distribution of a source tree with setuptools, as a front end does, and returns its file."""
    into.mkdir(exist_ok=True)
    command = [sys.executable, "-W", "error", "-c", BACKEND.format(kind=kind), str(into)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "would be ignored" not in done.stderr, "each folder of data is declared"
    (found,) = into.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A wheel built from an sdist that was built from the files of the repository."""
    if version.Version(importlib.metadata.version("setuptools")) < NEEDED:
        pytest.skip(f"setuptools is older than {NEEDED}; the extra `test` brings it")
    folder = tmp_path_factory.mktemp("wheel")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file() and not name.startswith("leaderboard/submissions/"):
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    with tarfile.open(built("sdist", folder / "source", folder / "sdist")) as packed:
        packed.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return built("wheel", unpacked, folder / "dist")


@pytest.fixture(scope="module")
def installed(wheel: pathlib.Path) -> pathlib.Path:
    """The folder into which pip has installed the wheel, and nothing else."""
    site = wheel.parent.parent / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    done = subprocess.run([*command, str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return site


def said(installed: pathlib.Path, home: pathlib.Path, *words: str) -> str:
    """Runs Python from an empty folder, with the installed gdzoo before all others; returns what it prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GDZOO", "MLFLOW", "TFDS"))}
    environment |= {"PYTHONPATH": str(installed), "JAX_PLATFORMS": "cpu", "COLUMNS": "200"}
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_wheel_holds_what_the_packages_read(wheel: pathlib.Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = ("zoo", "harness", "leaderboard")
    code = {str(file.relative_to(ROOT)) for top in tops for file in (ROOT / top).rglob("*.py")}
    assert code <= names and "gdzoo.py" in names
    shipped = [*(ROOT / "specs").rglob("*.yaml"), ROOT / "specs" / "schema.json", *(ROOT / "docs").glob("*.md")]
    shipped += (ROOT / "mlflow.db-init").glob("*.py")
    assert {f"harness/shipped/{file.relative_to(ROOT)}" for file in shipped} <= names
    read = [*(ROOT / "leaderboard" / "templates").iterdir(), *(ROOT / "leaderboard" / "assets").iterdir()]
    assert {str(file.relative_to(ROOT)) for file in read if file.is_file()} <= names
    found = {name.split("/")[0] for name in names}
    assert {top for top in found if not top.endswith(".dist-info")} == {"gdzoo.py", *tops}
    assert not [name for name in names if "__pycache__" in name or "submissions/" in name]


def test_an_installed_gdzoo_knows_its_specs_from_anywhere(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    code = "import gdzoo, harness.workspace as w; print(gdzoo.__file__, w.home(), w.INSTALLED)"
    assert said(installed, tmp_path, "-c", code).split() == [str(installed / "gdzoo.py"), str(tmp_path), "True"]
    listed = said(installed, tmp_path, "-m", "gdzoo", "list", "specs")
    assert all(file.stem in listed for file in (ROOT / "specs" / "quickstart").glob("*.yaml"))
    code = "import gdzoo; print(gdzoo.certify('specs/controls/c1-quadratic.yaml')[0].cell.cell_id)"
    ours = specs.read(ROOT / "specs" / "controls" / "c1-quadratic.yaml").cells[0].cell_id
    assert said(installed, tmp_path, "-c", code).strip() == ours


@pytest.mark.thorough
def test_an_installed_gdzoo_runs_and_shows_without_a_checkout(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for words in (["store", "init"], ["run", "specs/controls/c1-quadratic.yaml"], ["board", "build"]):
        printed = said(installed, tmp_path, "-m", "gdzoo", *words)
    assert "page: " in printed
    assert (tmp_path / "site" / "index.html").is_file() and (tmp_path / "mlflow.db").is_file()
    assert {path.name for path in installed.iterdir()} >= {"gdzoo.py"}
    assert not (installed / "harness" / "shipped" / "runs").exists() and not (installed / "runs").exists()
