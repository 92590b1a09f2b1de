# SPDX-License-Identifier: Apache-2.0
"""Trust: verdicts, what was found when a bundle was checked, and disputes, what somebody says against it, as files.

A verdict is made by `gdzoo verify` and by nothing else. It names the bundle by its SHA-256 and carries one of its own,
so that it speaks of those bytes alone and an edited one is noticed; who may publish one is decided where it is
published (docs/verifying.md). A dispute is a person's, with a reason, and needs no number of ours to agree.

    leaderboard/submissions/<suite>/<cell_id>/     a bundle
    leaderboard/verdicts/<suite>/<cell_id>.json    what the verifier found
    leaderboard/disputes/<suite>/<cell_id>.json    what somebody says against it
"""

from __future__ import annotations

import datetime
import json
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import Field, StringConstraints

from harness import errors
from harness.config import canonical
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import claim
from leaderboard.export import document, labels, parsing

SCHEMA: Literal[1] = 1
DOMAIN = "gdzoo-verdict-1:"
MAX_BYTES = 1 << 20

Statement = TypeVar("Statement", bound=pydantic.BaseModel)


class Pair(document.Part):
    """The worst of all comparisons of one thing."""

    level: labels.Level
    what: document.Line
    checks: document.Count
    failed: document.Count
    where: document.Line
    claimed: document.Line
    found: document.Line
    tolerance: document.Line


class VerdictBody(document.Part):
    """What a verdict says of one bundle.

    Attributes:
        schema_: Version of this form.
        bundle: SHA-256 of its `bundle.json`.
        label: How far it was checked, or `disputed`.
        level: How far the verifier was asked to go.
        bits: Whether numbers were compared bit by bit, the canaries being equal.
        challenge: What the segments were drawn with, together with the bundle's hash.
        segments: Pairs of steps between which the steps were made again.
        note: Why the label is less than the level; mostly empty.
        seconds: What the recomputation took, in CPU seconds.
        commit: Of the verifier's code; with whether tracked files differed.
        versions: Of Python and packages.
        profile: What the verifier's bits depend on (harness/runtime/device.py).
        canary: The verifier's.
        pairs: Every thing that was compared.
    """

    schema_: Literal[1] = Field(alias="schema")
    suite: document.Name
    cell_id: document.CellId
    bundle: document.Digest
    label: labels.Label
    level: labels.Level
    bits: bool
    challenge: document.Line
    segments: tuple[tuple[document.Count, document.Count], ...] = Field(default=(), max_length=1000)
    note: document.Line = ""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    commit: document.Commit | None
    dirty: bool
    versions: dict[document.Name, document.Line] = Field(max_length=40)
    profile: dict[document.Name, Any] = Field(default={}, max_length=40)
    canary: document.Digest | None = None
    pairs: tuple[Pair, ...] = Field(max_length=1000)


class Verdict(VerdictBody):
    """What was found of one bundle, and the hash of that.

    Attributes:
        sha256: Of all the others, as canonical JSON.
    """

    sha256: document.Digest

    @pydantic.model_validator(mode="after")
    def _is_whole(self) -> Verdict:
        if self.sha256 != digest(self.model_dump(mode="json", by_alias=True)):
            raise ValueError("its sha256 is not that of what it says")
        failed = any(pair.failed for pair in self.pairs)
        allowed = ["disputed"] if failed else labels.LEVELS[: labels.LEVELS.index(self.level) + 1]
        if self.label not in allowed:
            raise ValueError(f"the label {self.label} does not follow from its pairs")
        return self


class Dispute(document.Part):
    """What somebody says against a bundle.

    Attributes:
        schema_: Version of this form.
        bundle: SHA-256 of its `bundle.json`.
        reason: In words.
        counter: What they found, by the name of what it is.
        by: Who says it.
        date: When, YYYY-MM-DD.
    """

    schema_: Literal[1] = Field(alias="schema")
    suite: document.Name
    cell_id: document.CellId
    bundle: document.Digest
    reason: Annotated[document.Line, Field(min_length=1)]
    counter: dict[document.Name, document.Finite] = Field(default={}, max_length=100)
    by: document.Line = ""
    date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d$")]


ADDED = {"note": ""}
"""Fields that came later: at these values they mean what was meant before, and do not count in the hash."""


def digest(plain: dict[str, Any]) -> str:
    """Returns the SHA-256 of what a verdict says beside its own."""
    said = {name: value for name, value in plain.items() if name != "sha256" and (name, value) not in ADDED.items()}
    return canonical.sha256(said, DOMAIN)


def pairs(checks: list[claim.Check]) -> list[dict[str, Any]]:
    """Returns a plain Pair for each thing that was compared."""
    return [
        {
            "level": line.worst.level,
            "what": line.worst.what,
            "checks": line.checks,
            "failed": line.failed,
            "where": line.worst.where,
            "claimed": line.worst.claimed[:400],
            "found": line.worst.found[:400],
            "tolerance": line.worst.tolerance,
        }
        for line in claim.lines(checks)
    ]


def dispute_line(dispute: Dispute) -> str:
    """Returns the reason of a dispute, the numbers that were found, and whose they are, in a line."""
    numbers = ", ".join(f"{name} = {claim.shown(value)}" for name, value in dispute.counter.items())
    found = f" (found: {numbers})" if numbers else ""
    return f"{dispute.reason}{found}; {dispute.by or 'nobody named'}, {dispute.date}"


def dump(found: Verdict | Dispute, *, indent: int | None = 1) -> bytes:
    """Returns the bytes of its file; without an indent on one line."""
    plain = found.model_dump(mode="json", by_alias=True)
    return (json.dumps(plain, indent=indent, ensure_ascii=False, allow_nan=False) + "\n").encode()


def verdict(plain: dict[str, Any]) -> Verdict:
    """Returns the verdict of plain values, hashed."""
    filled = VerdictBody.model_validate_json(json.dumps(plain)).model_dump(mode="json", by_alias=True)
    return Verdict.model_validate_json(json.dumps({**filled, "sha256": digest(filled)}))


def dispute(bundle: bundles.Bundle, reason: str, numbers: Sequence[str], by: str) -> Dispute:
    """Returns what somebody says against a bundle.

    Args:
        bundle: The bundle.
        reason: In words.
        numbers: What they found, each as NAME=NUMBER.
        by: Who says it.

    Raises:
        errors.InputError: A number is none, or there is no reason.
    """
    counter = {}
    for number in numbers:
        name, _, value = number.partition("=")
        try:
            counter[name] = float(value)
        except ValueError:
            raise errors.InputError(
                f"--found: {number[:80]!r} is not allowed; write NAME=NUMBER, as loss=0.25"
            ) from None
    plain = {
        "schema": SCHEMA,
        "suite": bundle.manifest.suite,
        "cell_id": bundle.manifest.cell_id,
        "bundle": bundle.digest,
        "reason": reason,
        "counter": counter,
        "by": by,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    try:
        return Dispute.model_validate_json(json.dumps(plain))
    except pydantic.ValidationError as error:
        raise errors.InputError(f"a dispute needs a reason and finite numbers: {parsing.explain(error)}") from None


def read(path: pathlib.Path, kind: type[Statement]) -> Statement:
    """Reads a verdict or a dispute.

    Raises:
        errors.Rejected: It is none; says why.
    """
    try:
        with open(path, "rb") as handle:
            content = handle.read(MAX_BYTES + 1)
        return parse(content, path.name, kind)
    except (OSError, ValueError) as error:
        raise errors.Rejected(f"{path}: rejected: {str(error)[:300]}") from None


def parse(content: bytes, name: str, kind: type[Statement]) -> Statement:
    """Returns the verdict or dispute that a file holds.

    Raises:
        ValueError: It holds none; says why.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES >> 10} KiB")
    plain = parsing.parse_json(content.decode("utf-8"), name)
    try:
        return kind.model_validate_json(json.dumps(plain))
    except pydantic.ValidationError as error:
        raise ValueError(parsing.explain(error)) from None
