# SPDX-License-Identifier: Apache-2.0
"""Specs: one YAML file becomes a Spec, and a Spec becomes cells.

A spec is complete: no inheritance, no code but by name and hash. Its one `grid` field maps dotted paths to lists of
values; the cells are their product. A cell is named by the SHA-256 of the canonical JSON of everything that changes a
number.

Example:
    >>> from harness import specs, workspace
    >>> spec = specs.read(workspace.CHECKOUT / "specs" / "quickstart" / "mlp.yaml")
    >>> [cell.label for cell in spec.cells]
    ['mlp · activation=relu', 'mlp · activation=gelu']
    >>> spec.cells[0].cell_id
    '0f7a95b0cda2'
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import os
import pathlib
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import pydantic
import yaml

import zoo
from harness import config, errors, workspace
from harness.specs import allowed, conflicts, grid, local, problems, strict_yaml
from harness.specs import expected as expectations
from harness.specs import template as templates

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

LONGEST_LABEL = 4000
"""Characters of a label; a longer one is cut, and ends with the cell's name."""

MAX_WRONG = 500  # cells to explain before a grid that is wrong everywhere is given back
NAMES = "1 to 64 letters, digits, '.', '_' and '-', the first not '.' or '-'"

Line = Annotated[str, pydantic.Field(min_length=1, pattern=r"^\S(.*\S)?$")]


class File(config.Recipe):
    """What a spec file may hold: one experiment, complete, and optionally a grid of variations of it."""

    model_config = pydantic.ConfigDict(title="A spec of gdzoo")

    schema_version: Annotated[Literal[1], pydantic.Field(alias="schema", description="Version of this format.")]
    title: Annotated[Line, pydantic.Field(max_length=200, description="What tables and pages call it.")]
    source: Annotated[
        Line | None, pydantic.Field(max_length=1000, description="Where the configuration comes from.")
    ] = None
    seeds: Annotated[int, pydantic.Field(ge=1, le=1000, description="How many seeds; they are 0, 1, 2, ...")]
    grid: Annotated[
        dict[str, Annotated[tuple[pydantic.JsonValue, ...], pydantic.Field(strict=False, min_length=1)]],
        pydantic.Field(
            default_factory=dict,
            min_length=1,
            description="Dotted path to list of values; a configuration for each combination, 10,000 at most; one "
            "without.",
        ),
    ]
    expected: Annotated[
        dict[str, Annotated[tuple[pydantic.JsonValue, ...], pydantic.Field(strict=False, min_length=1)]],
        pydantic.Field(
            default_factory=dict,
            min_length=1,
            description="For controls: `start.METRIC`, `end.METRIC`, `run.METRIC`, `verdict` or `status` to the value "
            "that is known in closed form, a list with one for each configuration, or one for all; `gdzoo run` says "
            "what agrees.",
        ),
    ]


@dataclasses.dataclass(frozen=True)
class Spec:
    """One spec file, read and found right.

    Attributes:
        file: The path as it was given.
        suite: Name of the folder that holds the file.
        name: Name of the file without `.yaml`.
        title: What tables and pages call it.
        source: Where the configuration comes from.
        seeds: How many seeds each cell has.
        cells: The cells of its grid, one for a spec without grid.
    """

    file: str
    suite: str
    name: str
    title: str
    source: str | None
    seeds: int
    cells: tuple[config.Cell, ...]


def read(path: str | os.PathLike[str]) -> Spec:
    """Reads one spec file.

    Raises:
        errors.InputError: With file, line, column, dotted path, value, what is allowed and the nearest name of each
            problem, ten at most.
    """
    location = workspace.shipped(path)
    file = str(path) if str(path).isprintable() else strict_yaml.shown(str(path))
    text = strict_yaml.decode(_bytes(location, file), file)
    suite = pathlib.Path(os.path.abspath(location)).parent.name
    for word, what in ((location.stem, "file"), (suite, "folder")):
        if not NAME.fullmatch(word):
            raise errors.InputError(f"{file}: the name of the {what}, {word!r}, is not allowed; allowed: {NAMES}")
    return parse(text, file=file, suite=suite, name=location.stem, complete=local.completed)


def read_all(paths: Iterable[str | os.PathLike[str]]) -> list[Spec]:
    """Reads spec files, and all `*.yaml` inside folders; each file once.

    Raises:
        errors.InputError: With the problems of all files.
    """
    files: dict[str, pathlib.Path] = {}
    for file in itertools.chain.from_iterable(map(_files, paths)):
        files.setdefault(os.path.abspath(file), file)
    specs: list[Spec] = []
    wrong: list[str] = []
    for file in files.values():
        try:
            specs.append(read(file))
        except errors.InputError as error:
            wrong.append(str(error))
    if wrong:
        raise errors.InputError("\n".join(wrong))
    return specs


def parse(
    text: str,
    *,
    file: str,
    suite: str,
    name: str,
    complete: Callable[[dict[str, Any]], local.Completed] = local.Completed,
) -> Spec:
    """Returns the spec that a YAML text describes.

    Args:
        text: The YAML.
        file: What messages call it.
        suite: Name of its suite.
        name: Its name in the suite.
        complete: Fills in what a recipe leaves to be found here; nothing, unless it is read from disk.

    Raises:
        errors.InputError: As `read` does.
    """
    document = strict_yaml.load(text, file)
    try:
        fields = File.model_validate(document.value)
    except pydantic.ValidationError as error:
        raise problems.input_error(document, problems.explained(error, document.value, _schema())) from None
    context = {"suite": suite, "spec": name, "title": fields.title, "source": fields.source, "seeds": fields.seeds}
    cells = _cells(document, fields, context, complete)
    return Spec(file, suite, name, fields.title, fields.source, fields.seeds, cells)


def dump(cell: config.Cell) -> str:
    """Returns the cell as a spec without grid: YAML that reads back as the same cell."""
    source = "" if cell.source is None else f"source: {_yaml(cell.source, quoted=True)}"
    head = f"schema: {config.SCHEMA}\ntitle: {_yaml(cell.title, quoted=True)}{source}"
    return f"{head}{_yaml(cell.resolved())}seeds: {cell.seeds}\n"


def schema_json() -> str:
    """Returns the JSON Schema of spec files, for editors: the content of `specs/schema.json`."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def template(name: str, family: str, setting: str = "tiny") -> str:
    """Returns the text of a new spec, each line explained: full-batch gradient descent for a network of a family.

    Args:
        name: Name of the spec.
        family: A name in zoo.FAMILIES.
        setting: One of the family's settings; `tiny` is small enough to try, seconds on a CPU.

    Raises:
        errors.InputError: If the name cannot be a file's, or there is no such family or setting.
    """
    if not NAME.fullmatch(name):
        raise errors.InputError(f"{name!r} is not allowed as the name of a spec; allowed: {NAMES}")
    if family not in zoo.FAMILIES:
        raise errors.InputError(
            f"there is no family {family!r}; allowed: {', '.join(zoo.FAMILIES)}{errors.nearest(family, zoo.FAMILIES)}"
        )
    settings = zoo.FAMILIES[family].settings
    if setting not in settings:
        raise errors.InputError(
            f"{family} has no setting {setting!r}; allowed: {', '.join(settings)}{errors.nearest(setting, settings)}"
        )
    return templates.text(templates.fields(name, family, setting), _schema())


def _cells(
    document: strict_yaml.Document,
    fields: File,
    context: dict[str, Any],
    complete: Callable[[dict[str, Any]], local.Completed],
) -> tuple[config.Cell, ...]:
    """Returns the cells of all grid points.

    Args:
        document: The file.
        fields: The same, validated.
        context: The fields of the cells that are the same in all.
        complete: Fills in what a recipe leaves to be found here.

    Raises:
        errors.InputError: If one of them is wrong, or two are the same.
    """
    written = {key: value for key, value in document.value.items() if key in config.Recipe.model_fields}
    resolved = fields.resolved()
    axes = grid.axes(fields.grid, resolved, document)
    cells: list[config.Cell] = []
    points: dict[str, grid.Point] = {}
    found: dict[tuple[strict_yaml.Path, str], problems.Problem] = {}
    wrong = 0
    hopes = list(expectations.check(fields.expected, math.prod(len(axis.values) for axis in axes)))
    right = not hopes
    found.update({(hope.path, hope.text): hope for hope in hopes})
    for point, mapping in grid.mappings(axes, written, resolved):
        whole = complete(mapping)
        try:
            cell = config.Recipe.model_validate(whole.mapping)
            here = [*whole.problems, *([] if whole.problems else conflicts.conflicts(cell))]
        except pydantic.ValidationError as error:
            here = list(problems.explained(error, mapping, _schema()))
        else:
            text = cell.model_dump_json()
            if text in points:
                here.append(grid.twin(axes, point, points[text]))
            points.setdefault(text, point)
            label = grid.label(context["spec"], axes, json.loads(text))
            if len(label) > LONGEST_LABEL:
                name = config.hash_of(cell.resolved())[:12]
                label = f"{label[: LONGEST_LABEL - len(name) - 4]}... {name}"
            values = {name: getattr(cell, name) for name in config.Recipe.model_fields}
            wanted = expectations.of_cell(fields.expected, len(cells)) if right else ()
            cells.append(config.Cell.model_construct(**values, **context, label=label, expected=wanted))
        for problem in here:
            blamed = grid.blamed(problem, axes, point)
            found.setdefault((blamed.path, blamed.text), blamed)
        wrong += bool(here)
        if len(found) > strict_yaml.MAX_PROBLEMS or wrong > MAX_WRONG:
            break
    if found:
        raise problems.input_error(document, found.values())
    return tuple(cells)


def _bytes(path: pathlib.Path, file: str) -> bytes:
    """Returns what a spec file holds, cut a byte beyond what is read.

    Raises:
        errors.InputError: If there is no such file, or it cannot be read.
    """
    try:
        if path.is_dir():
            raise errors.InputError(f"{file}: is a folder; name a spec file in it")
        if not path.suffix and not path.exists():
            folders = [str(one) for one in path.parent.glob("*") if one.is_dir()]
            raise errors.InputError(f"{file}: there is no such file or folder{errors.nearest(str(path), folders)}")
        if path.suffix != ".yaml":
            raise errors.InputError(f"{file}: the name of a spec file ends in .yaml")
        if not path.exists():
            raise errors.InputError(f"{file}: there is no such file{_nearest_file(path)}")
        if not path.is_file():
            raise errors.InputError(f"{file}: is not a regular file")
        with path.open("rb") as handle:
            return handle.read(strict_yaml.MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise errors.InputError(f"{file[:200]}: cannot be read: {reason}") from None


def _nearest_file(path: pathlib.Path) -> str:
    """Returns the hint at the spec file whose name is most like a wrong one: among its neighbours, then among ours."""
    ours = (workspace.CHECKOUT / "specs").rglob("*.yaml")
    here = pathlib.Path.cwd()
    shown = (file.relative_to(here) if file.is_relative_to(here) else file for file in ours)
    return errors.nearest(str(path), map(str, path.parent.glob("*.yaml"))) or errors.nearest(str(path), map(str, shown))


def _files(path: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Returns the spec files that a path given by a person means.

    Raises:
        errors.InputError: If it is a folder without any.
    """
    folder = workspace.shipped(path)
    if not folder.is_dir():
        return [folder]
    files = sorted(
        file
        for file in folder.rglob("*.yaml")
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    if not files:
        raise errors.InputError(f"{folder}: the folder holds no *.yaml")
    return files


def _yaml(value: Any, *, quoted: bool = False) -> str:
    """Returns a plain value as YAML. A free text is quoted always: 1e-3 is a text to PyYAML and a number to us."""
    text: str = yaml.safe_dump(
        value, default_style='"' if quoted else None, allow_unicode=True, width=10_000, sort_keys=False
    )
    return text


@functools.cache
def _schema() -> allowed.Schema:
    """Returns the JSON Schema of spec files, its fields in the order in which people write them."""
    schema = File.model_json_schema()
    order = ("schema", "title", "source", *config.Recipe.model_fields, "seeds", "grid", "expected")
    return {**schema, "properties": {name: schema["properties"][name] for name in order}}
