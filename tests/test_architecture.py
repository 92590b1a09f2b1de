# SPDX-License-Identifier: Apache-2.0
"""The house rules that a machine can check: who imports whom, what loads when, and documents that still hold."""

from __future__ import annotations

import ast
import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest
import yaml
from packaging import requirements, version

from harness import workspace

ROOT = workspace.CHECKOUT
MAY_IMPORT = {
    "zoo": {"zoo"},
    "harness": {"harness", "zoo"},
    "leaderboard": {"leaderboard", "harness", "zoo"},
}
ONLY_IN = {
    "flax": ("zoo/",),
    "tensorflow_datasets": ("harness/data/",),
    "mlflow": (
        "harness/tracking/client.py",
        "harness/tracking/points.py",
        "harness/tracking/upload.py",
        "leaderboard/export/from_store.py",
        "mlflow.db-init/",
    ),
    "jax": ("zoo/", "harness/"),
    "optax": ("harness/",),
    "ray": ("harness/jobs/engines/ray.py",),
}
ROOMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "harness": (
        ("errors", "workspace"),
        ("curvature", "metrics"),
        ("config", "runtime"),
        ("data", "risk"),
        ("starts", "records"),
        ("training", "specs"),
        ("theory",),
        ("diagnostics",),
        ("runs", "tracking"),
        ("jobs",),
        ("bench",),
        ("cli",),
        ("face",),
    ),
    "leaderboard": (("code", "folder"), ("export",), ("board", "bundles"), ("site",), ("cli",)),
}
"""The packages of harness/ and leaderboard/ from the ground up: each imports only from those further down."""
NEVER = [
    ("config", "starts"),
    ("config", "data"),
    ("training", "diagnostics"),
    ("curvature", "training"),
    ("curvature", "risk"),
]
"""Rooms that do not know of each other, whatever their floors."""
HEAVY = ("jax", "flax", "optax", "mlflow", "tensorflow_datasets", "sklearn", "scipy", "pandas", "matplotlib", "ray")
HELP_CPU_SECONDS = 0.7


@functools.cache
def files(pattern: str = "*") -> list[pathlib.PurePosixPath]:
    """Returns the files of the repository (tracked, or new and not ignored) whose path matches `pattern`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    paths = [pathlib.PurePosixPath(line) for line in sorted(set(listed)) if (ROOT / line).is_file()]
    return [path for path in paths if path.match(pattern)]


def read(path: pathlib.PurePosixPath | str) -> str:
    """Returns the text of a file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def imported(path: pathlib.PurePosixPath) -> Iterator[tuple[int, str]]:
    """Yields line and full name of each module that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(read(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports from our packages are absolute"
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def sources() -> list[pathlib.PurePosixPath]:
    """Returns the Python files that are not tests."""
    return [path for path in files("*.py") if path.parts[0] != "tests"]


def python(code: str, **environment: str) -> str:
    """Runs `code` in a new interpreter and returns what it prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def loaded_by(code: str) -> set[str]:
    """Returns which of the heavy libraries a new interpreter has loaded after `code`."""
    return set(
        json.loads(python(f"import sys, json\n{code}\nprint(json.dumps([m for m in {HEAVY} if m in sys.modules]))"))
    )


def test_imports_run_one_way() -> None:
    wrong = [
        f"{path}:{line}: {path.parts[0]} may not import {name}"
        for path in sources()
        for line, name in imported(path)
        if path.parts[0] in MAY_IMPORT
        and name.partition(".")[0] in {*MAY_IMPORT, "gdzoo", "tests"} - MAY_IMPORT[path.parts[0]]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("top", ROOMS)
def test_rooms_import_only_from_the_floors_below(top: str) -> None:
    floors = {room: floor for floor, rooms in enumerate(ROOMS[top]) for room in rooms}
    here = {path.parts[1].removesuffix(".py") for path in sources() if path.parts[0] == top} - {"__init__"}
    assert here == set(floors), "each room, and each loose module, stands in the table"
    loose = {path.stem for path in sources() if path.parts[0] == top and len(path.parts) == 2}
    assert len(loose - {"__init__"}) <= 3
    wrong = []
    for path in sources():
        if path.parts[0] != top or len(path.parts) == 2:
            continue
        for line, name in imported(path):
            if name == top or not name.startswith(f"{top}."):
                continue
            room = name.split(".")[1]
            if room != path.parts[1] and floors[room] >= floors[path.parts[1]]:
                wrong.append(f"{path}:{line}: {path.parts[1]} may not import {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("room", "unseen"), NEVER)
def test_a_room_never_sees_what_is_none_of_its_business(room: str, unseen: str) -> None:
    wrong = [
        f"{path}:{line}: {room} may not know {name}"
        for path in sources()
        if str(path).startswith(f"harness/{room}/")
        for line, name in imported(path)
        if f"{name}.".startswith(f"harness.{unseen}.")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_in_its_one_place(library: str) -> None:
    users = {str(path) for path in sources() if any(n.partition(".")[0] == library for _, n in imported(path))}
    assert users, f"nothing imports {library}"
    wrong = [path for path in users if not path.startswith(ONLY_IN[library])]
    assert not wrong, f"{library} is for {ONLY_IN[library]} only, not for {wrong}"


def test_imports_are_found_wherever_they_stand() -> None:
    found = {name for _, name in imported(pathlib.PurePosixPath("harness/tracking/client.py"))}
    assert {"harness.errors", "logging"} <= found
    assert any(name.startswith("mlflow") for name in found)


@pytest.mark.parametrize(
    "module",
    [
        "gdzoo",
        "harness.specs",
        "harness.theory",
        "harness.metrics",
        "harness.jobs.schedule",
        "harness.jobs.engines.local",
        "harness.jobs.worker",
        "harness.tracking.client",
        "harness.tracking.fields",
        "harness.tracking.store",
        "harness.tracking.upload",
        "leaderboard.board.table",
        "zoo",
    ],
)
def test_a_light_module_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}") == set()


def test_the_face_loads_what_a_name_of_it_needs() -> None:
    assert "jax" in loaded_by("import gdzoo; gdzoo.survey")
    assert loaded_by("import gdzoo; gdzoo.InputError; dir(gdzoo)") == set()


def test_help_loads_nothing_heavy_and_is_quick() -> None:
    program = "import sys; sys.argv = ['gdzoo', '--help']; import gdzoo, contextlib, io"
    call = "\nwith contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): gdzoo.main()"
    assert loaded_by(program + call) == set()
    assert min(cpu_seconds([sys.executable, "-m", "gdzoo", "--help"]) for _ in range(3)) < HELP_CPU_SECONDS


def cpu_seconds(command: list[str]) -> float:
    """Returns the CPU time that a command takes; unlike its wall time it does not depend on who else is at work."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("path", files("*.py"), ids=str)
def test_every_python_file_names_its_licence_and_its_purpose(path: pathlib.PurePosixPath) -> None:
    assert read(path).startswith("# SPDX-License-Identifier: Apache-2.0\n")
    assert ast.get_docstring(ast.parse(read(path))), "the module has no docstring"
    assert path.stem not in {"utils", "util", "common", "helpers", "misc"}


def test_no_file_names_a_machine_or_a_package_index() -> None:
    here = [re.escape(f"{place}/") for place in (ROOT, pathlib.Path.home()) if place != pathlib.Path("/")]
    machine = "|".join(("/wo" + "rk/", "/ro" + "ot/", "/tm" + "p/", "/op" + "t/", *here))
    index = "|".join(("py" + "pi", "python" + "hosted", "index" + "-url", "find" + "-links"))
    pattern = re.compile(rf"(?<![\w.$}}])(?:{machine})|(?:{index})", re.IGNORECASE)
    wrong = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path in files()
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_constraints_are_exact_and_cover_what_is_declared() -> None:
    text = re.sub(r"^# .*\n", "", read("constraints.txt"), flags=re.MULTILINE)
    one = r"([a-z0-9-]+)==([0-9][A-Za-z0-9.+!]*) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)"
    assert re.fullmatch(f"(?:{one})+", text), "names, ==, versions and hashes, no more"
    found = re.findall(one, text)
    exact = {name: version.Version(number) for name, number, _ in found}
    assert list(exact) == sorted(exact) and len(exact) == len(found)
    assert "uv" in exact, "scripts/setup.sh brings this version"
    project = tomllib.loads(read("pyproject.toml"))
    declared = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["test"]]
    declared += project["build-system"]["requires"]
    for requirement in map(requirements.Requirement, declared):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in exact, f"constraints.txt has no version of {name}; say make constraints"
        assert exact[name] in requirement.specifier


def test_each_folder_has_a_readme_that_names_its_files() -> None:
    folders = {path.parts[0] for path in files() if len(path.parts) > 1 and not path.parts[0].startswith(".")}
    assert {"zoo", "harness", "leaderboard", "specs", "tests", "scripts", "mlflow.db-init"} <= folders
    for folder in sorted(folders):
        assert (ROOT / folder / "README.md").is_file(), f"{folder}/ has no README.md"
        text = read(f"{folder}/README.md")
        inside = {path.parts[1] for path in files() if path.parts[0] == folder} - {"README.md", "__init__.py"}
        unnamed = [name for name in sorted(inside) if name.partition(".")[0] not in text]
        assert not unnamed, f"{folder}/README.md does not mention {unnamed}"


def documents() -> list[pathlib.PurePosixPath]:
    """Returns the documents that people read."""
    return files("*.md")


def code_in(path: pathlib.PurePosixPath) -> str:
    """Returns what a document sets as code, one piece a line."""
    text = read(path)
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text)])


def test_every_command_in_a_document_exists() -> None:
    import typer.main

    from leaderboard.cli import door

    wrong = []
    for path in documents():
        for words in re.findall(r"^(?:\$ |\.venv/bin/)*gdzoo ((?:[a-z]+ ?)+)", code_in(path), re.MULTILINE):
            command = typer.main.get_command(door.app)
            for word in words.split():
                if not hasattr(command, "commands"):
                    break
                if word not in command.commands:
                    wrong.append(f"{path}: gdzoo {words}")
                    break
                command = command.commands[word]
    assert not wrong, "\n".join(wrong)


def test_every_make_target_in_a_document_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    assert {"help", "install", "demo", "data", "test", "slow", "lint", "schema", "constraints", "clean"} <= targets
    for path in documents():
        named = set(re.findall(r"^(?:\$ )?make ([a-z]+)", code_in(path), re.MULTILINE))
        assert named <= targets, f"{path} names {named - targets}"


def test_every_citation_of_the_mathematics_leads_somewhere() -> None:
    page = read("docs/mathematics.md")
    headings = set(re.findall(r"^#+ (D\d+|\d+)\b", page, re.MULTILINE)) | set(
        re.findall(r"^\| ([CS]\d+) ", page, re.MULTILINE)
    )
    assert {"1", "7", "D1", "D14", "C1", "C15", "S1", "S5"} <= headings
    statements = set(re.findall(r"^#+ (F\d+)\b", read("docs/theorems.md"), re.MULTILINE))
    wrong, seen = [], 0
    for path in (
        path
        for path in files()
        if path.suffix in {".py", ".html", ".yaml"} and not {"submissions", "corpus"} & set(path.parts)
    ):
        for words in re.findall(r"[Mm]athematics,?\s+((?:(?:and|to|sections?|[DCFS]?\d+)\b[,;]?\s*)+)", read(path)):
            cited = re.findall(r"[DCFS]?\d+", words)
            seen += len(cited)
            wrong += [f"{path}: {name}" for name in cited if name not in headings | statements]
    assert seen > 60
    assert not wrong, "\n".join(wrong)


def test_every_link_in_a_document_leads_somewhere() -> None:
    wrong = []
    for path in documents():
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(path)):
            if "://" not in target and not (ROOT / path.parent / target).exists():
                wrong.append(f"{path}: {target}")
    assert not wrong, "\n".join(wrong)


def test_citation_is_complete_and_of_this_version() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    for key in ("cff-version", "message", "title", "authors", "type", "version", "license", "references"):
        assert citation.get(key), f"CITATION.cff has no {key}"
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation["authors"] == [{"name": "gdzoo maintainers"}]
    (paper,) = citation["references"]
    assert {"type", "title", "authors", "year"} <= set(paper)
    assert paper["identifiers"] == [{"type": "other", "value": "arXiv:2510.24466"}]


def test_changelog_has_this_version_and_room_for_the_next() -> None:
    headings = re.findall(r"^## \[(.+?)\]( - \d{4}-\d\d-\d\d)?$", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert headings[1][1]


def test_licence_is_whole() -> None:
    text = read("LICENSE")
    for part in ("Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS", "9. Accepting Warranty"):
        assert part in text
