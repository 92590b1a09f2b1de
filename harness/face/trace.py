# SPDX-License-Identifier: Apache-2.0
"""Trace: the largest eigenvalues and the least one along points that somebody's own training went through."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from harness import errors
from harness.face import numerics, shown
from harness.face.network import Network
from harness.records import traces
from harness.training import tracer

if TYPE_CHECKING:
    import pandas as pd

TOP = 8
"""Eigenvalues that are followed, unless told otherwise."""

MOST = 32
"""Most of them."""

LINES = 12
"""Points that are shown."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """What a trace found.

    Attributes:
        name: The network.
        points: The trace points, as those of a run (harness.records.traces); their `step` counts the points given,
            their eta is NaN unless it was given.
    """

    name: str
    points: tuple[traces.TracePoint, ...]

    def dicts(self) -> list[dict[str, Any]]:
        """Returns the points as plain dicts."""
        return [dataclasses.asdict(point) for point in self.points]

    def frame(self) -> pd.DataFrame:
        """Returns the points as a table of pandas, a row each; eigenvalues in columns lambda_1, ..., lambda_min."""
        import pandas as pd

        rows = []
        for point in self.points:
            names = [*(f"lambda_{rank + 1}" for rank in range(len(point.values) - 1)), "lambda_min"]
            row = {"step": point.step, "eta": point.eta, "loss": point.loss, "grad_norm": point.grad_norm}
            row |= dict(zip(names, point.values, strict=True))
            row |= {f"{name}_error": error for name, error in zip(names, point.errors, strict=True)}
            rows.append(row)
        return pd.DataFrame(rows)

    def _table(self) -> shown.Table:
        top = len(self.points[0].values) - 1
        second = ("λ_2",) if top > 1 else ()
        head = ("step", "loss", "λ_1", *second, "λ_min", "above 1/η", "above 2/η")
        every = math.ceil(len(self.points) / LINES)
        rows = []
        for point in self.points[::every]:
            pairs = list(zip(point.values, point.errors, strict=True))
            kept = [pairs[0], *pairs[1 : 1 + len(second)], pairs[-1]]
            counts = [_count(point, times) for times in (1.0, 2.0)]
            rows.append((str(point.step), f"{point.loss:.6g}", *(shown.number(*pair) for pair in kept), *counts))
        title = f"Trace of {self.name}: {top} largest eigenvalues and the least at {len(self.points)} points"
        notes = ("An eigenvalue lies within each error bar; of a cluster the trace may lack some.",)
        return shown.Table(title, head, rows, notes)

    def __repr__(self) -> str:
        """Returns some of the points, a line each."""
        return shown.text(self._table())

    def _repr_html_(self) -> str:
        return shown.page(self._table())


def trace(
    net: Network,
    params_over_time: Iterable[Any],
    top: int = TOP,
    *,
    eta: float | None = None,
    steps: Iterable[int] | None = None,
    seed: int = 0,
) -> Trace:
    """Returns the largest eigenvalues of the Hessian, and the least, along points of a training.

    Each point starts from the eigenvectors of the one before, so points should not lie far apart (each tenth step of a
    run, say). Cost: at the first point a Lanczos run, later about 2 (top + 8) gradients each. All in float64.

    Args:
        net: The network.
        params_over_time: Trees like the network's, or vectors (P,), in their order; the array (T, P) too.
        top: How many of the largest eigenvalues, 1 to 32.
        eta: The step size of that training, for counts above 1/eta and 2/eta and for plots.
        steps: The step of each point; 0, 1, 2, ... unless given.
        seed: Of what is drawn.

    Raises:
        errors.InputError: If there is no point, or one is no point of the network.
    """
    if not 1 <= top <= MOST:
        raise errors.InputError(f"top is {top}; give a number from 1 to {MOST}")
    if eta is not None and not 0 < eta < math.inf:
        raise errors.InputError(f"eta is {eta!r}; give a positive number")
    thetas = [net.flat(params) for params in params_over_time]
    places = list(range(len(thetas)) if steps is None else steps)
    if not thetas or len(places) != len(thetas):
        raise errors.InputError(f"{len(thetas)} points and {len(places)} steps; give at least one, and as many")
    found = []
    with numerics.exact(), shown.bar(len(thetas), "trace points") as begin:
        programs, basis = net.tracer(top), None
        start = last = jnp.asarray(thetas[0])
        for step, theta in zip(places, thetas, strict=True):
            begin(f"step {step}")
            place = tracer.Place(jnp.asarray(theta), start, last)
            key = jax.random.fold_in(jax.random.key(seed), step)
            looked = tracer.on_host(
                programs.begin(place, net.batch, key)
                if basis is None
                else programs.follow(place, net.batch, basis, key)
            )
            basis, last = jnp.asarray(looked.tracked.basis), place.theta
            found.append(_point(step, math.nan if eta is None else float(eta), looked))
    return Trace(net.name, tuple(found))


def _point(step: int, eta: float, looked: tracer.Looked) -> traces.TracePoint:
    return traces.TracePoint(
        step=int(step),
        eta=eta,
        loss=float(looked.loss),
        grad_norm=float(looked.grad_norm),
        values=tuple(looked.tracked.values.tolist()),
        errors=tuple(looked.tracked.errors.tolist()),
        from_start=float(looked.from_start),
        from_last=float(looked.from_last),
        products=int(looked.tracked.products),
    )


def _count(point: traces.TracePoint, times: float) -> str:
    """Returns how many tracked eigenvalues lie above times / eta; a dot where eta is not known."""
    if math.isnan(point.eta):
        return "·"
    number, whole = point.above(times)
    return f"{number}" if whole else f"≥ {number}"
