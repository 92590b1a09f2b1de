# SPDX-License-Identifier: Apache-2.0
"""Consistency: whether the numbers of a bundle agree with each other and with what is possible.

No gradient is computed. Edited numbers are found where two numbers say the same thing, and results that no run has; a
forger who keeps all of them consistent is found where they are computed again (leaderboard/bundles/comparison.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from harness import config, records
from harness.curvature import spectrum as spectra
from harness.diagnostics import gaps
from harness.records import square
from harness.records.run_facts import RunFacts
from harness.runs import conclusions
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import claim, tracing
from leaderboard.export import document

ROUNDING = 1e-9
"""Relative difference of two ways to the same float64 number."""

FASTEST = 1e18
"""Multiplications and additions a second that no machine of one run has."""

Has = Callable[..., bool]
"""Whether a record has finite numbers of some names."""


def checks(bundle: bundles.Bundle) -> Iterator[claim.Check]:
    """Yields every check that needs no computation but of a bundle's own numbers."""
    for run in bundle.runs:
        where = f"seed {run.seed}"
        yield from _course(bundle, run, where)
        yield from _conclusions(bundle, run, where)
        recorded = bundle.recorded[run.seed]
        for record in recorded:
            yield from _record(bundle.cell, run, record, f"{where}, step {record.step}")
            if known := bundle.spectra[run.seed].get(record.step):
                yield from _spectrum(record, known, f"{where}, step {record.step}")
        yield from _records(run, recorded, where)
        yield from _lengths(bundle, run, where)
        yield from tracing.consistent(bundle, run, where)
    yield from _all_seeds(bundle)


def _about(what: str, where: str) -> claim.Subject:
    """Names what is compared, of the level that costs nothing."""
    return claim.Subject("reported", what, where)


def _related(subject: claim.Subject, claimed: float, found: float, relation: str, holds: bool) -> claim.Check:
    return claim.related(subject, claim.shown(claimed), claim.shown(found), relation, holds)


def _near(subject: claim.Subject, claimed: float, found: float, scale: float = 0.0) -> claim.Check:
    allowed = ROUNDING * (abs(found) + scale) if math.isfinite(found) else 0.0
    return claim.near(subject, claimed, found, allowed)


def _course(bundle: bundles.Bundle, run: document.Run, where: str) -> Iterator[claim.Check]:
    """Yields the checks of the schedule, the end, and the time that it took."""
    cell, last = bundle.cell, run.steps[-1]
    schedule = cell.checkpoint_steps
    wanted = [step for step in schedule if step < last] + [last]  # a target may be reached between two of them
    yield claim.same(_about("checkpoint steps", where), list(run.steps), wanted)
    if run.status == "finished":
        ends = last == (cell.steps if run.reached_at is None else run.reached_at) <= cell.steps
        yield _related(_about("the last record", where), last, cell.steps, "the last step, or the target's", ends)
        yield claim.same(_about("a target", where), run.reached_at is not None and cell.target is None, False)
    else:
        at = run.diverged_at if run.diverged_at is not None else -1
        yield _related(
            _about("the step of divergence", where), at, last, "behind the last record", last < at <= cell.steps
        )
    yield claim.same(_about("the step size", where), run.eta, float(np.asarray(run.eta, cell.precision)))
    rate = cell.optimizer.learning_rate
    if isinstance(rate, int | float):
        yield claim.same(_about("the step size of the spec", where), run.eta, float(np.asarray(rate, cell.precision)))
    seen = (cell.optimizer.batch_size or run.examples) * last
    least = 6.0 * run.parameters * seen / FASTEST
    yield _related(_about("seconds", where), run.seconds, least, "not faster than any machine", run.seconds >= least)


def _conclusions(bundle: bundles.Bundle, run: document.Run, where: str) -> Iterator[claim.Check]:
    """Yields the checks of the verdict and the kind of end, which follow from the records."""
    facts = RunFacts(eta=run.eta or math.nan, diverged_at=run.diverged_at, curvature=run.curvature)
    said = conclusions.of_run(bundle.cell, facts, bundle.recorded[run.seed])
    yield claim.same(_about("verdict", where), run.verdict, said["verdict"])
    if run.doubt is not None:
        yield claim.same(_about("what is undecided", where), run.doubt.model_dump(), said["doubt"])
    if run.failure_probability is not None:
        yield claim.same(_about("failure probability", where), run.failure_probability, said["failure_probability"])
    if run.end is not None:
        yield claim.same(_about("kind of end", where), run.end.point, said["end"]["point"])
        for name, value in said["end"]["because"].items():
            yield claim.same(_about(f"{name} of the end", where), run.end.because.get(name, math.nan), float(value))
    target = bundle.cell.target
    if run.reached_at is not None and target is not None:
        name = "loss" if target.loss_gap is None else "loss_gap"
        value, aim = bundle.recorded[run.seed][-1].values.get(name, math.nan), float(getattr(target, name))
        yield _related(_about("the target", where), value, aim, "≤, to float32", value <= aim + 1e-5 * (abs(aim) + 1))


def _record(cell: config.Cell, run: document.Run, record: records.Record, where: str) -> Iterator[claim.Check]:
    """Yields the checks of the numbers of one record against each other."""
    v: dict[str, Any] = dict(record.values)

    def has(*names: str) -> bool:
        return all(name in v and math.isfinite(v[name]) for name in names)

    for name in ("loss", "grad_norm", "eta"):
        value, free = v.get(name, math.nan), name == "loss" and cell.loss.name == "output"
        right = math.isfinite(value) and (free or value >= 0)
        yield _related(_about(name, where), value, 0.0, "finite, at least 0", right)
    if cell.optimizer.schedule.name == "constant":
        yield claim.same(_about("eta of a record", where), v.get("eta"), run.eta)
    if has("loss_gap") and cell.loss.name != "output":  # there the spec may be wrong: the end says so
        yield _related(
            _about("loss gap", where), v["loss_gap"], 0.0, "≥ 0", v["loss_gap"] >= -ROUNDING * (1 + abs(v["loss"]))
        )
    if has("pl_ratio", "loss_gap", "grad_norm") and v["loss_gap"] > 0:
        yield _near(_about("pl_ratio", where), v["pl_ratio"], square.square(v["grad_norm"]) / (2 * v["loss_gap"]))
    if has("train_accuracy"):
        hits = v["train_accuracy"] * run.examples
        right = 0 <= v["train_accuracy"] <= 1
        yield _related(
            _about("train_accuracy", where), v["train_accuracy"], round(hits) / run.examples, "in [0, 1]", right
        )
    for name in sorted(name for name in v if name.endswith("_error")):
        yield _related(_about("error bars", f"{where}, {name}"), v[name], 0.0, "≥ 0", not v[name] < 0)
    if has("eta", "sharpness", "eta_sharpness"):
        yield _near(_about("eta_sharpness", where), v["eta_sharpness"], v["eta"] * v["sharpness"])
    if has("sharpness", "lambda_min"):
        yield _related(
            _about("lambda_min", where), v["lambda_min"], v["sharpness"], "≤ λ_max", v["lambda_min"] <= v["sharpness"]
        )
    if has("sharpness", "sharpness_upper"):
        high = v["sharpness_upper"]
        yield _related(_about("sharpness_upper", where), high, v["sharpness"], "≥ λ_max", high >= v["sharpness"])
    if has("lambda_min", "lambda_min_lower"):
        low = v["lambda_min_lower"]
        yield _related(_about("lambda_min_lower", where), low, v["lambda_min"], "≤ λ_min", low <= v["lambda_min"])
    yield from _least_singular_value(v, has, where)
    yield from _counts(run, v, has, where)


def _least_singular_value(v: dict[str, Any], has: Has, where: str) -> Iterator[claim.Check]:
    """Yields the checks of sigma_min against the ends of the spectrum and the gaps."""
    if not has("sigma_min", "sigma_min_error", "sigma_min_lower"):
        return
    sigma, bar = v["sigma_min"], v["sigma_min_error"]
    yield _related(_about("sigma_min", where), sigma, 0.0, "≥ 0", sigma >= 0)
    yield _related(
        _about("sigma_min_lower", where), v["sigma_min_lower"], sigma, "≤ σ_min", v["sigma_min_lower"] <= sigma
    )
    if has("eta", "sharpness", "lambda_min"):
        ends = min(abs(1 - v["eta"] * v["sharpness"]), abs(1 - v["eta"] * v["lambda_min"]))
        slack = ROUNDING * (1 + ends) + bar
        yield _related(_about("sigma_min and the ends", where), sigma, ends, "≤ |1 − ηλ| there", sigma <= ends + slack)
    if "gap_above" in v and "gap_below" in v:
        yield _near(_about("sigma_min and the gaps", where), sigma, min(v["gap_above"], v["gap_below"]), 1.0)


def _counts(run: document.Run, v: dict[str, Any], has: Has, where: str) -> Iterator[claim.Check]:
    """Yields the checks of counts of eigenvalues against each other and against the ends."""
    counts = ("n_above_inv_eta", "n_above_two_inv_eta", "n_negative", "critical_steps")
    for name in (*counts, *(f"{name}_error" for name in counts[:3])):
        unknown = name.startswith("n_negative") and math.isnan(v.get(name, 0.0)) and run.curvature == "lanczos"
        if name in v and not unknown:
            right = math.isfinite(v[name]) and v[name] == int(v[name]) and 0 <= v[name] <= run.parameters
            yield _related(_about(name, where), v[name], float(run.parameters), "a whole number from 0 to P", right)
    if has("n_above_inv_eta", "n_above_two_inv_eta"):
        above, far = v["n_above_inv_eta"], v["n_above_two_inv_eta"]
        yield _related(_about("n_above_two_inv_eta", where), far, above, "≤ those above 1/η", far <= above)
    for name, level in (("n_above_inv_eta", 1.0), ("n_above_two_inv_eta", 2.0)):
        if has(name, "eta_sharpness") and abs(v["eta_sharpness"] - level) > ROUNDING:
            some = v["eta_sharpness"] > level
            yield claim.same(_about(f"{name} and λ_max", where), bool(v[name] > 0), bool(some))
    if has("n_negative", "lambda_min", "lambda_min_error") and abs(v["lambda_min"]) > 2 * v["lambda_min_error"]:
        yield claim.same(_about("n_negative and λ_min", where), bool(v["n_negative"] > 0), bool(v["lambda_min"] < 0))
    if has("n_negative", "n_above_inv_eta"):
        both = v["n_negative"] + v["n_above_inv_eta"]
        yield _related(_about("counts together", where), both, float(run.parameters), "≤ P", both <= run.parameters)


def _spectrum(record: records.Record, known: spectra.Spectrum, where: str) -> Iterator[claim.Check]:
    """Yields the checks of the numbers of a record that follow from its list of eigenvalues."""
    v, eta = record.values, record.values.get("eta", math.nan)
    scale = 1 + abs(eta) * float(np.max(np.abs(known.values)))
    distance, _ = spectra.distance_from_one(known, eta)
    above = spectra.count_above(known, 1 / eta)
    found: dict[str, float] = {
        "sharpness": float(known.values[-1]),
        "lambda_min": float(known.values[0]),
        "sigma_min": distance,
        "n_above_inv_eta": above,
        "n_above_inv_eta_error": spectra.unsure(known, 1 / eta),
        "n_above_two_inv_eta": spectra.count_above(known, 2 / eta),
        "n_above_two_inv_eta_error": spectra.unsure(known, 2 / eta),
        **(
            {
                "n_negative": spectra.count_negative(known),
                "n_negative_error": spectra.unsure(known, spectra.below_zero(known)),
            }
            if known.complete
            else {}
        ),
        "critical_steps": len(gaps.critical_steps(known)[0]),
    }
    for name in sorted(set(found) & set(v)):
        yield _near(_about(f"{name} of the spectrum", where), v[name], float(found[name]), scale)
    if known.complete and "log_abs_det" in v:
        factors = 1 - eta * known.values
        with np.errstate(divide="ignore"):
            total = float(np.sum(np.log(np.abs(factors))))
        bar = v.get("log_abs_det_error", 0.0)
        room = bar + 1e-9 * (1 + abs(total)) if math.isfinite(total) else 0.0
        yield claim.near(_about("log_abs_det of the spectrum", where), v["log_abs_det"], total, room)
        odd = int(np.sum(factors < 0)) % 2
        yield claim.same(_about("sign of det is (−1)^n", where), int(v.get("n_above_inv_eta", above)) % 2, odd)


def _records(run: document.Run, recorded: list[records.Record], where: str) -> Iterator[claim.Check]:
    """Yields the checks of a run's records against each other.

    They have one infimum, one unit of relative gaps (the gap of the best constant prediction), and the same metrics.
    """
    known = [record for record in recorded if math.isfinite(record.values.get("loss_gap", math.nan))]
    for record in known:
        infimum, first = (one.values["loss"] - one.values["loss_gap"] for one in (record, known[0]))
        scale = max(abs(one.values["loss"]) for one in recorded)
        yield _near(_about("the infimum, L minus its gap", f"{where}, step {record.step}"), infimum, first, scale)
    relative = [record for record in known if math.isfinite(record.values.get("relative_gap", math.nan))]
    largest = max((record.values for record in relative), key=lambda v: abs(v["relative_gap"]), default={})
    for record in relative:
        gap, v = largest["loss_gap"], record.values
        claimed, wanted = v["relative_gap"] * gap, v["loss_gap"] * largest["relative_gap"]
        yield _near(_about("the relative gap", f"{where}, step {record.step}"), claimed, wanted, abs(gap))
    inner = [set(record.values) for record in recorded[1:-1]]
    for record, names in zip(recorded[1:-1], inner, strict=True):
        lost = sorted((inner[0] ^ names) | (names - set(recorded[0].values)))
        yield claim.same(_about("the metrics of a record", f"{where}, step {record.step}"), lost, [])
    if inner:
        lost = sorted(inner[0] - set(recorded[-1].values))
        yield claim.same(_about("the metrics of a record", f"{where}, the last"), lost, [])


def _lengths(bundle: bundles.Bundle, run: document.Run, where: str) -> Iterator[claim.Check]:
    """Yields the checks of single steps of full-batch descent, whose length is eta |grad|."""
    states, cell = bundle.states[run.seed], bundle.cell
    if cell.optimizer.name != "gd" or cell.optimizer.schedule.name != "constant":
        return
    gradients = {record.step: record.values.get("grad_norm", math.nan) for record in bundle.recorded[run.seed]}
    for step, arrays in states.items():
        if step + 1 in states:
            before, after = arrays["theta"].astype("f8"), states[step + 1]["theta"].astype("f8")
            length, wanted = float(np.linalg.norm(after - before)), (run.eta or math.nan) * gradients[step]
            room = 1e-3 * wanted + 1e-6 * float(np.linalg.norm(before))
            yield claim.near(_about("the length of a step", f"{where}, step {step}"), wanted, length, room)


def _all_seeds(bundle: bundles.Bundle) -> Iterator[claim.Check]:
    """Yields the checks of what all seeds of a cell share, and that no two are the same run."""
    first = bundle.runs[0]
    for run in bundle.runs[1:]:
        for name in ("parameters", "examples", "curvature", "precision", "dataset", "left_out"):
            one, other = getattr(run, name), getattr(first, name)
            yield claim.same(_about(f"{name} of all seeds", f"seed {run.seed}"), str(one), str(other))
    losses = [tuple(record.values.get("loss", 0.0) for record in bundle.recorded[run.seed]) for run in bundle.runs]
    if bundle.cell.start.name == "random" and len(losses) > 1:
        yield claim.same(_about("seeds that differ", "all seeds"), len(set(losses)), len(losses))
