# SPDX-License-Identifier: Apache-2.0
"""The Makefile and scripts/setup.sh on made-up machines: what they install, what they say, that twice is harmless."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import workspace

ROOT = workspace.CHECKOUT
TOOLS = "awk cat chmod cp cut dirname env expand find grep make mkdir mv rm sed sh sleep sort tail touch tr wc"
# A python that keeps a list of what it was asked; pip "installs" nothing.
PYTHON = """#!/bin/sh
echo "$0 $*" >>"$CALLS"
case "$*" in
*ensurepip*) exit ${ENSUREPIP:-0} ;;
"-m venv --clear "*) mkdir -p "$4/bin" "$4/lib" && cp "$0" "$4/bin/python" ;;
*version_info\\[*) echo 3.12 ;;
*sys.version_info*) exit ${OLD:-0} ;;
--version) echo "Python 3.12.1" ;;
"-m pip install"*) echo "constrained by $PIP_CONSTRAINT and $PIP_BUILD_CONSTRAINT" >>"$CALLS"; exit ${PIP:-0} ;;
esac
"""


class Machine:
    """A folder with a copy of the checkout's front, a PATH of its own, and a list of what was called on it."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Makes a machine that has the tools of any Debian, no Python, no apt-get and no rights."""
        self.checkout, self.bin, self.calls = folder / "gdzoo", folder / "bin", folder / "calls"
        self.checkout.mkdir()
        self.bin.mkdir()
        self.calls.touch()
        for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts"):
            source, target = ROOT / name, self.checkout / name
            _ = shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        for tool in TOOLS.split():
            found = shutil.which(tool)
            assert found, f"{tool} is missing here"
            (self.bin / tool).symlink_to(found)
        self.add("id", "#!/bin/sh\necho ${USER_ID:-1000}\n")

    def add(self, name: str, script: str = '#!/bin/sh\necho "$0 $*" >>"$CALLS"\n') -> None:
        """Puts a program on PATH; without a script of its own it notes that it was called."""
        (self.bin / name).write_text(script, encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the checkout and returns what came of it."""
        return subprocess.run(
            command,
            cwd=self.checkout,
            env={"PATH": str(self.bin), "CALLS": str(self.calls), "HOME": str(self.checkout)} | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def called(self, word: str) -> list[str]:
        """Returns the calls that contain a word, without the folder in front."""
        lines = self.calls.read_text(encoding="utf-8").splitlines()
        return [line.replace(f"{self.bin}/", "") for line in lines if word in line]


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> Machine:
    """A bare machine; each test adds what it has."""
    return Machine(tmp_path)


def test_help_is_the_default_and_names_every_target(machine: Machine) -> None:
    shown = machine.run("make").stdout
    assert shown == machine.run("make", "help").stdout
    for target in ("help", "install", "demo", "test", "test-all", "slow", "lint", "schema", "constraints", "clean"):
        assert re.search(rf"^  {target} +\w", shown, re.MULTILINE), f"make help does not explain {target}"


def test_install_is_exact_and_done_once(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    first = machine.run("make", "install")
    assert first.returncode == 0, first.stderr
    assert "Making .venv with Python 3.12.1" in first.stdout
    assert "in the exact versions of constraints.txt" in first.stdout
    assert machine.called("pip install") == [
        ".venv/bin/python -m pip install --no-input --progress-bar off --editable ."
    ]
    assert machine.called("constrained") == ["constrained by constraints.txt and constraints.txt"]
    before = machine.calls.read_text(encoding="utf-8")
    assert machine.run("make", "install").stdout.strip() in {"", "make: Nothing to be done for 'install'."}
    assert machine.calls.read_text(encoding="utf-8") == before


def test_a_change_of_versions_installs_again_into_the_same_venv(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.run("make", "install")
    (machine.checkout / ".venv" / "mine").touch()
    stamp = (machine.checkout / ".venv" / ".installed").stat().st_mtime
    os.utime(machine.checkout / "constraints.txt", (stamp + 5, stamp + 5))
    assert machine.run("make", "install").returncode == 0
    assert len(machine.called("pip install")) == 2
    assert len(machine.called("-m venv --clear")) == 1
    assert (machine.checkout / ".venv" / "mine").exists(), "a .venv that works is kept"


def test_the_test_extra_is_installed_for_tests_and_serves_the_demo_too(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    assert machine.run("scripts/setup.sh", "packages", "test").returncode == 0
    assert machine.called("pip install")[0].endswith("--editable .[test]")
    assert machine.run("make", "install").returncode == 0
    assert len(machine.called("pip install")) == 1


def test_a_venv_that_does_not_work_is_made_anew(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    (machine.checkout / ".venv").mkdir()
    done = machine.run("make", "install")
    assert done.returncode == 0
    assert "The .venv that is here does not work" in done.stdout


def test_a_failed_install_shows_why_and_is_tried_again(machine: Machine) -> None:
    machine.add("python3", PYTHON.replace("exit ${PIP:-0}", 'echo "no matching distribution"; exit ${PIP:-0}'))
    failed = machine.run("make", "install", PIP="1")
    assert failed.returncode == 2  # make's own code for a failed recipe
    assert "no matching distribution" in failed.stderr
    assert "pip failed; all it said is in .venv/install.log" in failed.stderr
    assert machine.run("make", "install").returncode == 0


def test_python_is_missing(machine: Machine) -> None:
    stopped = machine.run("scripts/setup.sh", "packages")
    assert stopped.returncode == 2
    assert stopped.stderr == (
        "error: gdzoo needs Python 3.11 or newer; found: no python3. "
        "Install one (as root: apt-get install -y python3.11), or name it: make PYTHON=/path/to/python3\n"
    )


def test_python_is_too_old(machine: Machine) -> None:
    machine.add("python3", '#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" || exit 1\n')
    stopped = machine.run("scripts/setup.sh", "packages")
    assert stopped.returncode == 2
    assert "found: Python 3.9.2" in stopped.stderr
    assert not (machine.checkout / ".venv").exists()


def test_a_newer_python_beside_an_old_one_is_taken(machine: Machine) -> None:
    machine.add("python3", "#!/bin/sh\nexit 1\n")
    machine.add("python3.13", PYTHON)
    assert machine.run("scripts/setup.sh", "packages").returncode == 0
    assert machine.called("-m venv")[0].startswith("python3.13 ")


def test_python_can_be_named(machine: Machine) -> None:
    machine.add("mypython", PYTHON)
    assert machine.run("make", "install", "PYTHON=mypython").returncode == 0
    assert machine.called("-m venv")[0].startswith("mypython ")
    shutil.rmtree(machine.checkout / ".venv")
    stopped = machine.run("make", "install", "PYTHON=nosuch")
    assert (stopped.returncode, "error: PYTHON=nosuch is not there" in stopped.stderr) == (2, True)
    stopped = machine.run("make", "install", "PYTHON=mypython", OLD="1")
    assert "error: PYTHON=mypython is older than Python 3.11" in stopped.stderr


def test_debians_missing_part_of_venv_is_installed_by_root(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.add("apt-get")
    done = machine.run("scripts/setup.sh", "packages", USER_ID="0", ENSUREPIP="1")
    assert done.returncode == 0, done.stderr
    assert "Installing for .venv (python -m venv), with apt-get: python3.12-venv" in done.stdout
    assert machine.called("apt-get") == [
        "apt-get update -qq",
        "apt-get install -y -qq --no-install-recommends python3.12-venv",
    ]


def test_sudo_is_used_where_we_are_not_root(machine: Machine) -> None:
    machine.add("apt-get")
    machine.add("sudo")
    stopped = machine.run("scripts/setup.sh", "chromium")  # this sudo installs nothing
    assert "Installing for the browser tests, with sudo apt-get: chromium fonts-dejavu" in stopped.stdout
    assert [call.split()[0] for call in machine.called("apt-get")] == ["sudo", "sudo"]
    assert (stopped.returncode, "gave no program named chromium" in stopped.stderr) == (2, True)


def test_without_root_or_sudo_the_command_is_printed(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.add("apt-get")
    stopped = machine.run("scripts/setup.sh", "packages", ENSUREPIP="1")
    assert stopped.returncode == 2
    assert stopped.stderr == (
        "error: for .venv (python -m venv), python3.12-venv must be there; "
        "as root, say: apt-get update && apt-get install -y python3.12-venv\n"
    )
    assert machine.called("apt-get") == []


def test_another_system_is_told_what_it_needs(machine: Machine) -> None:
    stopped = machine.run("scripts/setup.sh", "chromium", USER_ID="0")
    assert stopped.returncode == 2
    assert "for the browser tests, chromium fonts-dejavu must be there; this is not Debian or Ubuntu" in stopped.stderr


def test_chromium_that_is_there_is_left_alone_without_a_word(machine: Machine) -> None:
    machine.add("apt-get")
    machine.add("chromium")
    done = machine.run("scripts/setup.sh", "chromium", USER_ID="0")
    assert (done.returncode, done.stdout, machine.called("")) == (0, "", [])


def test_what_the_browser_driver_needs_is_installed_beside_a_chromium_that_is_there(machine: Machine) -> None:
    machine.add("apt-get")
    machine.add("chromium")
    machine.add("dpkg", "#!/bin/sh\nexit 1\n")
    done = machine.run("scripts/setup.sh", "chromium", USER_ID="0")
    assert done.returncode == 0, done.stderr
    assert machine.called("install")[0].endswith("--no-install-recommends libatomic1")


def test_demo_makes_the_store_runs_and_builds_in_this_order(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.run("make", "install")
    gdzoo = machine.checkout / ".venv" / "bin" / "gdzoo"
    gdzoo.write_text('#!/bin/sh\necho "gdzoo $*" >>"$CALLS"\n', encoding="utf-8")
    gdzoo.chmod(0o755)
    assert machine.run("make", "demo").returncode == 0
    assert machine.called("gdzoo ") == ["gdzoo store init", "gdzoo run specs/quickstart", "gdzoo board build"]


def test_clean_keeps_runs_store_and_venv(machine: Machine) -> None:
    keep, drop = ("runs", "mlartifacts", ".venv", "specs"), ("site", ".mypy_cache", "zoo/__pycache__")
    for folder in (*keep, *drop):
        (machine.checkout / folder).mkdir(parents=True)
    (machine.checkout / "mlflow.db").touch()
    assert machine.run("make", "clean").returncode == 0
    assert all((machine.checkout / name).exists() for name in (*keep, "mlflow.db"))
    assert not any((machine.checkout / name).exists() for name in drop)


def test_continuous_integration_runs_both_tiers(tmp_path: pathlib.Path) -> None:
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "make $* in $PWD"\n', encoding="utf-8")
    make.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / ".ci" / "run"], cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"make test-all in {ROOT}\n"


def test_no_shell_script_has_a_syntax_error() -> None:
    for script, shell in (("scripts/setup.sh", "sh"), (".ci/run", "bash")):
        subprocess.run([shell, "-n", ROOT / script], check=True)
        assert os.access(ROOT / script, os.X_OK), f"{script} is not executable"
