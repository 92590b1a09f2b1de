# SPDX-License-Identifier: Apache-2.0
"""What is wrong between fields of a recipe that are right by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import zoo
from harness import config, data, starts
from harness.config import precision
from harness.risk import losses
from harness.specs import problems, strict_yaml
from zoo import code, layer
from zoo.config import Config

TRAINED = ("data", "model", "loss", "start", "optimizer", "target")
"""The parts of a recipe whose numbers are those of its training."""

MEASURED = frozenset(("eta_lambda", "infimum", "radius"))
"""Fields of them that are in float64 whatever the training is."""


def conflicts(recipe: config.Recipe) -> Iterator[problems.Problem]:
    """Yields what is wrong between fields that are right by themselves."""
    wrong = list(data.conflicts(recipe.data))
    yield from (problems.Problem(("data", *path), text) for path, text in wrong)
    if recipe.checkpoints > recipe.steps + 1:
        text = f"{recipe.checkpoints} is not allowed; allowed: at most {recipe.steps + 1}, which is steps + 1"
        yield problems.Problem(("checkpoints",), text)
    yield from _misscheduled(recipe)
    yield from _unheld(recipe)
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
        place = error.place if isinstance(error, layer.Misfit) else ()
        yield problems.Problem(("model", *place), str(error), key=True)
        return
    yield from _unread(recipe, facts)
    why = starts.refusal(recipe, facts)
    if why:
        yield problems.Problem(
            ("start", "name"), f"{recipe.start.name!r} is not allowed; allowed: another start, or model: {why}"
        )


def _unread(recipe: config.Recipe, facts: data.Facts) -> Iterator[problems.Problem]:
    """Yields what is wrong between an embedding and the integers of the data."""
    known = getattr(recipe.data, "vocabulary", None)
    layers = zoo.made_of(recipe.model, facts.shape, facts.classes)
    for node in layer.walk(layers):
        if isinstance(node, layer.Embedding) and (known is None or node.vocabulary < known):
            least = f"{known} integers; allowed: a vocabulary of at least {known}" if known else "no integers"
            text = f"an embedding of {node.vocabulary} integers does not fit: {recipe.data.name} has {least}"
            yield problems.Problem(("model", "layers", 0), text)


def _unheld(recipe: config.Recipe) -> Iterator[problems.Problem]:
    """Yields the numbers that the arithmetic of training does not hold, and the step sizes that a schedule leads to."""
    unheld = False
    for part in TRAINED:
        for path, number, below_one in _numbers(getattr(recipe, part), (part,)):
            if why := precision.refusal(number, recipe.precision, below_one=below_one):
                unheld = True
                yield problems.Problem(path, f"{strict_yaml.shown(number)} is not allowed: {why}")
    optimizer = recipe.optimizer
    if not unheld and isinstance(optimizer.learning_rate, float):
        factors = config.extremes(optimizer.schedule, recipe.steps)
        if why := precision.refused_step_size(optimizer.learning_rate, factors, recipe.precision):
            yield problems.Problem(("optimizer", "schedule"), why)


def _numbers(holder: object, path: strict_yaml.Path) -> Iterator[tuple[strict_yaml.Path, float, bool]]:
    """Yields path and value of each float in a part of a recipe but MEASURED, and whether its field ends below 1."""
    if isinstance(holder, Config):
        for name, field in type(holder).model_fields.items():
            value = getattr(holder, name)
            if isinstance(value, float) and name not in MEASURED:
                yield (*path, name), value, any(hasattr(rule, "lt") for rule in field.metadata)
            elif isinstance(value, Config | tuple):
                yield from _numbers(value, (*path, name))
    elif isinstance(holder, tuple):
        for i, value in enumerate(holder):
            if isinstance(value, float):
                yield (*path, i), value, False
            else:
                yield from _numbers(value, (*path, i))


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
