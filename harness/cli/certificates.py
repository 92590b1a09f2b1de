# SPDX-License-Identifier: Apache-2.0
"""Certificates on the terminal: a table of cells, and what holds for each in sentences; or JSON."""

from __future__ import annotations

import collections
import json
import math
import pathlib
import resource
import time
from collections.abc import Iterator, Sequence

import numpy as np
import rich.console
import rich.table

from harness import config, errors, theory, workspace
from harness.jobs import progress
from harness.records import verdict
from harness.runtime import provenance
from harness.theory import certify, evidence, written

SHOWN = 5
"""Most candidates that a sentence lists; `--json` has all."""


def show(
    cells: Sequence[config.Cell],
    points: int,
    console: rich.console.Console,
    *,
    as_json: bool,
    write: bool = False,
) -> None:
    """Certifies cells and prints what is certain of each; with `write` each is written as soon as it is made.

    Raises:
        errors.InputError: If a data set cannot be had, or what is to be written has a step size that is no number.
    """
    for cell in cells if write else ():
        written.require_of_one_map(cell)
    if not as_json:
        _from_layers(cells, console)
    made: list[certify.Certificate] = []
    paths: list[pathlib.Path] = []
    with progress.bar(rich.console.Console(stderr=True), len(cells), "configurations") as bar:
        for cell in cells:
            bar.begin(cell.label, 1)
            begun, spent = time.monotonic(), time.process_time()
            made.append(certify.certify(cell, points))
            if write:
                cost = time.monotonic() - begun, time.process_time() - spent
                paths.append(_write(made[-1], points, *cost))
            bar.end()
    if as_json:
        print(json.dumps([one.as_dict() for one in made], ensure_ascii=False, indent=2, allow_nan=False))
        return
    table = rich.table.Table(box=None, header_style="bold")
    table.add_column("configuration", overflow="fold")
    for header in ("η", "P"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("this η")
    for header in ("σ_min ± error", "every η below", "but"):
        table.add_column(header, justify="right", no_wrap=True)
    for one in made:
        table.add_row(one.cell.label, f"{one.eta:.4g}", f"{one.parameters:,}", one.verdict, sigma(one), *_range(one))
    console.print(table)
    for one in made:
        console.print()
        console.print(f"{one.cell.suite}/{one.cell.label}", style="bold", highlight=False)
        for sentence in sentences(one):
            console.print(f"  {sentence}", highlight=False, soft_wrap=True)
    counts = collections.Counter(one.verdict for one in made)
    console.print()
    console.print(theory.OURS, highlight=False, soft_wrap=True)
    console.print(", ".join(f"{count} {name}" for name, count in counts.items()), highlight=False)
    for path in paths:
        console.print(f"certificate: {path}", highlight=False, soft_wrap=True, markup=False)


def _write(one: certify.Certificate, points: int, seconds: float, cpu_seconds: float) -> pathlib.Path:
    """Writes a certificate, whole or not at all, with what it took and with which code; returns its file.

    Raises:
        errors.InputError: It cannot be written.
    """
    commit, dirty = provenance.commit()
    made = {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "commit": commit,
        "dirty": dirty,
        "versions": provenance.versions(),
    }
    text = json.dumps({**written.plain(one, points), "made": made}, ensure_ascii=False, allow_nan=False)
    path = workspace.board() / "certificates" / one.cell.suite / f"{one.cell.cell_id}.json"
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(f"{text}\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise errors.InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _from_layers(cells: Sequence[config.Cell], console: rich.console.Console) -> None:
    """Prints what is known of all step sizes from the layers alone, before anything is computed."""
    known: dict[str, list[str]] = {}
    for cell in cells:
        known.setdefault(theory.of(cell).bad, []).append(cell.label)
    for bad, labels in known.items():
        which = "all" if len(labels) == len(cells) else ", ".join(labels)
        console.print(f"bad η by the layers alone, {which}: {bad}", markup=False, highlight=False)
    console.print()


def sigma(one: certify.Certificate) -> str:
    """Returns sigma_min at the point that says most, with its error bar; a dot without points."""
    if not one.evidence:
        return "·"
    value, error = max((point.sigma(one.eta) for point in one.evidence), key=lambda pair: pair[0])
    return f"{value:.3g} ± {error:.1g}"


def _range(one: certify.Certificate) -> tuple[str, str]:
    """Returns the end of the certified range and the number of step sizes left over in it."""
    if one.theory.possible is not None:
        return "∞", str(sum(len(bad.etas) for bad in one.theory.bad_steps) + len(one.theory.possible))
    if not one.evidence:
        return "·", "·"
    below = f"{one.range.below:.2g}" if math.isfinite(one.range.below) else "∞"
    return f"{below}{'' if one.whole else ' *'}", str(len(one.range.candidates))


def sentences(one: certify.Certificate) -> Iterator[str]:
    """Yields what is certain of a cell, what it rests on, and what is left open."""
    yield f"{_step_sizes(one)}: {one.verdict}; {one.why.rstrip('.')}."
    if one.cell.optimizer.name == "nesterov":
        yield "The map of (θ, v) is singular where that of plain descent at the stored θ is (F11): so this is of both."
    if one.cell.optimizer.batch_size:
        theirs = " with the same list of bad step sizes" if one.theory.possible is not None else ""
        yield f"The map of the full batch is meant; a mini-batch has a map of its own{theirs}, not looked at here."
    if one.theory.no_bad_step:
        yield f"Every η: {one.theory.no_bad_step}"
    elif one.theory.possible is not None:
        yield f"Bad η: {one.theory.bad}. {one.theory.others}"
    if one.visited and not one.whole:
        pieces = f"{one.sound} of {one.visited} pieces on which runs begin are certified at η"
        yield f"{pieces}: a certificate of those pieces, not of the map. (*) The range below is theirs too."
    if one.evidence:
        yield _certified(one)
    if one.range.candidates:
        yield f"Left over: {_candidates(one)}."
    for bad in one.theory.bad_steps:
        yield f"η = {bad.label} is bad {bad.where} ({bad.source})."
    for point in one.evidence:
        value, error = point.sigma(one.eta)
        piece = f"piece {point.piece}, " if point.piece else ""
        yield (
            f"point: {point.method}, {point.where}; {piece}σ_min = {value:.6g} ± {error:.1g}, "
            f"{_eigenvalues(point)} ± {point.error:.1g}"
        )
    if one.missing:
        yield f"No closed point (F8): {one.missing}."


def _step_sizes(one: certify.Certificate) -> str:
    """Returns the step sizes that are asked about: one, or all of a schedule."""
    values = one.used.values
    if len(values) == 1:
        return f"η = {values[0]:.6g}"
    return f"all {len(values)} step sizes of the schedule, {values[0]:.6g} to {values[-1]:.6g}"


def _eigenvalues(point: evidence.Evidence) -> str:
    """Returns where the eigenvalues of a point lie, as far as they are known."""
    values, unseen = point.spectrum.values, point.unseen
    if unseen is None:
        return f"eigenvalues in [{values[0]:.4g}, {values[-1]:.4g}]"
    known = int(np.sum(values > unseen))
    return f"λ_max = {values[-1]:.6g}, {known} known and all others below {unseen:.4g}"


def _certified(one: certify.Certificate) -> str:
    """Returns for which step sizes the map, or each piece visited, is certified."""
    what = "the map is" if one.whole else "each piece visited is"
    end = f"0 < η < {one.range.below:.4g}" if math.isfinite(one.range.below) else "η > 0"
    left = len(one.range.candidates)
    but = f", except {left} left over" if left else ""
    sure = f"; false with probability {one.failure:.1g} at most" if one.failure else ""
    basis = f"F9; rounding of eigenvalues taken {verdict.MARGIN:g} times{sure}"
    return f"For every {end}{but}, {what} certified non-singular ({basis})."


def _candidates(one: certify.Certificate) -> str:
    """Returns the step sizes left over, the first of them, each with its width and whether it is known to be bad."""
    words = []
    for left in one.range.candidates[:SHOWN]:
        middle, half = (left.low + left.high) / 2, (left.high - left.low) / 2
        source = certify.known(one.theory, left)
        words.append(f"{middle:.8g} ± {half:.1g}{f' (known to be bad: {source})' if source else ''}")
    more = len(one.range.candidates) - SHOWN
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")
