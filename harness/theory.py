# SPDX-License-Identifier: Apache-2.0
"""What the theorem says of a cell, from its layers, its loss and its optimizer alone.

The theorem is Theorem 1 of Craciun & Ghoshdastidar, NeurIPS 2025, arXiv 2510.24466 (`the paper` below): for almost
every step size eta the map G(theta) = theta - eta grad L(theta) is non-singular. A step size is called bad if it is an
exception: G takes a set of positive measure to a null set, which happens where 1/eta is an eigenvalue of the Hessian H
on a set of positive measure. This file says which ingredients of a network the paper names, and which bad step sizes
are known before anything is computed. What the paper does not say is in STATEMENTS, and ours.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np

import zoo
from harness import bad_steps, data, ingredients, optimizers
from harness.bad_steps import BadStep as BadStep
from harness.ingredients import Ingredient as Ingredient
from zoo import layer

Covered = Literal["theorem 1", "proposition 11", "extension F11", "extension F7", "outside"]

UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}

COVERED: dict[Covered, str] = {
    "theorem 1": "every ingredient is one that the paper's Theorem 1 or its corollaries name",
    "proposition 11": "the paper does not name every ingredient, but the risk is analytic everywhere, and its "
    "Proposition 11 asks no more",
    "extension F11": "steps have momentum, and the map of (theta, v) is covered by our extension F11, which has not "
    "been reviewed",
    "extension F7": "some ingredient is covered by our extension F7 only, which has not been reviewed",
    "outside": "some ingredient is covered neither by the paper nor by our extension",
}

STATEMENTS: dict[str, str] = {
    "C1": "A quadratic: H is the same at every point, and the bad step sizes are 1/λ for its eigenvalues λ > 0.",
    "C2": "Linear regression: the same, with the eigenvalues that the data decide.",
    "C3": "The risk ½(c θ₁θ₂ x − y)² and its means over data: det(I − ηH) is a polynomial in θ, and not 0 throughout.",
    "C5": "The paper's figure 1: H = 2 wherever |θ| > 2, so η = 1/2 takes both rays to 0 and is bad. No other is.",
    "C6": "A risk of one parameter that is infinitely often differentiable and not analytic: H is constant on some "
    "intervals, and the reciprocal of each of these values is bad. A good point on one says nothing of another.",
    "F3": "If 1/η is an eigenvalue of H on a set of positive measure of a connected piece on which L is analytic, it "
    "is one at every point of the piece. So one point with σ_min(I − ηH) > 0 certifies the piece, and a piece has at "
    "most as many bad step sizes as there are parameters.",
    "F4": "With the activations of the zoo and finitely many examples there are finitely many pieces, so finitely many "
    "bad step sizes.",
    "F5": "If every layer is positively homogeneous in θ, pieces are cones. If the network has degree 3 or more, "
    "H(aθ) → 0 as a → 0, so det(I − ηH) is not 0 throughout any piece, and no step size is bad. Analytic twin: if the "
    "risk is one analytic piece and the network vanishes at θ = 0 with its first and second derivatives, H(0) = 0, and "
    "no step size is bad.",
    "F6": "Under half_mse, where every unit of the last hidden layer sits on a flat part of its activation for every "
    "example, so that its outputs c depend neither on the example nor on θ nearby, H has in the "
    "weights and biases of the head the eigenvalue 1 + |c|², once for each output of the network (|c|² if the head has "
    "no bias), and 0 in all other directions. So η = 1/(1 + |c|²) is bad: η = 1 for relu units that are all dead.",
    "F7": "A network of any graph is analytic almost everywhere if each of its steps is analytic or a scalar "
    "piecewise-analytic function; the paper's argument then holds for it, for any data.",
    "F10": "Weight decay w adds w to every eigenvalue. A direction that the data term does not see has the eigenvalue "
    "w, and η = 1/w is bad.",
    "F11": "With momentum b > 0 a step is a map of (theta, v). Wherever L is twice differentiable its derivative has "
    "the determinant b^P for heavy_ball, so no step size is bad, and b^P det(I − ηH) for nesterov, H at the stored "
    "theta, so the bad step sizes are those of gradient descent. Runs start at v = 0, a null set of states.",
}
"""What we say beyond the paper: proved in a few lines, held against numbers in the tests, and not reviewed."""

ARITHMETIC = (
    "Floating-point numbers are a finite set; every statement about measure is about the map in exact arithmetic, not "
    "about its rounding."
)


MINIBATCH = (
    "What is said of pieces and bad step sizes holds for the map of every mini-batch. The runs are measured with the "
    "Hessian of the whole training set: what they find is of the full-batch map at the points that SGD visited."
)

ETA_LAMBDA = (
    "The step size is a multiple of 1/λ_max at the start, so each run iterates a map of its own. What holds for almost "
    "every start at one η need not hold at an η that depends on the start; with eta_lambda 1 the start itself lies on "
    "the singular set."
)


MOMENTUM = (
    "Steps have momentum: the map is one of (theta, v), and what is measured of I − ηH is of plain descent from the "
    "same theta. Runs start at v = 0, a null set of states: what holds for almost every state need not hold for them."
)

SCHEDULED = (
    "The step size changes: a run composes the maps of its step sizes. Whether one of them is bad is asked of every "
    "step; what is measured is of the maps at its checkpoint steps."
)

FIXED_VOLUME = "No step size is bad: the map of (theta, v) changes volume by momentum^P at every step (F11, ours)."


@dataclasses.dataclass(frozen=True)
class Theory:
    """What is known of a cell's map before it is run.

    Attributes:
        covered: What covers the map: the worst status among the ingredients, or Proposition 11 where that is better.
        ingredients: Every ingredient, once, in the order of its first use.
        one_piece: Whether the risk is analytic everywhere, so that one certified point certifies the whole map (F3).
        pieces: Why it is one piece, or why not.
        bad_steps: The bad step sizes that are known in advance.
        complete: Whether there are no others.
        others: What is known of all other step sizes, in a sentence.
        remarks: What must be kept in mind about the runs of the cell.
    """

    covered: Covered
    ingredients: tuple[Ingredient, ...]
    one_piece: bool
    pieces: str
    bad_steps: tuple[BadStep, ...]
    complete: bool
    others: str
    remarks: tuple[str, ...]

    @property
    def no_bad_step(self) -> str | None:
        """Why no step size at all is bad; None where that is not known."""
        return self.others if self.complete and not self.bad_steps else None

    def as_dict(self) -> dict[str, Any]:
        """Returns what goes into `run.json`: plain values."""
        return {
            "covered": self.covered,
            "ingredients": [{"name": row.name, "status": row.status, "why": row.why} for row in self.ingredients],
            "one_piece": self.one_piece,
            "pieces": self.pieces,
            "bad_steps": [bad.as_dict() for bad in self.bad_steps],
            "complete": self.complete,
            "no_bad_step": self.no_bad_step,
            "others": self.others,
            "remarks": list(self.remarks),
        }


def of(cell: Any) -> Theory:
    """Returns what is known of a cell (or of anything with its `data`, `model`, `loss` and `optimizer`)."""
    facts = data.facts(cell.data)
    layers = zoo.FAMILIES[cell.model.family].layers(cell.model, facts.shape, facts.classes)
    return says(layers, facts.shape, cell.loss, cell.optimizer)


def says(layers: layer.Layers, inputs: layer.Shape, loss: Any, optimizer: Any) -> Theory:
    """Returns what is known of the map of a network; pure, and without jax.

    Args:
        layers: The network.
        inputs: Shape of one example.
        loss: The `loss` part of a cell: `name` and `weight_decay`.
        optimizer: The `optimizer` part of a cell: `name` and `learning_rate`.
    """
    found = ingredients.of(layers, loss, optimizer)
    statuses = {row.status for row in found}
    breaks = [row.name for row in found if not row.analytic]
    one_piece = not breaks
    covered: Covered = "theorem 1"
    if "outside" in statuses:
        covered = "outside"
    elif "extension F7" in statuses and not one_piece:
        covered = "extension F7"
    elif "extension F11" in statuses:
        covered = "extension F11"
    elif "extension F7" in statuses:
        covered = "proposition 11"
    pieces = (
        "the risk is analytic everywhere: one point with σ_min > 0 certifies the whole map (F3, ours)"
        if one_piece
        else f"analytic in pieces ({'; '.join(breaks)}): a point with σ_min > 0 certifies its own piece (F3, ours)"
    )
    steps, complete, others = bad_steps.of(layers, inputs, loss, one_piece=one_piece)
    if optimizers.OPTIMIZERS[optimizer.name].never_singular:
        steps, complete, others = (), True, FIXED_VOLUME
    remarks = [
        *([MINIBATCH] if getattr(optimizer, "batch_size", None) else []),
        *([MOMENTUM] if hasattr(optimizer, "momentum") else []),
        *([] if isinstance(optimizer.learning_rate, int | float) else [ETA_LAMBDA]),
        *([] if _constant(optimizer) else [SCHEDULED]),
    ]
    return Theory(covered, found, one_piece, pieces, steps, complete, others, tuple(remarks))


def _constant(optimizer: Any) -> bool:
    schedule = getattr(optimizer, "schedule", None)
    return schedule is None or schedule.name == "constant"


class Match(NamedTuple):
    """A step size of a run that is bad, or next to one that is.

    Attributes:
        bad: Which bad step it is.
        eta: The step size that is used.
        step: The first step that uses it.
        distance: |1 - eta lambda|, exactly, with lambda the eigenvalue that makes the step size 1/lambda bad.
    """

    bad: BadStep
    eta: float
    step: int
    distance: Fraction

    @property
    def exact(self) -> bool:
        """Whether the step size is bad; else it is within one rounding of one that is."""
        return self.distance == 0

    def as_dict(self) -> dict[str, Any]:
        """Returns what goes into `run.json`."""
        distance = float(self.distance)
        return {"eta": self.eta, "step": self.step, "distance": distance, "source": self.bad.source}


def matches(theory: Theory, used: optimizers.StepSizes, precision: str) -> Match | None:
    """Returns the known bad step among the step sizes of a run, else one that is within one rounding; None without.

    Step sizes and eigenvalues are taken for the numbers that they are, so that eta lambda = 1 is decided exactly. Of
    several the one that is used first counts.

    Args:
        theory: What is known of the cell.
        used: The step sizes that the run used.
        precision: `float32` or `float64`; they were rounded to it.
    """
    tolerance = UNIT_ROUNDOFF[precision] + 2 * UNIT_ROUNDOFF["float64"]  # the last: what is listed is rounded too
    found = [
        Match(bad, float(used.values[at]), int(used.first[at]), abs(1 - Fraction(float(used.values[at])) * eigenvalue))
        for bad in theory.bad_steps
        for known, eigenvalue in zip(bad.etas, bad.eigenvalues, strict=True)
        for at in np.flatnonzero(np.abs(used.values - known) <= tolerance * known)
    ]
    return min(found, key=lambda match: (not match.exact, match.step), default=None)


def told(theory: Theory, match: Match) -> str:
    """Says of a match, in a sentence, what it means for the map."""
    since = f" from step {match.step} on" if match.step else ""
    if match.exact:
        return f"η = {match.eta:.10g}{since} is bad {match.bad.where} ({match.bad.source})"
    near = (
        f"η = {match.eta:.10g}{since} is within one rounding of a step size that is bad ({match.bad.source}), and not "
        f"that number: |1 − ηλ| = {float(match.distance):.3g} where that is singular"
    )
    rest = "no other step size is bad, so the map is non-singular" if theory.complete else "it may be bad elsewhere"
    return f"{near}; {rest}"


FULL_BATCH = "of the full-batch map, which SGD does not iterate"
EVERY_BATCH = "no map that SGD iterates is singular: the theorem holds for every mini-batch"
BAD_BATCHES = "bad for every mini-batch too"


def iterated(theory: Theory, optimizer: Any, match: Match | None) -> str:
    """Says of the verdict on a run with mini-batches which map it is about; empty for a full batch.

    Args:
        theory: What is known of the cell.
        optimizer: The `optimizer` part of the cell.
        match: The bad step that was matched, if any.
    """
    if not getattr(optimizer, "batch_size", None):
        return ""
    if match is not None and match.exact:
        return BAD_BATCHES
    return EVERY_BATCH if theory.complete else FULL_BATCH
