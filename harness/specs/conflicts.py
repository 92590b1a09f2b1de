# SPDX-License-Identifier: Apache-2.0
"""What is wrong between fields of a recipe that are right by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import zoo
from harness import config, data, starts
from harness.risk import losses
from harness.specs import problems
from zoo import code


def conflicts(recipe: config.Recipe) -> Iterator[problems.Problem]:
    """Yields what is wrong between fields that are right by themselves."""
    wrong = list(data.conflicts(recipe.data))
    yield from (problems.Problem(("data", *path), text) for path, text in wrong)
    if recipe.checkpoints > recipe.steps + 1:
        text = f"{recipe.checkpoints} is not allowed; allowed: at most {recipe.steps + 1}, which is steps + 1"
        yield problems.Problem(("checkpoints",), text)
    yield from _misscheduled(recipe)
    if recipe.trace is not None:
        yield from _mistraced(recipe.trace, recipe.steps)
    if recipe.target is not None:
        if (recipe.target.loss_gap is None) == (recipe.target.loss is None):
            yield problems.Problem(("target",), "this is not allowed; allowed: one key, loss_gap or loss", key=True)
        elif recipe.target.loss_gap is not None and not losses.known(recipe.loss):
            text = "the infimum of the risk is not known: under weight_decay, and for output unless it is given"
            yield problems.Problem(("target", "loss_gap"), f"{text}; use loss", key=True)
    if isinstance(recipe.model, code.Config) and recipe.model.sha256 is None:
        yield problems.Problem(("model", "sha256"), "missing; allowed: that of the source, as in cell.yaml", key=True)
    if wrong:
        return
    facts = data.facts(recipe.data)
    sampling = recipe.optimizer.sampling
    if sampling != "replacement" and len(set(recipe.data.weights)) > 1:
        text = f"{sampling!r} is not allowed; allowed: replacement, as the examples have unequal weights"
        yield problems.Problem(("optimizer", "sampling"), text)
    batch_size = recipe.optimizer.batch_size
    if batch_size is not None and batch_size > facts.examples:
        limit = f"at most {facts.examples}, the examples of a full batch"
        yield problems.Problem(("optimizer", "batch_size"), f"{batch_size} is not allowed; allowed: {limit}")
    if facts.task == "regression" and recipe.loss.name in ("ce", "smoothed_ce"):
        why = f"the targets of {recipe.data.name} are numbers"
        text = f"{recipe.loss.name!r} is not allowed; allowed: half_mse, output; {why}"
        yield problems.Problem(("loss", "name"), text)
    planted = isinstance(recipe.data.targets, config.Planted)
    if planted and (recipe.loss.name not in ("half_mse", "ce") or recipe.loss.weight_decay):
        text = "planted targets are a global minimum under half_mse and ce without weight decay only"
        yield problems.Problem(("data", "targets"), f"{text}; change the loss, or write labels")
    if recipe.start.name == "planted_minimum" and not planted:
        text = (
            "planted_minimum is not allowed; it starts where planted targets come from: data.targets: {planted: SEED}"
        )
        yield problems.Problem(("start", "name"), text)
    try:
        zoo.check(recipe.model.family, recipe.model, facts.shape, facts.classes)
    except ValueError as error:
        yield problems.Problem(("model",), str(error), key=True)
        return
    why = starts.refusal(recipe, facts)
    if why:
        yield problems.Problem(
            ("start", "name"), f"{recipe.start.name!r} is not allowed; allowed: another start, or model: {why}"
        )


def _mistraced(trace: config.Trace, steps: int) -> Iterator[problems.Problem]:
    """Yields what is wrong with the schedule of a trace."""
    ways = {"every": trace.every, "points": trace.points, "budget": trace.budget}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        text = f"this is not allowed; allowed: one of the keys {', '.join(ways)}"
        yield problems.Problem(("trace",), f"{text}, not {' and '.join(given)}" if given else text, key=True)
    if trace.every is not None and steps // trace.every >= config.MOST_TRACE_POINTS:
        least = steps // config.MOST_TRACE_POINTS + 1
        text = f"{trace.every} is not allowed; allowed: at least {least}, for {config.MOST_TRACE_POINTS:,} trace points"
        yield problems.Problem(("trace", "every"), f"{text} at most")


def _misscheduled(recipe: config.Recipe) -> Iterator[problems.Problem]:
    """Yields what is wrong with the steps of a schedule."""
    schedule = recipe.optimizer.schedule
    where = ("optimizer", "schedule")
    if isinstance(schedule, config.Piecewise):
        if len(schedule.at) != len(schedule.factors):
            text = f"{len(schedule.factors)} numbers; allowed: {len(schedule.at)}, one for each step of `at`"
            yield problems.Problem((*where, "factors"), text)
        if list(schedule.at) != sorted(set(schedule.at)):
            yield problems.Problem((*where, "at"), "not ascending; allowed: each step once, the first first")
    elif isinstance(schedule, config.Linear | config.Cosine) and schedule.warmup >= recipe.steps:
        text = f"{schedule.warmup} is not allowed; allowed: less than the {recipe.steps} steps of a run"
        yield problems.Problem((*where, "warmup"), text)
