# SPDX-License-Identifier: Apache-2.0
"""How `make data` and `make test` come by Debian's files, on made-up machines."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

from harness import workspace

NOTE = '#!/bin/sh\necho "$(basename "$0") $*" >>"$CALLS"\n'


def setup(folder: pathlib.Path, **programs: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Runs `scripts/setup.sh data` where only these programs are, and returns what came of it and what was called."""
    for tool in ("dirname", "basename", "sh"):
        programs.setdefault(tool, f'#!/bin/sh\nexec {shutil.which(tool)} "$@"\n')
    for name, script in programs.items():
        (folder / name).write_text(script, encoding="utf-8")
        (folder / name).chmod(0o755)
    (folder / "calls").touch()
    done = subprocess.run(
        [str(shutil.which("sh")), str(workspace.CHECKOUT / "scripts" / "setup.sh"), "data"],
        env={"PATH": str(folder), "CALLS": str(folder / "calls")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done, (folder / "calls").read_text(encoding="utf-8").splitlines()


def test_debians_package_is_installed_where_it_is_missing(tmp_path: pathlib.Path) -> None:
    programs = {"dpkg": "#!/bin/sh\nexit 1\n", "id": "#!/bin/sh\necho 0\n", "apt-get": NOTE, "env": NOTE}
    done, calls = setup(tmp_path, **programs)
    assert done.returncode == 0, done.stderr
    assert "Installing for the images of Fashion-MNIST, with apt-get: dataset-fashion-mnist" in done.stdout
    assert calls[0] == "apt-get update -qq"
    assert calls[1].endswith("apt-get install -y -qq --no-install-recommends dataset-fashion-mnist")


def test_where_it_is_there_nothing_is_done(tmp_path: pathlib.Path) -> None:
    done, calls = setup(tmp_path, **{"dpkg": NOTE, "apt-get": NOTE})
    assert (done.returncode, done.stdout, calls) == (0, "", ["dpkg -s dataset-fashion-mnist"])


def test_without_root_the_command_is_printed(tmp_path: pathlib.Path) -> None:
    programs = {"dpkg": "#!/bin/sh\nexit 1\n", "id": "#!/bin/sh\necho 1000\n", "apt-get": NOTE}
    done, calls = setup(tmp_path, **programs)
    assert (done.returncode, calls) == (2, [])
    assert "as root, say: apt-get update && apt-get install -y dataset-fashion-mnist" in done.stderr


def test_another_system_is_told_of_the_network(tmp_path: pathlib.Path) -> None:
    done, _ = setup(tmp_path)
    assert done.returncode == 0, "the tests can run without"
    assert "gdzoo data prepare fashion_mnist" in done.stdout
