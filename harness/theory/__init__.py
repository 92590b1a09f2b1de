# SPDX-License-Identifier: Apache-2.0
"""What the theorem says of a cell, from its layers, its loss and its optimizer alone.

The theorem is Theorem 1 of Craciun & Ghoshdastidar, NeurIPS 2025, arXiv 2510.24466 (`the paper` below): for almost
every step size eta the map G(theta) = theta - eta grad L(theta) is non-singular. A step size is called bad if it is an
exception: G takes a set of positive measure to a null set, which happens where 1/eta is an eigenvalue of the Hessian H
on a set of positive measure. This file says which ingredients of a network the paper names, and which bad step sizes
are known before anything is computed. What the paper does not say is in STATEMENTS, and ours; DOCUMENT has the proofs.

Example:
    >>> from harness import specs, theory, workspace
    >>> relu, gelu = specs.read(workspace.CHECKOUT / "specs" / "quickstart" / "mlp.yaml").cells
    >>> theory.of(relu).covered, theory.of(relu).bad  # eta = 1 and no other step size is bad
    ('theorem 1', 'exactly {1}')
    >>> theory.of(gelu).one_piece, theory.of(gelu).bad
    (True, 'none')
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import zoo
from harness import config, data
from harness.theory import bad_steps, ingredients
from harness.theory.bad_steps import BadStep, Possible
from harness.theory.ingredients import Ingredient
from harness.training import optimizers
from zoo import code, layer, stack

Covered = Literal["theorem 1", "proposition 11", "extension F11", "extension F7", "outside", "not known"]

UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}

COVERED: dict[Covered, str] = {
    "theorem 1": "every ingredient is one that the paper's Theorem 1 or its corollaries name",
    "proposition 11": "the paper does not name every ingredient, but the risk is analytic everywhere, and its "
    "Proposition 11 asks no more",
    "extension F11": "steps have momentum, and the map of (theta, v) is covered by our extension F11, which has not "
    "been reviewed",
    "extension F7": "some ingredient is covered by our extension F7 only, which has not been reviewed",
    "outside": "some ingredient is covered neither by the paper nor by our extension",
    "not known": "the network is code of its author's, and does not say what it is made of",
}

DOCUMENT = "docs/theorems.md"
"""Where each of STATEMENTS that is ours (F1 to F14) stands with its hypotheses and proof."""

STATEMENTS: dict[str, str] = {
    "C1": "A quadratic: H is the same at every point, and the bad step sizes are 1/λ for its eigenvalues λ > 0.",
    "C2": "Linear regression: the same, with the eigenvalues that the data decide.",
    "C3": "The risk ½(c θ₁θ₂ x − y)² and its means over data: det(I − ηH) is a polynomial in θ, and not 0 throughout.",
    "C5": "The paper's figure 1: H = 2 wherever |θ| > 2, so η = 1/2 takes both rays to 0 and is bad. No other is.",
    "C6": "A risk of one parameter that is infinitely often differentiable and not analytic: H is constant on some "
    "intervals, and the reciprocal of each of these values is bad. A good point on one says nothing of another.",
    "F1": "Where L is twice continuously differentiable off a closed null set, G is non-singular if and only if the "
    "points at which 1/η is an eigenvalue of H are a null set; if they are not, η is bad.",
    "F2": "For such an L at most countably many step sizes are bad; analyticity is not needed for that.",
    "F3": "A pattern says, for every example, which branch each piece of the network takes. With the pattern fixed, "
    "the risk is analytic on the whole parameter space, whether or not the set on which the network follows the "
    "pattern is connected. So if 1/η is an eigenvalue of H on a part of that set of positive measure, it is one of "
    "the fixed pattern's H at every θ. One point with σ_min(I − ηH) > 0 certifies the pattern, and a pattern has at "
    "most P bad step sizes, P the number of parameters. A risk without pieces has one pattern.",
    "F4": "With finitely many examples there are finitely many patterns, m, and at most m·P bad step sizes. N "
    "examples with U activations of at most b branches, and V maxima over 2×2 windows, have m ≤ (b^U 4^V)^N.",
    "F5": "If on every pattern the network vanishes at θ = 0 with its first and second derivatives, H is 0 there, "
    "and no step size is bad. So it is without biases from depth 3 on, if each branch of each activation is 0 at 0: "
    "relu, leaky_relu, elu, gelu, tanh and others.",
    "F6": "Under half_mse, where every unit of the last hidden layer sits on a flat part of its activation for every "
    "example, so that its outputs c depend neither on the example nor on θ nearby, H has in the weights and biases of "
    "the head the eigenvalue 1 + |c|², once for each output of the network (|c|² if the head has no bias), and 0 in "
    "all other directions. So η = 1/(1 + |c|²) is bad: η = 1 for relu units that are all dead.",
    "F7": "A network of any graph is analytic almost everywhere if each of its steps is analytic or a scalar "
    "piecewise-analytic function; the paper's argument then holds for it, for any data.",
    "F8": "Closed points. If a network ends in h → B → φ → means → C + c, φ analytic, then at B = 0, C = 0 its "
    "output is c whatever lies below, and every eigenvalue of H follows from M = Σ wᵢ [hᵢ; 1] gᵢᵀ, the mean Hessian A "
    "of the loss in the outputs and the shift b: ±φ'(b) σⱼ(M) for each unit but one, the spectrum of [[0, φ'M, 0], "
    "[φ'Mᵀ, nφ²A, √n φA], [0, √n φA, A]] once for all n units, and 0 in every other direction.",
    "F9": "If eta is bad for a pattern, 1/η is an eigenvalue of its H at every point. So what the spectra at any few "
    "points, each eigenvalue widened by its error, do not have in common is certified: every such η, not almost every "
    "one.",
    "F10": "Weight decay w adds w to every eigenvalue. A direction that the data term does not see has the "
    "eigenvalue w, and η = 1/w is bad.",
    "F11": "With momentum b > 0 a step is a map of (theta, v). Wherever L is twice differentiable its derivative has "
    "the determinant b^P for heavy_ball, so no step size is bad, and b^P det(I − ηH) for nesterov, H at the stored "
    "theta, the look-ahead point, so the bad step sizes are those of gradient descent. Runs start at v = 0, a null "
    "set of states.",
    "F12": "Dense layers, convolutions and pools with biases, relu and leaky_relu between them, and ResNets of "
    "these: under half_mse η = 1 is the only step size that can be bad, and it is bad with relu and not with "
    "leaky_relu; under the cross-entropies none is bad. With weight decay w only 1/w and 1/(1 + w), or 1/w, can be. "
    "For all data, all sizes and every mini-batch; the proof says which other layer lists are covered, and which are "
    "not.",
    "F13": "(a) With a shift before the last activation, and sigmoid, tanh, gelu, gelu_tanh, silu or softplus there, "
    "no step size is bad, whatever lies below, under every loss. (b) Nor is one if all examples give the same below a "
    "last layer with shifts at θ = 0, no piece acts after it, and the head has a bias: a vision transformer or a "
    "Mixer that ends in a norm, with any activation. Weight decay w leaves 1/w alone.",
    "F14": "If η is not bad, and θ₀ has a density and does not depend on η nor η on it, then the probability that "
    "any θₜ is singular is 0, in exact arithmetic. It is not said of eta_lambda, where η depends on the start, nor of "
    "momentum from v = 0.",
}
"""What we say beyond the paper: ours, proved in DOCUMENT, held against numbers in the tests, and not peer-reviewed."""

OURS = f"F1 to F14 are ours and not peer-reviewed; {DOCUMENT} has their hypotheses and proofs."

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

UNKNOWN = "what the network is made of is not known: a point with σ_min > 0 speaks for itself alone"

NOTHING = "Nothing is known of any step size: the network is code, and does not say what it is made of."

CODE = (
    "The network is code of its author's, who says what it is made of (docs/own-network.md): all that is said here "
    "rests on that word."
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
        possible: All others that may be bad; () if there are none, None if nothing bounds them.
        others: What is known of all other step sizes, in a sentence.
        remarks: What must be kept in mind about the runs of the cell.
    """

    covered: Covered
    ingredients: tuple[Ingredient, ...]
    one_piece: bool
    pieces: str
    bad_steps: tuple[BadStep, ...]
    possible: tuple[Possible, ...] | None
    others: str
    remarks: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether no other step size is bad."""
        return self.possible == ()

    @property
    def bad(self) -> str:
        """The list of bad step sizes in a few words."""
        return bad_steps.label(self.bad_steps, self.possible)

    @property
    def no_bad_step(self) -> str | None:
        """Why no step size at all is bad; None where that is not known."""
        return self.others if self.complete and not self.bad_steps else None

    def excludes(self, eta: float, precision: str) -> bool:
        """Says whether the list of bad step sizes is whole but for some candidates, and a step size is none of these.

        A step size within rounding of a candidate is not told from it. Those known to be bad are for `matches`.
        """
        room = UNIT_ROUNDOFF[precision] + 4 * UNIT_ROUNDOFF["float64"]
        return self.possible is not None and all(abs(eta - one.eta) > room * one.eta for one in self.possible)

    def as_dict(self) -> dict[str, Any]:
        """Returns what goes into `run.json`: plain values."""
        return {
            "covered": self.covered,
            "ingredients": [{"name": row.name, "status": row.status, "why": row.why} for row in self.ingredients],
            "one_piece": self.one_piece,
            "pieces": self.pieces,
            "bad_steps": [bad.as_dict() for bad in self.bad_steps],
            "complete": self.complete,
            "possible": None if self.possible is None else [one.eta for one in self.possible],
            "bad": self.bad,
            "no_bad_step": self.no_bad_step,
            "others": self.others,
            "remarks": list(self.remarks),
        }


def of(cell: config.Recipe) -> Theory:
    """Returns what is known of a cell (or of anything with its `data`, `model`, `loss` and `optimizer`)."""
    facts = data.facts(cell.data)
    return of_network(cell, facts.shape, facts.classes)


def of_network(cell: config.Recipe, inputs: tuple[int, ...], outputs: int) -> Theory:
    """Returns what is known of a cell whose examples have a shape (H, W, C) and K targets each."""
    if isinstance(cell.model, code.Config):
        return _of_code(cell.model, cell.loss, cell.optimizer)
    return says(zoo.made_of(cell.model, inputs, outputs), inputs, cell.loss, cell.optimizer)


def _of_code(model: code.Config, loss: config.Loss, optimizer: config.Optimizer) -> Theory:
    """Returns what is known of code of one's own: what follows from what it says that it is made of, else nothing."""
    outer = ingredients.of({}, loss, optimizer)
    if model.ingredients is None:
        return Theory("not known", outer, False, UNKNOWN, (), None, NOTHING, _remarks(optimizer))
    found = (*(ingredients.known(name) or ingredients.unheard(name) for name in model.ingredients), *outer)
    one_piece, pieces = _pieces(found)
    known = bad_steps.Known((), None, bad_steps.elsewhere(one_piece=one_piece))
    if optimizers.OPTIMIZERS[optimizer.name].never_singular:
        known = bad_steps.Known((), (), FIXED_VOLUME)
    return Theory(covered(found), found, one_piece, pieces, *known, (CODE, *_remarks(optimizer)))


class Part(NamedTuple):
    """One layer of a stack, and what covers it.

    Attributes:
        place: Where it is written, in the `model` part.
        shape: Shape of what it gives for one example.
        ingredients: What it is made of.
    """

    place: stack.Place
    shape: layer.Shape
    ingredients: tuple[Ingredient, ...]


def parts(cell: config.Recipe) -> tuple[Part, ...]:
    """Returns every layer of a cell whose network is a stack, in the order of the file; nothing of another family.

    Layers of a repeated block stand there once, but for those that give another shape the next time.
    """
    if not isinstance(cell.model, stack.Config):
        return ()
    facts = data.facts(cell.data)
    layers = stack.layers(cell.model, facts.shape, facts.classes)
    found = ingredients.of_layers(layers)
    rows = {row.path: row for row in stack.rows(cell.model, facts.shape, facts.classes)}
    made = (Part(rows[path].place, rows[path].shape, own) for path, own in found.items() if path in rows)
    return tuple(dict.fromkeys(made))


def says(layers: layer.Layers, inputs: layer.Shape, loss: config.Loss, optimizer: config.Optimizer) -> Theory:
    """Returns what is known of the map of a network; pure, and without jax.

    Args:
        layers: The network.
        inputs: Shape of one example.
        loss: The `loss` part of a cell: `name` and `weight_decay`.
        optimizer: The `optimizer` part of a cell: `name` and `learning_rate`.
    """
    found = ingredients.of(layers, loss, optimizer)
    one_piece, pieces = _pieces(found)
    known = bad_steps.of(layers, inputs, loss, one_piece=one_piece)
    if optimizers.OPTIMIZERS[optimizer.name].never_singular:
        known = bad_steps.Known((), (), FIXED_VOLUME)
    return Theory(covered(found), found, one_piece, pieces, *known, _remarks(optimizer))


def _pieces(found: Sequence[Ingredient]) -> tuple[bool, str]:
    """Returns whether a risk of these ingredients is one piece, and why, or why not."""
    breaks = [row.name for row in found if not row.analytic]
    if not breaks:
        return True, "the risk is analytic everywhere: one point with σ_min > 0 certifies the whole map (F3, ours)"
    said = f"analytic in pieces ({'; '.join(breaks)}): a point with σ_min > 0 certifies its own piece (F3, ours)"
    return False, said


def _remarks(optimizer: config.Optimizer) -> tuple[str, ...]:
    """Returns what must be kept in mind about runs with an optimizer."""
    return (
        *([MINIBATCH] if optimizer.batch_size else []),
        *([MOMENTUM] if optimizer.momentum is not None else []),
        *([] if isinstance(optimizer.learning_rate, int | float) else [ETA_LAMBDA]),
        *([] if _constant(optimizer) else [SCHEDULED]),
    )


def covered(found: Sequence[Ingredient]) -> Covered:
    """Returns what covers a map of these ingredients."""
    statuses = {row.status for row in found}
    one_piece = all(row.analytic for row in found)
    if "outside" in statuses:
        return "outside"
    if "extension F7" in statuses and not one_piece:
        return "extension F7"
    if "extension F11" in statuses:
        return "extension F11"
    return "proposition 11" if "extension F7" in statuses else "theorem 1"


def _constant(optimizer: config.Optimizer) -> bool:
    schedule = optimizer.schedule
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
        for at in (abs(used.values - known) <= tolerance * known).nonzero()[0]
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


def iterated(theory: Theory, optimizer: config.Optimizer, match: Match | None) -> str:
    """Says of the verdict on a run with mini-batches which map it is about; empty for a full batch.

    Args:
        theory: What is known of the cell.
        optimizer: The `optimizer` part of the cell.
        match: The bad step that was matched, if any.
    """
    if not optimizer.batch_size:
        return ""
    if match is not None and match.exact:
        return BAD_BATCHES
    return EVERY_BATCH if theory.complete else FULL_BATCH
