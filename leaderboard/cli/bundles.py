# SPDX-License-Identifier: Apache-2.0
"""`gdzoo submit`, `gdzoo verify` and `gdzoo dispute`: what they do with bundles, and what they print."""

from __future__ import annotations

import contextlib
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from harness import errors, workspace
from harness.cli import commands as harness_cli
from harness.cli.options import Device, Specs, Store, console
from leaderboard.cli import board
from leaderboard.export import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import rich.console

    from leaderboard.bundles import claim as claiming
    from leaderboard.bundles import trust
    from leaderboard.bundles import verify as verifying

Level = Annotated[
    str, typer.Option("--to", help="How far: reported (free), recomputed (parts again), replayed (every run again).")
]
Limit = Annotated[
    int, typer.Option("--seconds", min=1, help="CPU seconds that the recomputation of a configuration may take.")
]


def submit(
    specs: Specs,
    store: Store = None,
    device: Device = "auto",
    to: Level = "recomputed",
    seconds: Limit = 3600,
    pack: Annotated[
        pathlib.Path | None, typer.Option("--zip", help="Folder that gets each bundle as one zip too, for transport.")
    ] = None,
    open_pr: Annotated[
        bool, typer.Option("--open-pr", help="Commit, push and open a pull request with `gh`, if it is installed.")
    ] = False,
) -> None:
    """Check specs, make the missing runs, write a verified bundle of each configuration, rebuild the board.

    It ends with what to commit.

    A bundle is all that a stranger needs to check a row again: leaderboard/submissions/<suite>/<cell_id>/. Exit code 3
    where a claim is not confirmed; such a bundle is not written.
    """
    from harness.jobs import engines
    from leaderboard.bundles import submit as submitting

    level, out = _checked_level(to), console()
    found = harness_cli.check_specs(specs, device=device)
    outcome = harness_cli.run_specs(specs, harness_cli.Wanted(store=store, options=engines.Options(device=device)))
    harness_cli.finish(outcome, out)
    cells = [cell for spec in found for cell in spec.cells]
    with _progress(0 if level == "reported" else len(cells)) as tell:
        made = submitting.bundles_of(cells, level, seconds=seconds, tell=tell, pack=pack)
    for one in made:
        _print_outcome(one.outcome, out)
    board.build_board(workspace.store(store), workspace.site(), out, board.Content(submitted=True, left_out=[]))
    paths = submitting.to_commit(made, [pathlib.Path(spec.file) for spec in found])
    if paths:
        submitting.offer(paths, made, out, open_pr=open_pr)
    if any(not one.outcome.confirmed for one in made):
        raise typer.Exit(errors.EXIT_REJECTED)


def verify(
    bundles: Annotated[
        list[pathlib.Path],
        typer.Argument(
            help="Bundles (folders or zips), certificates (`gdzoo certify --write`), or folders of them.",
            metavar="BUNDLE...",
            show_default=False,
        ),
    ],
    to: Level = "recomputed",
    challenge: Annotated[
        str,
        typer.Option(
            "--challenge",
            help="What segments are drawn with: a public value younger than the bundle. Default: drawn and recorded.",
        ),
    ] = "",
    seconds: Limit = 3600,
    missing: Annotated[
        bool,
        typer.Option("--missing", help="Pass over submissions that have a verdict of this level, or a further one."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON lines, and nothing else.")] = False,
    write: Annotated[
        bool,
        typer.Option("--write/--no-write", help="Write leaderboard/verdicts/ for bundles of leaderboard/submissions/."),
    ] = True,
) -> None:
    """Compute again what bundles claim, and say claimed | found | tolerance | verdict for everything that was compared.

    Of a certificate: what its layers say, the range that follows from its points, and each point's eigenvalues.

    The label (reported, recomputed, replayed, disputed) is what this program found, never what a bundle says. Bits are
    compared where this machine's canary and profile are those of the runs, else numbers within tolerances. Exit code 3
    where a bundle is rejected or a claim not confirmed.
    """
    from leaderboard.bundles import certificate, reading, submissions, trust
    from leaderboard.bundles import verify as verifier

    level, out = _checked_level(to), console()
    files = {path: certificate.files_in(path) for path in bundles}
    if any(files.values()):
        _verify_certificates([file for found in files.values() for file in found], level, seconds, out, json=json)
    bundles = [path for path, found in files.items() if not found]
    folders = [folder for path in bundles for folder in submissions.bundles_in(path)]
    if missing and bundles:
        folders = [folder for folder in folders if not submissions.has_verdict(folder, level)]
        if not folders and not json:
            out.print("nothing to verify: every bundle has its verdict", highlight=False)
    code, err = errors.EXIT_DONE, console(stderr=True)
    with _progress(0 if level == "reported" else len(folders)) as tell:
        for folder in folders:
            try:
                read = reading.read(folder)
                outcome = verifier.verify(read, level, challenge=challenge, seconds=seconds, tell=tell)
            except (errors.Rejected, errors.InputError) as error:  # the others are looked at all the same
                code = max(code, errors.EXIT_REJECTED if isinstance(error, errors.Rejected) else errors.EXIT_INPUT)
                err.print(str(error), highlight=False, soft_wrap=True, markup=False)
                continue
            code = code if outcome.confirmed else errors.EXIT_REJECTED
            if json:
                print(trust.dump(outcome.verdict, indent=None).decode(), end="")
            else:
                _print_outcome(outcome, out, whole=True)
            if write and folder.resolve() == submissions.path_of("submissions", *read.name.split("/")):
                words = _written(folder, outcome.verdict)
                if not json:
                    out.print(words, highlight=False, soft_wrap=True, markup=False)
    if code:
        raise typer.Exit(code)


def _verify_certificates(
    files: Sequence[pathlib.Path], level: labels.Level, seconds: int, out: rich.console.Console, *, json: bool
) -> None:
    """Checks certificates and prints what was found of each.

    Raises:
        typer.Exit: One is rejected, or a claim not confirmed, or it cannot be computed here; all were looked at.
    """
    from json import dumps

    from leaderboard.bundles import certificate, claim

    code, err = errors.EXIT_DONE, console(stderr=True)
    with _progress(0 if level == "reported" else len(files)) as tell:
        for file in files:
            try:
                outcome = certificate.verify(certificate.read(file), level, seconds=seconds, tell=tell)
            except (errors.Rejected, errors.InputError) as error:
                code = max(code, errors.EXIT_REJECTED if isinstance(error, errors.Rejected) else errors.EXIT_INPUT)
                err.print(str(error), highlight=False, soft_wrap=True, markup=False)
                continue
            code = code if outcome.confirmed else errors.EXIT_REJECTED
            label = outcome.level if outcome.confirmed else "disputed"
            found = outcome.certificate
            if json:
                print(dumps({"certificate": found.name, "label": label, "checks": len(outcome.checks)}))
                continue
            _print_lines(claim.lines(outcome.checks), out)
            words = f"{len(outcome.checks)} comparisons, {outcome.seconds:.0f} CPU s"
            out.print(f"{found.label}: {label}; {words}", highlight=False, markup=False, soft_wrap=True)
    if code:
        raise typer.Exit(code)


def dispute(
    bundle: Annotated[pathlib.Path, typer.Argument(help="A bundle of leaderboard/submissions/.", metavar="BUNDLE")],
    reason: Annotated[str, typer.Option("--reason", help="What is wrong, in words.")],
    found: Annotated[
        list[str] | None,
        typer.Option("--found", metavar="NAME=NUMBER", help="A number that you found; may be repeated."),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Who says it.")] = "",
) -> None:
    """Write a counter-result: the row then shows `disputed` with the reason, and both numbers stay.

    It is a file, leaderboard/disputes/<suite>/<cell_id>.json, that a pull request brings; people decide about it.
    """
    from leaderboard.bundles import reading, submissions, trust

    file = submissions.write_statement(trust.dispute(reading.read(bundle), reason, found or [], by))
    out = console()
    out.print(f"dispute: {file}", highlight=False, soft_wrap=True, markup=False)
    out.print("next: commit it, with what repeats your number, and open a pull request", highlight=False)


def _written(folder: pathlib.Path, verdict: trust.Verdict) -> str:
    """Writes the verdict on a submitted bundle, unless one goes further already; returns which, in a line."""
    from leaderboard.bundles import submissions

    if submissions.goes_further(folder.resolve(), verdict):
        return "verdict: the one that is there goes further, and stays"
    return f"verdict: {submissions.write_statement(verdict)}"


def _checked_level(word: str) -> labels.Level:
    """Returns a level that a person wrote, when there is such a level."""
    if word not in labels.LEVELS:
        allowed = ", ".join(labels.LEVELS)
        raise errors.InputError(
            f"--to: {word!r} is not allowed; allowed: {allowed}{errors.nearest(word, labels.LEVELS)}"
        )
    return word


@contextlib.contextmanager
def _progress(count: int) -> Iterator[Callable[[str, int, int], None]]:
    """Shows how far recomputations are: a bar over bundles, each in parts; nothing where there is none."""
    from harness.jobs import progress

    if not count:
        yield lambda name, done, of: None
        return
    with progress.bar(console(stderr=True), count) as bar:
        begun: set[str] = set()

        def tell(name: str, done: int, of: int) -> None:
            if name not in begun:
                begun.add(name)
                bar.begin(name, max(of, 1))
            bar.step(done) if done < of else bar.end()

        yield tell


def _print_outcome(outcome: verifying.Outcome, out: rich.console.Console, *, whole: bool = False) -> None:
    """Prints what was found of a bundle: everything, or what does not hold, and the label."""
    from leaderboard.bundles import claim

    _print_lines([line for line in claim.lines(outcome.checks) if whole or line.failed], out)
    verdict = outcome.verdict
    how = (
        "bits compared" if verdict.bits else "numbers within tolerances" if verdict.level != "reported" else "for free"
    )
    out.print(
        f"{outcome.bundle.manifest.label}: {verdict.label}; {len(outcome.checks)} comparisons, {how}, "
        f"{verdict.seconds:.0f} CPU s{'; ' if verdict.note else ''}{verdict.note}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _print_lines(lines: Sequence[claiming.Line], out: rich.console.Console) -> None:
    """Prints what was compared, a line for each thing."""
    if lines:
        out.print("verdict  level       the worst of n, where: claimed | found | tolerance", highlight=False)
    for line in lines:
        worst, word = line.worst, "FALSE" if line.failed else "holds"
        pair = " | ".join((worst.claimed[:60], worst.found[:60], worst.tolerance))
        where = f", {worst.where}" if worst.where else ""
        row = f"{word}    {worst.level:<10}  {worst.what} ({line.checks}){where}: {pair}"
        out.print(row, highlight=False, markup=False, soft_wrap=True)
