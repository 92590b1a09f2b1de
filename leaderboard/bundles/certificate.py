# SPDX-License-Identifier: Apache-2.0
"""Certificates of maps that were never iterated: a stranger's file, read strictly, checked, computed again.

    leaderboard/certificates/<suite>/<cell_id>.json    as `gdzoo certify --write` writes it (harness/theory/written.py)

For free: the cell is the one that its name says, what the layers say of it is what they say here, and the range of step
sizes and the verdict follow from the bands of the points. Computed again, in the process that bundles have: training
set, parameters, and every eigenvalue of every point, which must lie in a band that is claimed, within its own error
bar. A band that is too wide makes a weaker claim, not a false one.
"""

from __future__ import annotations

import json
import math
import pathlib
import re
import tempfile
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pydantic
from pydantic import Field, JsonValue

from harness import config, data, errors, theory, workspace
from harness.config import cell as cells
from harness.theory import step_sizes
from harness.training import optimizers
from leaderboard.bundles import claim, process
from leaderboard.export import document, labels, parsing, text

MAX_BYTES = 4 << 20
"""Bytes of a certificate, at most."""

MEMORY = 20 << 30
"""Bytes of data that the process which computes it again may hold: a ViT-B takes a fifth of it."""

FILE = re.compile(r"[0-9a-f]{12}\.json")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Step = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bands = Annotated[tuple[tuple[Step, Step], ...], Field(max_length=100_000)]


class Point(document.Part):
    """A point, and intervals of which one holds each eigenvalue > 0 of H there."""

    method: document.Line
    where: document.Line
    failure: Annotated[float, Field(ge=0, le=1)]
    bands: Bands

    @pydantic.model_validator(mode="after")
    def _bands_are_disjoint(self) -> Point:
        ends = [end for band in self.bands for end in band]
        if ends != sorted(ends):
            raise ValueError("its bands are not disjoint and in increasing order")
        return self


class Range(document.Part):
    """Every step size below `below` (null: every one) is certified, but for those in the intervals `but`."""

    below: Step | None
    but: Bands

    @property
    def steps(self) -> step_sizes.Steps:
        """The same for arithmetic."""
        below = math.inf if self.below is None else self.below
        return step_sizes.Steps(below, tuple(step_sizes.Candidate(*ends) for ends in self.but))


class Said(document.Part):
    """What the layers say of the map: what covers it, whether it is one piece, which step sizes are bad, and why."""

    covered: theory.Covered
    one_piece: bool
    bad: document.Line
    others: document.Line


class Made(document.Part):
    """What it took, and with which code it was made; believed, and printed as such."""

    seconds: Step
    cpu_seconds: Step
    peak_bytes: document.Count
    commit: document.Commit | None
    dirty: bool
    versions: dict[document.Name, document.Line] = Field(max_length=40)


class Certificate(document.Part):
    """What is claimed of one map.

    Attributes:
        schema_: Version of this form.
        cell: The configuration, as a spec has it.
        dataset: SHA-256 of its training set (docs/bundle.md).
        parameters: P.
        eta: The step size of its spec.
        verdict: Of the whole map at that step size.
        why: What the verdict rests on.
        theory: What its layers say, for all data.
        asked: How many points were asked.
        points: Those that speak of the whole map.
        missing: Why there are no closed points; mostly empty.
        range: The step sizes that the points certify.
        made: With what.
    """

    schema_: Literal[1] = Field(alias="schema")
    suite: document.Name
    spec: document.Name
    label: document.Line
    title: document.Line
    source: document.Line | None
    cell_id: document.CellId
    cell: dict[document.Name, JsonValue] = Field(max_length=40)
    dataset: document.Digest
    parameters: Annotated[int, Field(ge=1, le=10**15)]
    eta: Positive
    verdict: Literal["certified", "undecided", "singular"]
    why: document.Line
    theory: Said
    asked: Annotated[int, Field(ge=1, le=100)]
    points: tuple[Point, ...] = Field(max_length=100)
    missing: document.Line
    range: Range
    made: Made

    @property
    def name(self) -> str:
        """`suite/cell_id`."""
        return f"{self.suite}/{self.cell_id}"

    @property
    def failure(self) -> float:
        """The probability that what its points say is false, at most."""
        return sum(point.failure for point in self.points)

    def recipe(self) -> config.Recipe:
        """Returns the configuration with its types.

        Raises:
            ValueError: It is none.
        """
        return config.Recipe.model_validate_json(json.dumps(self.cell))


class Outcome(NamedTuple):
    """What was found of a certificate.

    Attributes:
        certificate: The certificate.
        checks: Every comparison.
        level: How far it was checked.
        seconds: What computing it again took, in CPU seconds.
    """

    certificate: Certificate
    checks: list[claim.Check]
    level: labels.Level
    seconds: float = 0.0

    @property
    def confirmed(self) -> bool:
        """Whether everything that was looked at holds."""
        return all(check.holds for check in self.checks)


def read(path: pathlib.Path) -> Certificate:
    """Reads a certificate.

    Raises:
        errors.Rejected: It is none; says why, in one line.
    """
    try:
        if path.is_symlink() or not path.is_file():
            raise ValueError("it is no regular file")
        with open(path, "rb") as handle:
            return parse(handle.read(MAX_BYTES + 1))
    except (OSError, ValueError) as error:
        raise errors.Rejected(f"{path}: rejected: {text.clean(str(error))[:300]}") from None


def parse(content: bytes) -> Certificate:
    """Returns the certificate that some bytes are.

    Raises:
        ValueError: They are none; says why.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
    plain = parsing.parse_json(content.decode("utf-8"), "the certificate")
    try:
        found = Certificate.model_validate_json(json.dumps(plain))
        recipe = found.recipe()
    except pydantic.ValidationError as error:
        raise ValueError(parsing.explain(error)) from None
    conflicts = [words for _, words in data.conflicts(recipe.data)]
    if conflicts:
        raise ValueError(f"its training set cannot be: {conflicts[0]}")
    if not isinstance(recipe.optimizer.learning_rate, int | float):
        raise ValueError("its step size is relative to the sharpness of a start, and each run's map its own")
    if cells.hash_of(recipe.resolved())[:12] != found.cell_id:
        raise ValueError(f"its configuration is not the one that {found.cell_id} names")
    return found


def dump(found: Certificate) -> bytes:
    """Returns the bytes of a certificate's file."""
    plain = found.model_dump(mode="json", by_alias=True)
    return (json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n").encode()


def files_in(path: pathlib.Path) -> list[pathlib.Path]:
    """Returns the certificates that a path given by a person means: itself, or those up to two levels below it."""
    if path.is_file() and FILE.fullmatch(path.name):
        return [path]
    below = (file for depth in ("*", "*/*") for file in sorted(path.glob(depth)) if FILE.fullmatch(file.name))
    return [file for file in below if file.is_file() or file.is_symlink()] if path.is_dir() else []


def shipped() -> Iterator[Certificate]:
    """Yields the certificates of the board, each of which agrees with itself.

    Raises:
        errors.Rejected: One is none, lies where it does not belong, or does not agree with itself; says which.
    """
    for file in files_in(workspace.board() / "certificates"):
        found = read(file)
        if found.name != f"{file.parent.name}/{file.stem}":
            raise errors.Rejected(f"{file}: rejected: it is of the configuration {found.name}")
        for check in free_checks(found):
            if not check.holds:
                why = f"{check.what}: {check.claimed[:80]} is claimed, {check.found[:80]} was found"
                raise errors.Rejected(f"{file}: rejected: {text.clean(why)}")
        yield found


def verify(
    found: Certificate,
    level: labels.Level = "recomputed",
    *,
    seconds: int = process.SECONDS,
    tell: process.Tell = lambda what, done, of: None,
) -> Outcome:
    """Checks a certificate as far as a level goes; where it does not agree with itself, nothing is computed.

    Raises:
        errors.InputError: It cannot be computed here, as where a data set is missing.
        errors.Rejected: The computation was refused or took too much.
    """
    checks = free_checks(found)
    if level == "reported" or not all(check.holds for check in checks):
        return Outcome(found, checks, "reported")
    again, spent = _again(found, seconds, tell)
    return Outcome(found, [*checks, *_compared(found, again)], "recomputed", spent)


def free_checks(found: Certificate) -> list[claim.Check]:
    """Returns what can be compared without computing a derivative."""
    recipe = found.recipe()
    says = theory.of(recipe)
    mine = {"covered": says.covered, "one_piece": says.one_piece, "bad": says.bad, "others": says.others}
    checks = [_same("reported", f"theory, {name}", getattr(found.theory, name), value) for name, value in mine.items()]
    if not says.one_piece:
        every = all(point.method.endswith("every piece") for point in found.points)
        checks.append(_same("reported", "points speak of every piece", True, every))
    bands = [np.array(point.bands).reshape(-1, 2) for point in found.points]
    steps = step_sizes.outside(bands) if bands else step_sizes.Steps(0.0, ())
    checks.append(_same("reported", "range, end", found.range.steps.below, steps.below))
    checks.append(_same("reported", "range, left over", found.range.steps.candidates, steps.candidates))
    checks.append(_same("reported", "verdict", found.verdict, _verdict(recipe, says, found.eta, steps)))
    return checks


def _verdict(recipe: config.Recipe, says: theory.Theory, eta: float, steps: step_sizes.Steps) -> str:
    """Returns the verdict that follows from the layers and from the step sizes that points certify."""
    used = optimizers.step_sizes(recipe, eta)
    match = theory.matches(says, used, recipe.precision)
    if match is not None and match.exact:
        return "singular"
    by_layers = all(says.excludes(float(value), recipe.precision) for value in used.values)
    return "certified" if by_layers or step_sizes.within(steps, used.values).all() else "undecided"


def _again(found: Certificate, seconds: int, tell: process.Tell) -> tuple[dict[str, Any], float]:
    """Returns the certificate as a process of its own computes it, bands within one error bar, and its CPU seconds."""
    named = {name: getattr(found, name) for name in ("suite", "spec", "label", "title", "source")}
    limits = {"RLIMIT_CPU": seconds, "RLIMIT_DATA": MEMORY, "RLIMIT_FSIZE": process.FILE_BYTES, "RLIMIT_CORE": 0}
    asked = {"cell": {**found.cell, **named, "seeds": 1}, "points": found.asked, "limits": limits}
    with tempfile.TemporaryDirectory(prefix="gdzoo-verify-") as name:
        folder = pathlib.Path(name)
        (folder / "request.json").write_text(json.dumps(asked), encoding="utf-8")
        tell(found.label, 0, 1)
        ended = process.run(folder, lambda done, of: None, "harness.jobs.recertify")
        tell(found.label, 1, 1)
    said = ended.messages
    if "unable" in said:
        raise errors.InputError(f"{found.name}: cannot be checked here: {said['unable'][0]['unable']}")
    if "refused" in said:
        raise errors.Rejected(f"{found.name}: rejected: {said['refused'][0]['refused']}")
    if ended.code or "certificate" not in said:
        late = ended.seconds >= seconds - 1
        why = f"took more than {seconds} CPU seconds" if late else f"died: {ended.error[:200]}"
        raise errors.Rejected(f"{found.name}: rejected: its computation {why}")
    return said["certificate"][0], ended.seconds


def _compared(found: Certificate, again: dict[str, Any]) -> list[claim.Check]:
    """Returns the comparisons with what was computed again."""
    names = ("dataset", "parameters", "eta")
    checks = [_same("recomputed", name, getattr(found, name), again[name]) for name in names]
    wheres = [(point["method"], point["where"], point["failure"]) for point in again["points"]]
    claimed = [(point.method, point.where, point.failure) for point in found.points]
    checks.append(_same("recomputed", "points", claimed, wheres))
    for point, other in zip(found.points, again["points"], strict=False):
        checks.append(_inside(point, np.array(other["bands"]).reshape(-1, 2)))
    return checks


def _inside(point: Point, there: np.ndarray) -> claim.Check:
    """Returns the check that every interval computed here lies in one that is claimed."""
    bands = np.array(point.bands).reshape(-1, 2)
    at = np.searchsorted(bands[:, 0], there[:, 0], side="right") - 1
    held = (at >= 0) & (there[:, 1] <= bands[np.maximum(at, 0), 1]) if len(bands) else np.zeros(len(there), bool)
    outside = there[~held]
    shown = f"eigenvalue in [{outside[0, 0]:.17g}, {outside[0, 1]:.17g}]" if len(outside) else "all of them"
    subject = claim.Subject("recomputed", "eigenvalues lie in the bands", point.where)
    return claim.related(subject, f"{len(bands)} bands", shown, "in one of them", not len(outside))


def _same(level: labels.Level, what: str, claimed: object, found: object) -> claim.Check:
    """Returns the check that two things are the same."""
    return claim.same(claim.Subject(level, what, ""), claimed, found)
