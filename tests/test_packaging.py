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
# A python that keeps a list of what it was asked; pip "installs" nothing, but brings a uv where UV says so.
PYTHON = """#!/bin/sh
echo "$0 $*" >>"$CALLS"
case "$*" in
*ensurepip*) exit ${ENSUREPIP:-0} ;;
"-m venv --clear "*) mkdir -p "$4/bin" "$4/lib" && cp "$0" "$4/bin/python" ;;
*version_info\\[*) echo 3.12 ;;
*sys.version_info*) exit ${OLD:-0} ;;
--version) echo "Python 3.12.1" ;;
"-m pip config list") [ -z "${CONFIGURED:-}" ] || cat "$CONFIGURED" ;;
"-m pip install --quiet"*) [ -z "${UV:-}" ] || cp "$UV" "${0%python}uv" ;;
"-m pip install"*) echo "constrained by $PIP_CONSTRAINT and $PIP_BUILD_CONSTRAINT" >>"$CALLS"; exit ${PIP:-0} ;;
esac
"""
# A uv that keeps a list of what it was asked, and of what it was told by the environment.
UV = """#!/bin/sh
echo "$0 $*" >>"$CALLS"
env | grep -E "^(UV_|SSL_CERT|HTTPS_PROXY)" | sort | sed 's/^/told /' >>"$CALLS"
case "$*:$UV_INDEX_STRATEGY" in
"pip compile"*)
    [ -z "${NONE:-}" ] || exit 1
    while [ "$1" != --output-file ]; do shift; done
    cat "$MADE" >"$2" ;;
*:unsafe-best-match) echo "${SAYS:-}" >&2; exit ${BEST:-0} ;;
*:first-index) echo "${SAYS:-}" >&2; exit ${FIRST:-0} ;;
esac
"""
BRING = ".venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check --no-deps --require-hashes"
BY_PIP = ".venv/bin/python -m pip install --no-input --progress-bar off --editable ."
BY_UV = (
    "uv pip install --python .venv/bin/python"
    " --constraint constraints.txt --build-constraint constraints.txt --editable ."
)


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
    assert machine.called("pip install") == [f"{BRING} --requirement .venv/uv.txt", BY_PIP]
    assert machine.called("constrained") == ["constrained by .venv/constraints.txt and .venv/constraints.txt"]
    pins = (machine.checkout / ".venv" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==[^ ]+", pin) for pin in pins), (
        "pip takes no hashes beside an editable install"
    )
    assert len(pins) == (machine.checkout / "constraints.txt").read_text(encoding="utf-8").count("==")
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
    assert machine.called("--editable") == [BY_PIP, BY_PIP]
    assert len(machine.called("-m venv --clear")) == 1
    assert (machine.checkout / ".venv" / "mine").exists(), "a .venv that works is kept"


def test_the_test_extra_is_installed_for_tests_and_serves_the_demo_too(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    assert machine.run("scripts/setup.sh", "packages", "test").returncode == 0
    assert machine.called("--editable") == [f"{BY_PIP}[test]"]
    assert machine.run("make", "install").returncode == 0
    assert len(machine.called("--editable")) == 1


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


def test_a_uv_that_is_here_installs_and_nothing_is_brought(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.add("uv", UV)
    done = machine.run("scripts/setup.sh", "packages", "test")
    assert done.returncode == 0, done.stderr
    assert machine.called("pip install") == [f"{BY_UV}[test]"]
    assert machine.called("told ") == ["told UV_INDEX_STRATEGY=unsafe-best-match"]
    assert "pip installs" not in done.stdout


def test_where_python_keeps_no_bytecode_all_of_it_is_made_at_once(machine: Machine) -> None:
    """Else each process of gdzoo would compile what it imports, for seconds."""
    machine.add("python3", PYTHON)
    machine.add("uv", UV)
    assert machine.run("make", "install").returncode == 0
    assert machine.called("compileall") == [], "Python keeps what it compiles when it first imports it"
    (machine.checkout / ".venv" / ".installed").unlink()
    done = machine.run("make", "install", PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, done.stderr
    assert machine.called("compileall") == [".venv/bin/python -m compileall -q -j 0 -x /tests?/ .venv/lib"]
    assert "Compiling the packages: PYTHONDONTWRITEBYTECODE" in done.stdout


def test_pip_brings_the_uv_of_the_constraints_with_its_hash_checked(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.add("a-uv", UV)
    assert machine.run("make", "install", UV=str(machine.bin / "a-uv")).returncode == 0
    assert machine.called("pip install") == [f"{BRING} --requirement .venv/uv.txt", f".venv/bin/{BY_UV}"]
    asked = (machine.checkout / ".venv" / "uv.txt").read_text(encoding="utf-8")
    assert re.fullmatch(r"uv==\S+ \\\n( +--hash=sha256:\w{64} \\\n)+ +--hash=sha256:\w{64}\n", asked)


def test_where_uv_cannot_be_had_pip_installs_and_a_line_says_so(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    done = machine.run("make", "install")
    assert done.stdout.count("uv is not here and pip cannot bring it (.venv/uv.log says why): pip installs") == 1
    assert machine.called("--editable") == [BY_PIP]


def test_where_uv_fails_pip_installs_and_a_line_says_why(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.add("uv", UV)
    done = machine.run("make", "install", BEST="2", SAYS="error: no route to the index")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("uv could not (no route to the index; more in .venv/uv.log): pip installs") == 1
    assert machine.called("--editable") == [BY_UV, BY_PIP]


def test_a_file_with_a_wrong_hash_is_refused_for_good(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.add("uv", UV)
    stopped = machine.run("scripts/setup.sh", "packages", BEST="1", SAYS="  cause: Hash mismatch for `six==1.17.0`")
    assert stopped.returncode == 1
    assert stopped.stderr.startswith(
        "error: Hash mismatch for `six==1.17.0`: this is not the file that constraints.txt"
    )
    assert machine.called("--editable") == [BY_UV], "pip, which checks no hashes, is not asked"
    assert not (machine.checkout / ".venv" / ".installed").exists()


def test_an_index_that_does_not_answer_is_not_asked_for_what_the_extra_ones_have(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.add("uv", UV)
    told = machine.checkout / "told"
    told.write_text("global.extra-index" + "-url='file:///a'\n", encoding="utf-8")
    done = machine.run("make", "install", CONFIGURED=str(told), BEST="2")
    assert done.returncode == 0, done.stderr
    assert machine.called("--editable") == [BY_UV, BY_UV]
    assert machine.called("STRATEGY") == [
        "told UV_INDEX_STRATEGY=unsafe-best-match",
        "told UV_INDEX_STRATEGY=first-index",
    ]
    shutil.rmtree(machine.checkout / ".venv")
    done = machine.run("make", "install", CONFIGURED=str(told), BEST="2", FIRST="2")
    assert machine.called("--editable")[2:] == [BY_UV, BY_UV, BY_PIP]


# What `pip config list` prints: variables, then the sections of all commands and of pip install; values as by repr.
PIP_IS_TOLD = """:env:.cert='/certificates.pem'
:env:.find{links}='/wheels /more'
global.cert='/other.pem'
global.extra-index{url}='\\nfile:///a\\nfile:///b'
global.index{url}='file:///c'
global.proxy='http://localhost:3128'
global.trusted-host='a b'
install.index{url}='file:///d'
site.timeout='9'
"""


def test_uv_is_told_what_pip_is_told(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.add("uv", UV)
    configured = machine.checkout / "told"
    configured.write_text(PIP_IS_TOLD.format(url="-url", links="-links"), encoding="utf-8")
    assert machine.run("make", "install", CONFIGURED=str(configured)).returncode == 0
    assert machine.called("told ") == [
        "told HTTPS_PROXY=http://localhost:3128",
        "told SSL_CERT_FILE=/certificates.pem",
        "told UV_DEFAULT_INDEX=file:///d",
        "told UV_FIND_LINKS=/wheels,/more",
        "told UV_INDEX=file:///a file:///b",
        "told UV_INDEX_STRATEGY=unsafe-best-match",
        "told UV_INSECURE_HOST=a b",
    ]


def test_what_uv_was_told_by_its_user_stays(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.add("uv", UV)
    configured = machine.checkout / "told"
    configured.write_text(PIP_IS_TOLD.format(url="-url", links="-links"), encoding="utf-8")
    machine.run("make", "install", CONFIGURED=str(configured), SSL_CERT_FILE="/mine.pem", UV_FIND_LINKS="/mine")
    assert {"told SSL_CERT_FILE=/mine.pem", "told UV_FIND_LINKS=/mine"} < set(machine.called("told "))
    shutil.rmtree(machine.checkout / ".venv")
    machine.calls.write_text("", encoding="utf-8")
    mine = {"UV_INDEX": "file:///mine", "UV_INDEX_STRATEGY": "first-index"}
    machine.run("make", "install", CONFIGURED=str(configured), **mine)
    assert machine.called("told ") == [f"told {name}={value}" for name, value in mine.items()], "uv has its own indexes"


def test_constraints_are_resolved_with_hashes_by_the_main_index_alone(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.add("uv", UV)
    machine.add("mktemp", f"#!/bin/sh\nmkdir {machine.checkout}/fresh && echo {machine.checkout}/fresh\n")
    made, configured = machine.checkout / "made", machine.checkout / "told"
    made.write_text("flax==1 \\\n    --hash=sha256:00\n", encoding="utf-8")
    configured.write_text(PIP_IS_TOLD.format(url="-url", links="-links"), encoding="utf-8")
    done = machine.run("make", "constraints", MADE=str(made), CONFIGURED=str(configured))
    assert done.returncode == 0, done.stderr
    assert "constraints.txt: 1 exact versions" in done.stdout
    asked = machine.called("pip compile")[0]
    assert all(
        option in asked for option in ("--generate-hashes", "--python-version 3.11", "--extra test", "--extra ray")
    )
    assert "told UV_DEFAULT_INDEX=file:///d" in machine.called("told ")
    assert not [line for line in machine.called("told ") if "UV_INDEX=" in line or "FIND_LINKS" in line]
    before = (machine.checkout / "constraints.txt").read_text(encoding="utf-8")
    assert before.startswith("# ") and before.endswith(made.read_text(encoding="utf-8"))
    failed = machine.run("make", "constraints", MADE=str(made), NONE="1")
    assert "error: uv found no versions that fit together" in failed.stderr
    assert (machine.checkout / "constraints.txt").read_text(encoding="utf-8") == before


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


def test_demo_makes_the_store_and_then_runs_and_builds_the_page_meanwhile(machine: Machine) -> None:
    machine.add("python3", PYTHON)
    machine.run("make", "install")
    gdzoo = machine.checkout / ".venv" / "bin" / "gdzoo"
    gdzoo.write_text('#!/bin/sh\necho "gdzoo $*" >>"$CALLS"\n', encoding="utf-8")
    gdzoo.chmod(0o755)
    assert machine.run("make", "demo").returncode == 0
    assert machine.called("gdzoo ") == ["gdzoo store init", "gdzoo run specs/quickstart --page"]


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
