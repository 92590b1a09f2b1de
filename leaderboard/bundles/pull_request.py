# SPDX-License-Identifier: Apache-2.0
"""A pull request that brings bundles, checked: `python -m leaderboard.bundles.pull_request BASE HEAD`.

To be run in a checkout of BASE, whose code it is; HEAD is read out of git as data, file by file, and never checked out.
Such a pull request brings bundles, certificates, their specs and disputes, and nothing else: no code, no verdict, no
link, and no change of a row that is there. The exit code is 0 where all is confirmed or there is no bundle, 3 where
not, 2 where BASE or HEAD is none. The table for people goes to `comment.md`, verdicts to `<suite>/<cell_id>.json` in
--output.
"""

from __future__ import annotations

import argparse
import hashlib
import pathlib
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from harness import errors, specs
from leaderboard.bundles import bundle, certificate, claim, process, reading, trust, verify
from leaderboard.bundles import files as bundle_files
from leaderboard.export import labels, text

BUNDLE = re.compile(r"leaderboard/submissions/([A-Za-z0-9._-]{1,80})/([0-9a-f]{12})/([a-z0-9./-]{1,60})")
SPEC = re.compile(r"specs/[A-Za-z0-9._-]{1,80}/[A-Za-z0-9._-]{1,80}\.yaml")
DISPUTE = re.compile(r"leaderboard/disputes/([A-Za-z0-9._-]{1,80})/([0-9a-f]{12})\.json")
CERTIFICATE = re.compile(r"leaderboard/certificates/([A-Za-z0-9._-]{1,80})/([0-9a-f]{12})\.json")
PLACES = tuple(f"leaderboard/{kind}/" for kind in ("submissions", "verdicts", "disputes", "certificates"))
MOST = 2000
"""Files that a pull request may bring."""


class Change(NamedTuple):
    """One changed file: its mode after the change, how it changed (A, M, D, T), and its path."""

    mode: str
    status: str
    path: str


def main(words: Sequence[str] | None = None) -> int:
    """Checks a pull request and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m leaderboard.bundles.pull_request", description=__doc__)
    parser.add_argument("base", help="the branch that it is for: a commit")
    parser.add_argument("head", help="what it brings: a commit")
    parser.add_argument("--to", default="recomputed", choices=labels.LEVELS, help="how far bundles are checked")
    parser.add_argument("--challenge", default="", help="what segments are drawn with; default: drawn now")
    parser.add_argument("--seconds", type=int, default=process.SECONDS, help="CPU seconds for each bundle")
    parser.add_argument("--output", type=pathlib.Path, help="folder for comment.md and the verdicts")
    asked = parser.parse_args(words)
    try:
        outcomes, certified, refused = check(asked.base, asked.head, asked.to, asked.challenge, asked.seconds)
    except errors.InputError as error:
        sys.stderr.write(f"{error}\n")
        return errors.EXIT_INPUT
    comment = table(outcomes, refused, certified)
    sys.stdout.write(comment)
    if asked.output is not None:
        asked.output.mkdir(parents=True, exist_ok=True)
        (asked.output / "comment.md").write_text(comment, encoding="utf-8")
        for outcome in outcomes:
            file = asked.output / f"{outcome.bundle.name}.json"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(trust.dump(outcome.verdict))
    right = not refused and all([one.confirmed for one in outcomes] + [one.confirmed for one in certified])
    return errors.EXIT_DONE if right else errors.EXIT_REJECTED


def check(
    base: str, head: str, level: labels.Level, challenge: str, seconds: int
) -> tuple[list[verify.Outcome], list[certificate.Outcome], list[str]]:
    """Returns what was found of the bundles and certificates that HEAD brings, and why others, or all, are refused.

    Raises:
        errors.InputError: BASE or HEAD is no commit here.
    """
    changes = changed(base, head)
    brought = sorted({match.group(1, 2) for one in changes if (match := BUNDLE.fullmatch(one.path))})
    if not any(one.path.startswith(PLACES) for one in changes):
        return [], [], []
    if refused := refusals(changes):
        return [], [], refused
    outcomes, certified, refused = [], [], []
    for suite, cell_id in brought:
        place = f"leaderboard/submissions/{suite}/{cell_id}"
        try:
            found = reading.parse(_files(head, place))
            if found.name != f"{suite}/{cell_id}":
                raise ValueError(f"it holds the configuration {found.name}")
            _require_spec(head, found.manifest.suite, found.manifest.spec, found.manifest.cell_id)
            outcomes.append(verify.verify(found, level, challenge=challenge, seconds=seconds))
        except (ValueError, errors.Rejected, errors.InputError) as error:
            refused.append(f"{place}: {text.clean(str(error))[:300]}")
    for one in changes:
        if one.status != "D" and CERTIFICATE.fullmatch(one.path):
            try:
                certified.append(certificate.verify(_certificate(head, one.path), level, seconds=seconds))
            except (ValueError, errors.Rejected, errors.InputError) as error:
                refused.append(f"{one.path}: {text.clean(str(error))[:300]}")
        if one.status != "D" and (match := DISPUTE.fullmatch(one.path)):
            try:
                _check_dispute(head, one.path, f"{match.group(1)}/{match.group(2)}")
            except ValueError as error:
                refused.append(f"{one.path}: {text.clean(str(error))[:300]}")
    return outcomes, certified, refused


def _certificate(head: str, path: str) -> certificate.Certificate:
    """Returns the certificate that HEAD brings, of a cell of one of its specs.

    Raises:
        ValueError: It is none, or of another cell.
    """
    listed = (_git("ls-tree", "-l", head, path) or b"").split()
    if len(listed) < 4 or int(listed[3]) > certificate.MAX_BYTES:
        raise ValueError(f"it is larger than {certificate.MAX_BYTES >> 20} MiB")
    found = certificate.parse(_git("cat-file", "blob", listed[2].decode()) or b"")
    if not path.endswith(f"/{found.name}.json"):
        raise ValueError(f"it is of the configuration {found.name}")
    _require_spec(head, found.suite, found.spec, found.cell_id)
    return found


def _check_dispute(head: str, path: str, place: str) -> None:
    """Makes sure that a dispute is one, of a bundle that HEAD has.

    Raises:
        ValueError: It is not.
    """
    content = _git("show", f"{head}:{path}") or b""
    said = _git("show", f"{head}:leaderboard/submissions/{place}/{bundle.MANIFEST}")
    if len(content) > trust.MAX_BYTES or said is None:
        raise ValueError("it is too large, or there is no bundle of this configuration")
    dispute = trust.parse(content, path, trust.Dispute)
    if f"{dispute.suite}/{dispute.cell_id}" != place or dispute.bundle != hashlib.sha256(said).hexdigest():
        raise ValueError("it is of another bundle than the one that lies there")


def refusals(changes: Sequence[Change]) -> list[str]:
    """Returns why a pull request that brings bundles is refused before any of them is read; mostly nothing."""
    if len(changes) > MOST:
        return [f"it changes {len(changes)} files; allowed: {MOST}"]
    why = []
    for one in changes:
        shown = text.clean(one.path)[:120]
        if one.path.startswith("leaderboard/verdicts/"):
            why.append(f"{shown}: verdicts are written where the board is published, never brought")
        elif not any(pattern.fullmatch(one.path) for pattern in (BUNDLE, SPEC, DISPUTE, CERTIFICATE)):
            why.append(f"{shown}: bundles come alone, with their specs and disputes; bring the rest by itself")
        elif one.status != "A" and SPEC.fullmatch(one.path):
            why.append(f"{shown}: a spec that is there is not changed beside bundles; bring another")
        elif one.status != "A" and (BUNDLE.fullmatch(one.path) or CERTIFICATE.fullmatch(one.path)):
            why.append(f"{shown}: a row that is there is not changed; `gdzoo dispute` says what is wrong with it")
        elif one.status != "D" and one.mode != "100644":
            why.append(f"{shown}: is not a regular file (mode {one.mode})")
    return why[:20]


def changed(base: str, head: str) -> list[Change]:
    """Returns what HEAD changed since it left BASE.

    Raises:
        errors.InputError: One of them is no commit here.
    """
    for name in (base, head):
        if name.startswith("-") or _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}") is None:
            raise errors.InputError(f"{text.clean(name)[:80]!r} is no commit of this repository")
    raw = _git("diff", "--raw", "-z", "--no-renames", "--abbrev=40", f"{base}...{head}")
    if raw is None:
        raise errors.InputError(f"{base} and {head} have no common beginning")
    parts = raw.decode("utf-8", errors="replace").split("\0")[:-1]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [Change(facts.split()[1], facts.split()[4][0], path) for facts, path in pairs]


def _files(head: str, place: str) -> dict[str, bytes]:
    """Returns the files of a folder of HEAD, each of a size that a bundle may have.

    Raises:
        ValueError: They are not.
    """
    listed = (_git("ls-tree", "-r", "-l", "-z", head, f"{place}/") or b"").decode("utf-8", errors="replace")
    files: dict[str, bytes] = {}
    budget = bundle_files.TOTAL
    for line in listed.split("\0")[:-1]:
        facts, _, path = line.partition("\t")
        mode, _, blob, size = facts.split()
        name = path.removeprefix(f"{place}/")
        if not bundle_files.NAMES.fullmatch(name) or mode != "100644":
            raise ValueError(f"{text.clean(name)[:80]!r} is not a file of a bundle")
        budget = bundle_files.budget_left(name, int(size), budget)
        files[name] = _git("cat-file", "blob", blob) or b""
    return files


def _require_spec(head: str, suite: str, spec: str, cell_id: str) -> None:
    """Makes sure that a cell is one of its spec file's, as HEAD has it.

    Raises:
        ValueError: There is no such file, or no such cell in it.
    """
    path = f"specs/{suite}/{spec}.yaml"
    listed = (_git("ls-tree", "-l", head, path) or b"").split()
    if len(listed) < 4 or int(listed[3]) > 1 << 17:
        raise ValueError(f"there is no {path} in it; a pull request brings the spec of its configurations")
    content = _git("cat-file", "blob", listed[2].decode()) or b""
    read = specs.parse(content.decode("utf-8"), file=path, suite=suite, name=spec)
    if cell_id not in {cell.cell_id for cell in read.cells}:
        raise ValueError(f"{path} has no cell {cell_id}")


def table(
    outcomes: Sequence[verify.Outcome], refused: Sequence[str], certified: Sequence[certificate.Outcome] = ()
) -> str:
    """Returns what was found as Markdown: a row for each bundle or certificate, and a table of what does not hold."""
    if not outcomes and not refused and not certified:
        return "No bundle is brought: there is nothing to recompute.\n"
    lines = [*(f"- **refused** {_cell(why)}" for why in refused)]
    if outcomes or certified:
        lines += ["", "| configuration | label | compared | how | CPU s |", "| --- | --- | --- | --- | --- |"]
    for outcome in outcomes:
        verdict, manifest = outcome.verdict, outcome.bundle.manifest
        how = "bits" if verdict.bits else "within tolerances"
        name, count = f"{manifest.suite}/{manifest.label}", str(len(outcome.checks))
        lines.append(_row(name, verdict.label, count, how, f"{verdict.seconds:.0f}"))
    for one in certified:
        label = one.level if one.confirmed else "disputed"
        name = f"{one.certificate.suite}/{one.certificate.label}"
        lines.append(_row(name, label, str(len(one.checks)), "a certificate", f"{one.seconds:.0f}"))
    failed: list[tuple[str, trust.Pair | claim.Check]] = []
    failed += [(one.bundle.name, pair) for one in outcomes for pair in one.verdict.pairs if pair.failed]
    failed += [(one.certificate.name, check) for one in certified for check in one.checks if not check.holds]
    if failed:
        lines += [
            "",
            "| configuration | what | where | claimed | found | allowed |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
    for name, pair in failed:
        lines.append(_row(name, pair.what, pair.where, pair.claimed, pair.found, pair.tolerance))
    return "\n".join(lines).strip() + "\n"


def _row(*words: str) -> str:
    return "| " + " | ".join(_cell(word) for word in words) + " |"


def _cell(word: str) -> str:
    """Returns a stranger's word as text in a table of Markdown: no markup, no link, no mention of anybody."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&-])", r"\\\1", text.clean(word)[:200]).replace("@", "(at)")


def _git(*words: str) -> bytes | None:
    """Returns what git prints; None where it fails."""
    done = subprocess.run(["git", *words], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    raise SystemExit(main())
