# SPDX-License-Identifier: Apache-2.0
"""DIAGNOSTICS: what is recorded at checkpoint steps, one file per question; RUN: what a whole run's records say.

Importing this package loads no jax; asking a row for its answer does.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from harness import config, records, starts, theory
from harness.diagnostics.point import Nearby, Point
from zoo import code

if TYPE_CHECKING:
    from harness.diagnostics import plan as plans
    from harness.records import traces

__all__ = [
    "DEFAULT",
    "DIAGNOSTICS",
    "RUN",
    "Diagnostic",
    "Nearby",
    "Point",
    "RunDiagnostic",
    "measure",
    "summary",
]

Schedule = Literal["every checkpoint", "first and last", "first", "last"]


def _always(cell: config.Recipe) -> str:
    return ""


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    """One question about a point of a run, answered by the file of its name.

    The file has `METRICS`, the names in metrics.METRICS that it gives; `measure`, which takes a Point and gives their
    values; `gradients`, what one answer costs beyond the survey of the Hessian, unless that is nothing; and `withheld`,
    which of the names it does not give of a cell and why, unless it gives all of them always.

    Attributes:
        name: Its file in this folder.
        title: The question, in a few words.
        cost: What it costs beyond the survey, in words.
        schedule: At which checkpoint steps it is asked.
        surveys: Whether it reads the survey of the Hessian.
        vectors: Whether it reads eigenvectors of that survey.
        auto: Whether `auto` takes it.
        why_not: `cell -> reason`: why it says nothing of a cell; empty if it does.
    """

    name: str
    title: str
    cost: str
    schedule: Schedule = "every checkpoint"
    surveys: bool = False
    vectors: bool = False
    auto: bool = False
    why_not: Callable[[Any], str] = _always

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names that it gives."""
        return tuple(_module(self.name).METRICS)

    def measure(self, point: Point) -> dict[str, float]:
        """Returns the answer, as values of METRICS.

        Raises:
            FloatingPointError: If a number on the way is not finite.
        """
        return dict(_module(self.name).measure(point))

    def gradients(self, size: plans.Size) -> float:
        """Returns what one answer costs beyond the survey, at most, in gradients of the whole risk."""
        priced = getattr(_module(self.name), "gradients", None)
        return 0.0 if priced is None else float(priced(size))

    def withheld(self, cell: config.Recipe, size: plans.Size) -> dict[str, str]:
        """Returns for each of its metrics that it does not give of a cell (NaN) why not."""
        why = getattr(_module(self.name), "withheld", None)
        return {} if why is None else dict(why(cell, size))

    def due(self, step: int, last: int) -> bool:
        """Says whether it is asked at a checkpoint step of a run whose last step is `last`."""
        steps = {"every checkpoint": (step,), "first and last": (0, last), "first": (0,), "last": (last,)}[
            self.schedule
        ]
        return step in steps

    def times(self, checkpoints: int) -> int:
        """Returns how often it is asked in a run with so many checkpoint steps."""
        return {"every checkpoint": checkpoints, "first and last": 2}.get(self.schedule, 1)


@dataclasses.dataclass(frozen=True)
class RunDiagnostic:
    """One question about a whole run, answered from its records by the file of its name; it costs nothing.

    The file has `METRICS`, the names that it gives; `NEEDS`, those that each record must have, else it says nothing;
    and `summary`, from the records, and whether the risk is one piece, to the values. One that reads the trace has no
    NEEDS, and says nothing of a run without one.

    Attributes:
        name: Its file in this folder.
        title: The question, in a few words.
        of_trace: Whether it reads the trace.
    """

    name: str
    title: str
    of_trace: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names that it gives."""
        return tuple(_module(self.name).METRICS)

    def applies(self, recorded: Sequence[records.Record], trace: Sequence[traces.TracePoint] = ()) -> bool:
        """Says whether the records, or the trace, hold what it reads."""
        if self.of_trace:
            return bool(trace)
        needed = set(_module(self.name).NEEDS)
        return bool(recorded) and all(needed <= set(one.values) for one in recorded)

    def measure(
        self,
        recorded: Sequence[records.Record],
        *,
        one_piece: bool = False,
        trace: Sequence[traces.TracePoint] = (),
    ) -> dict[str, float]:
        """Returns the answer, as values of METRICS; arguments as in `summary`."""
        more = {"trace": trace} if self.of_trace else {}
        return dict(_module(self.name).summary(recorded, one_piece=one_piece, **more))


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"harness.diagnostics.{name}")


def _analytic(cell: config.Recipe) -> str:
    return "the risk is analytic everywhere: it has no kinks" if theory.of(cell).one_piece else ""


def _own(cell: config.Recipe) -> str:
    return "the pieces of code of one's own are not known" if isinstance(cell.model, code.Config) else ""


def _analytic_changes(cell: config.Recipe) -> str:
    crossings = "the risk is analytic everywhere: every change of the count is a crossing"
    return crossings if _analytic(cell) else _own(cell)


def _kinkless(cell: config.Recipe) -> str:
    return _analytic(cell) or _own(cell)


def _unlabelled(cell: config.Recipe) -> str:
    labels = cell.loss.name == "ce" and cell.data.targets == "labels"
    return "" if labels else "it certifies the infimum of ce on labels alone"


def _whole(cell: config.Recipe) -> str:
    return "" if cell.optimizer.batch_size else "every step sees the whole batch"


def _plain(cell: config.Recipe) -> str:
    return "steps have no momentum" if cell.optimizer.momentum is None else ""


def _momentum(cell: config.Recipe) -> str:
    return "" if _plain(cell) else "it is of the map of plain descent, and steps have momentum"


def _one_map(cell: config.Recipe) -> str:
    return _momentum(cell) or (
        "" if cell.optimizer.schedule.name == "constant" else "it iterates one map, and the step size changes"
    )


def _unflippable(cell: config.Recipe) -> str:
    """Says why steps are not those of one map that is analytic in every direction."""
    if cell.optimizer.batch_size:
        return "it is of the map of the whole batch, and steps see mini-batches"
    kinks = _own(cell) or "the risk has kinks, across which derivatives say nothing"
    return _momentum(cell) or ("" if _analytic(cell) else kinks)


def _undefined(cell: config.Recipe) -> str:
    """Says why a cell has no global minimum that every example shares, or no map that mu and lambda speak of."""
    planted = isinstance(cell.data.targets, config.Planted)
    if cell.loss.name == "output":
        return "the risk is not one of outputs and targets"
    if cell.loss.name == "ce" and not planted:
        return "undefined: the infimum of ce on labels is not attained, so there is no minimum"
    if cell.loss.weight_decay:
        return "undefined: under weight decay no point fits every example"
    return _one_map(cell)


def _wild(cell: config.Recipe) -> str:
    return "" if cell.start.name in starts.PLANTED else "runs do not begin at a planted point"


def _unplanted(cell: config.Recipe) -> str:
    return "" if cell.start.name in starts.SADDLES else "runs do not begin at a planted saddle"


def _no_escape(cell: config.Recipe) -> str:
    return _unplanted(cell) or _one_map(cell)


def _no_exponent(cell: config.Recipe) -> str:
    return _whole(cell) or _undefined(cell)


DIAGNOSTICS: dict[str, Diagnostic] = {
    row.name: row
    for row in (
        Diagnostic("fit", "how well the network fits", "1 gradient, 1 forward pass", auto=True),
        Diagnostic("margin", "whether labels can be fitted", "1 forward pass", auto=True, why_not=_unlabelled),
        Diagnostic("sharpness", "the ends of the spectrum", "nothing", surveys=True, auto=True),
        Diagnostic("singularity", "how far I − ηH is from singular", "nothing", surveys=True, auto=True),
        Diagnostic("gaps", "the eigenvalues on either side of 1/η", "nothing", surveys=True, auto=True),
        Diagnostic("state", "the map of (θ, v) under momentum", "nothing", surveys=True, auto=True, why_not=_plain),
        Diagnostic("critical", "all critical step sizes; keeps the spectrum", "nothing", surveys=True, auto=True),
        Diagnostic(
            "kinks",
            "how far the piece reaches",
            "2 gradients, 1 product, about 10 forward passes",
            auto=True,
            why_not=_kinkless,
        ),
        Diagnostic(
            "changes",
            "crossings of 1/η and jumps over it since the last look",
            "nothing, or where the count changed at most two surveys",
            surveys=True,
            auto=True,
            why_not=_analytic_changes,
        ),
        Diagnostic(
            "minibatches",
            "the maps of single mini-batches",
            "a survey of each of 8 batches",
            schedule="first and last",
            auto=True,
            why_not=_whole,
        ),
        Diagnostic(
            "sweep",
            "every step size at a frozen point",
            "2 P products (dense), or at most 210 (Lanczos)",
            schedule="last",
            surveys=True,
        ),
        Diagnostic(
            "inverse",
            "which points one step takes to the next",
            "at most 1,200 products, mostly some 100",
            schedule="first and last",
            surveys=True,
            why_not=_momentum,
        ),
        Diagnostic(
            "exponents",
            "finite-time Lyapunov exponents",
            "80 steps, each a gradient and 2 products of what a step sees",
            schedule="first and last",
            why_not=_one_map,
        ),
        Diagnostic("progress", "what one step does to the risk", "2 gradients", why_not=_momentum),
        Diagnostic(
            "departure",
            "whether steps lie along the steepest negative direction",
            "at most 400 products, mostly some 80",
        ),
        Diagnostic(
            "minimum",
            "mu, rank and least eigenvalue of the kernel",
            "K + 64 gradients, and an eigenproblem of min(N K, P) rows",
            schedule="first and last",
            why_not=_undefined,
        ),
        Diagnostic(
            "stability",
            "lambda, the exponent of SGD at the minimum",
            "some 420 passes in data space; 140 in parameter space where N K > 5,000",
            schedule="first and last",
            why_not=_no_exponent,
        ),
        Diagnostic("displacement", "the distance from where it was planted", "nothing", auto=True, why_not=_wild),
        Diagnostic(
            "saddle",
            "whether the start is the saddle it is said to be",
            "P products, an eigenproblem of P rows; above 5,000 some 100 products a negative one",
            schedule="first",
            auto=True,
            why_not=_unplanted,
        ),
        Diagnostic(
            "escape",
            "steps to leave the saddle, against the prediction",
            "10 times as many steps as predicted, at most",
            schedule="first",
            auto=True,
            why_not=_no_escape,
        ),
        Diagnostic(
            "flip",
            "whether the oscillation that begins at 2/η is stable",
            "24 products, and third and fourth derivatives along a vector: some 60 gradients",
            surveys=True,
            vectors=True,
            why_not=_unflippable,
        ),
        Diagnostic("layers", "which layers eigenvectors live in", "nothing", surveys=True, vectors=True),
    )
}

RUN: dict[str, RunDiagnostic] = {
    "trajectory": RunDiagnostic(
        "trajectory", "crossings of 1/η and their phases, closest approach, accumulated volume"
    ),
    "episodes": RunDiagnostic("episodes", "plateaus with negative curvature"),
    "flips": RunDiagnostic("flips", "whether the loss stayed bounded at 2/η where the flip is said to be stable"),
    "flow": RunDiagnostic("flow", "what the trace says: eigenvalues past 1/η and 2/η, step by step", of_trace=True),
}

DEFAULT = tuple(name for name, row in DIAGNOSTICS.items() if row.auto and row.why_not is _always)
"""What `auto` takes of every cell."""


def summary(
    recorded: Sequence[records.Record], *, one_piece: bool = False, trace: Sequence[traces.TracePoint] = ()
) -> dict[str, float]:
    """Returns what records and trace of a run say together: the values of RUN, as far as they hold what is needed.

    Args:
        recorded: The records, in the order of their steps.
        one_piece: Whether the risk is analytic everywhere (theory.Theory).
        trace: The trace points, in the order of their steps.
    """
    asked = [row for row in RUN.values() if row.applies(recorded, trace)]
    answers = (row.measure(recorded, one_piece=one_piece, trace=trace) for row in asked)
    return {metric: value for answer in answers for metric, value in answer.items()}


def measure(point: Point, names: Iterable[str] = DEFAULT) -> dict[str, float]:
    """Returns the value of every metric of some diagnostics at a point of a run.

    Raises:
        FloatingPointError: If a number on the way is not finite.
    """
    return {metric: value for name in names for metric, value in DIAGNOSTICS[name].measure(point).items()}
