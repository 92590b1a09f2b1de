# SPDX-License-Identifier: Apache-2.0
"""Bad step sizes that are known before anything is computed, from the layers and the loss alone.

A rule speaks only where its hypotheses can be read off the layer list; where none speaks, nothing is claimed. F3 to F13
and C1 to C6 are `theory.STATEMENTS`, with proofs in docs/theorems.md.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from harness import config
from harness.theory import origin
from zoo import activations, curve, layer


@dataclasses.dataclass(frozen=True)
class BadStep:
    """Step sizes known to be bad for one reason.

    Attributes:
        etas: The step sizes, largest first; at least one.
        where: On which set of parameters the map is degenerate, and why.
        source: Whose statement it is.
        eigenvalues: For each of them the eigenvalue of H whose inverse it is, exactly.
    """

    etas: tuple[float, ...]
    where: str
    source: str
    eigenvalues: tuple[Fraction, ...]

    @property
    def eta(self) -> float:
        """The largest of them."""
        return self.etas[0]

    @property
    def label(self) -> str:
        """The step sizes in a few characters: `1`, or `1, 0.02703, …, 0.003459 (9)`."""
        shown = [f"{eta:.4g}" for eta in self.etas]
        return ", ".join(shown) if len(shown) <= 3 else f"{shown[0]}, {shown[1]}, …, {shown[-1]} ({len(shown)})"

    def as_dict(self) -> dict[str, Any]:
        """Returns what goes into `run.json`."""
        return {
            "eta": self.etas[0],
            "least": self.etas[-1],
            "count": len(self.etas),
            "where": self.where,
            "source": self.source,
        }


@dataclasses.dataclass(frozen=True)
class Possible:
    """A step size that may be bad, and is not known to be.

    Attributes:
        eta: The step size.
        name: What it is in terms of the weight decay, `1/w`; empty for 1.
    """

    eta: float
    name: str = ""

    @property
    def label(self) -> str:
        """`1/w = 4`, or `1`."""
        return f"{self.name} = {self.eta:.4g}" if self.name else f"{self.eta:.4g}"


class Known(NamedTuple):
    """What is known of the bad step sizes of a map.

    Attributes:
        bad: Those that are known to be bad.
        possible: All others that may be bad; () if there are none, None if nothing bounds them.
        others: What is known of all others, in a sentence.
    """

    bad: tuple[BadStep, ...]
    possible: tuple[Possible, ...] | None
    others: str


def label(bad: Sequence[BadStep], possible: Sequence[Possible] | None) -> str:
    """Returns the list of bad step sizes in a few words, the same in the terminal and on the page.

    `exactly {1}`, `none`, `only 1/w = 4 possible`, `1; otherwise only 1/w = 4 possible`, `1 and maybe others`, `?`.
    """
    known, open_ = ", ".join(step.label for step in bad), ", ".join(step.label for step in possible or ())
    if possible is None:
        return f"{known} and maybe others" if known else "?"
    if open_:
        return f"{known}; otherwise only {open_} possible" if known else f"only {open_} possible"
    return f"exactly {{{known}}}" if known else "none"


def of(layers: layer.Layers, inputs: layer.Shape, loss: config.Loss, *, one_piece: bool) -> Known:
    """Returns the known bad steps, those that are possible besides, and a sentence about all others.

    Args:
        layers: The network.
        inputs: Shape of one example.
        loss: The `loss` part of a cell: `name` and `weight_decay`.
        one_piece: Whether the risk is analytic everywhere.
    """
    decay = float(loss.weight_decay)
    form = list(layers.values())[-1]
    if isinstance(form, layer.QuadraticForm) and loss.name == "output":
        where, others = (
            "everywhere: H is the same at every point",
            "H is the same at every point and its spectrum is given",
        )
        return Known(_given(form.eigenvalues, decay, where, "C1"), (), f"No other: {others}.")
    if isinstance(form, layer.Curve) and loss.name == "output":
        row = curve.CURVES[form.function]
        others = "between breakpoints H is constant, with these values, or analytic and not constant"
        return Known(_given(row.plateaus, decay, row.where, "C5, C6"), (), f"No other: {others}.")
    found: list[BadStep] = []
    if loss.name == "half_mse":
        found += _saturated(layers, inputs, decay)
    unseen = _unseen(layers, loss) if decay else None
    if unseen:
        found += _inverses([Fraction(decay)], f"{unseen}; there w = {decay:g} is an eigenvalue of H", "F10, ours")
    constant = _constant(layers, inputs, loss)
    if constant is not None:
        return _listed(tuple(found), *constant, decay)
    if _affine(layers) and loss.name == "half_mse":
        text = (
            "H is the same at every point: exactly the reciprocals of its positive eigenvalues are bad; the data decide"
        )
        return Known(tuple(found), None, f"{text} (C2).")
    return Known(tuple(found), None, elsewhere(one_piece=one_piece))


def elsewhere(*, one_piece: bool) -> str:
    """Returns what is known of all step sizes where no rule speaks, in a sentence."""
    text = "At most as many as there are parameters for each of finitely many patterns of pieces (F4, ours)"
    if one_piece:
        text = "At most as many as there are parameters: reciprocals of eigenvalues of H at any one point (F3, ours)"
    return f"{text}. Which, if any, is not known in advance."


def _listed(found: tuple[BadStep, ...], values: tuple[float, ...], why: str, decay: float) -> Known:
    """Returns what is known where the data term's H can have constant eigenvalues of given `values`, and 0, alone."""
    named = [(Fraction(value) + Fraction(decay), "1/(1+w)" if decay else "") for value in values]
    named += [(Fraction(decay), "1/w")] if decay else []
    candidates = [Possible(eta, name) for eigenvalue, name in named for eta in _inverse(eigenvalue)]
    bad = {eta for step in found for eta in step.etas}
    possible = tuple(one for one in candidates if one.eta not in bad)
    without = "Without decay no step size would be bad" if decay and not values else ""
    if possible:
        only = " or ".join(one.label for one in possible)
        first = f"Only {only} can be bad{' besides' if found else ''}, and whether it is is not known in advance"
        return Known(found, possible, f"{first}. {without or 'The reason'}: {why}.")
    if found:
        return Known(found, (), f"No other{': ' + without.lower() if without else ''}: {why}.")
    return Known(found, (), f"No step size is bad: {why}.")


def _given(values: Iterable[float], decay: float, where: str, source: str) -> tuple[BadStep, ...]:
    """Returns the bad steps of a risk that is written down, from its eigenvalues on sets of positive measure."""
    return _inverses([Fraction(value) + Fraction(decay) for value in values], where, source)


def _inverses(eigenvalues: Iterable[Fraction], where: str, source: str) -> tuple[BadStep, ...]:
    """Returns the inverses of the eigenvalues > 0 as one bad step, without those that are no float; none if none is."""
    kept = [(eta, value) for value in sorted(set(eigenvalues)) if value > 0 for eta in _inverse(value)]
    etas, values = (tuple(column) for column in zip(*kept, strict=True)) if kept else ((), ())
    return (BadStep(etas, where, source, values),) if kept else ()


def _inverse(value: Fraction) -> tuple[float, ...]:
    """Returns 1 / value as the nearest float; none where that would be infinite."""
    try:
        return (float(1 / value),)
    except OverflowError:
        return ()


def _saturated(layers: layer.Layers, inputs: layer.Shape, decay: float) -> Iterator[BadStep]:
    """Yields F6: the head is a dense layer and the last hidden layer can be made constant over all data.

    Between that layer's activation and the head only pools, means and a flattening may stand; they keep what is
    constant. Each channel can take any of the values at which the activation is flat, whatever the others do.
    """
    *body, head = layers.items()
    while body and isinstance(body[-1][1], layer.Flatten | layer.Mean | layer.Pool | layer.FirstToken):
        body.pop()
    if not body or not isinstance(head[1], layer.Dense):
        return
    values = _constants(list(dict(body).values()))
    if not values:
        return
    channels = layer.output(dict(body), inputs)[-1]
    features = layer.output(dict(list(layers.items())[:-1]), inputs)[-1]
    squares = [Fraction(value) ** 2 for value in values]
    low, high = min(squares), max(squares)
    counts = range(channels + 1 if high > low else 1)
    norms = [features * low + (high - low) * features / channels * count for count in counts]
    own = 1 if head[1].bias else 0
    curvatures = [own + norm + Fraction(decay) for norm in norms if own + norm > 0]
    if not curvatures:
        return
    places = " or ".join(f"{value:g}" for value in values)
    formula = f"{'1 + ' * head[1].bias}|c|²{' + w' * (decay > 0)}"
    where = f"where every unit of the last hidden layer is {places} for every example"
    yield from _inverses(
        curvatures,
        f"{where}: with c its outputs, {formula} is an eigenvalue of H there, once for each output of the network",
        "F6, ours",
    )


def _constants(before: list[layer.Layer]) -> tuple[float, ...]:
    """Returns the values that each unit of a list's last layer, an activation, can be made to take on all data at once.

    By a shift just before it, every flat part can be reached. Without one, a relu is dead wherever its weights are all
    negative, if what they are applied to are outputs of relu.
    """
    if len(before) < 2 or not isinstance(before[-1], layer.Activation):
        return ()
    flat = activations.row(before[-1].function).flat
    if _shifts(before[-2]):
        return flat
    if not isinstance(before[-2], layer.Dense | layer.Convolution):
        return ()
    below = [node for node in before[:-2] if not isinstance(node, layer.Flatten | layer.Mean | layer.Pool)]
    positive = bool(below) and isinstance(below[-1], layer.Activation) and _is_relu(below[-1])
    return (0.0,) if positive and _is_relu(before[-1]) else ()


def _is_relu(node: layer.Activation) -> bool:
    row = activations.row(node.function)
    return row.homogeneous and row.flat == (0.0,)


def _shifts(node: layer.Layer) -> bool:
    """Says whether a layer adds a parameter of its own to each channel of its output."""
    match node:
        case layer.Dense() | layer.Convolution():
            return node.bias
        case layer.LayerNorm() | layer.GroupNorm():
            return True
        case layer.Residual():
            return any(_shifts(list(branch.values())[-1]) for branch in (node.inner, node.shortcut) if branch)
    return False


def _unseen(layers: layer.Layers, loss: config.Loss) -> str | None:
    """Returns where the data term has a direction it does not see, so that only decay curves it; None if unknown."""
    if loss.name == "output" and _affine(layers):
        return "everywhere: the data term is linear in the parameters"
    if loss.name in ("ce", "smoothed_ce") and isinstance(list(layers.values())[-1], layer.Dense):
        return "everywhere: softmax does not see one vector added to the head's weights of every class"
    for branch in _branches(layers):
        for i, node in enumerate(branch):
            if isinstance(node, layer.Attention) and node.bias:
                return "everywhere: softmax attention does not see the bias of its keys"
            if isinstance(node, layer.Dense | layer.Convolution) and _read_by_norms(branch[i + 1 :]):
                return "everywhere: layer norms do not see one kernel added to every channel before them"
        for before, after in itertools.pairwise(branch):
            if isinstance(before, layer.Convolution) and before.bias and isinstance(after, layer.GroupNorm):
                return "everywhere: group norm does not see one number added to every channel before it"
            learned = isinstance(after, layer.Position) and after.learned
            if learned and (isinstance(before, layer.ClassToken) or (isinstance(before, layer.Dense) and before.bias)):
                return "everywhere: only the sum of the position code and what it is added to is seen"
    for branch in _branches(layers):
        if any(_constants(branch[:end]) for end in range(2, len(branch) + 1)):
            return "where a unit is constant for every example: the data term does not see what goes into it"
    return None


def _branches(layers: layer.Layers) -> Iterator[list[layer.Layer]]:
    """Yields the list of layers and those within residual sums and token mixers, each in its order."""
    yield list(layers.values())
    for node in layer.walk(layers):
        for name in ("inner", "shortcut"):
            if getattr(node, name, None):
                yield list(getattr(node, name).values())


def _read_by_norms(after: list[layer.Layer]) -> bool:
    """Says whether one number added to all channels of a position changes nothing, since only layer norms read it."""
    for node in after:
        if isinstance(node, layer.LayerNorm):
            return True
        if isinstance(node, layer.Residual) and not node.shortcut:
            if isinstance(next(iter(node.inner.values()), None), layer.LayerNorm):
                continue
            return False
        if not isinstance(node, layer.Position | layer.ClassToken | layer.FirstToken | layer.Mean | layer.AveragePool):
            return False
    return False


def _constant(layers: layer.Layers, inputs: layer.Shape, loss: config.Loss) -> tuple[tuple[float, ...], str] | None:
    """Returns which eigenvalues but 0 the data term's H can have on a set of positive measure, and why no others.

    None where that is not known. Weight decay w adds w to each of them, and to 0.
    """
    order, homogeneous = origin.degree(layers)
    if order >= 3 and origin.defined(layers):
        how = f"is positively homogeneous of degree {order}" if homogeneous else "vanishes to third order at θ = 0"
        return (), f"on each pattern the network {how}, so H is 0 there (F5, ours)"
    if _affine(layers) and loss.name == "output":
        return (), "H = 0 everywhere"
    if _affine(layers) and loss.name in ("ce", "smoothed_ce"):
        return (), "the risk is analytic everywhere, and H vanishes far out, where softmax saturates (ours)"
    if loss.name == "half_mse" and order == 2 and homogeneous and _is_chain(layers, inputs):
        return (), (
            "on a piece f = c θ₁ θ₂ x, and det(I - ηH) has the term -ηA θ₁², A the mean of (c x)²; where A = 0, "
            "H = 0 (C3, ours)"
        )
    return origin.constant(layers, inputs, loss.name)


def _is_chain(layers: layer.Layers, inputs: layer.Shape) -> bool:
    """Says whether one number goes through dense layers of one unit and activations, and nothing else."""
    scalar = layer.Flatten | layer.Dense | layer.Activation
    nodes = list(layers.values())
    narrow = all(node.features == 1 and not node.bias for node in nodes if isinstance(node, layer.Dense))
    return math.prod(inputs) == 1 and narrow and all(isinstance(node, scalar) for node in nodes)


def _affine(layers: layer.Layers) -> bool:
    """Says whether outputs are linear in theta: a dense head, nothing but rearrangements and means before it."""
    *body, head = layers.values()
    plain = layer.Flatten | layer.Mean | layer.AveragePool | layer.Patches | layer.FirstToken
    return isinstance(head, layer.Dense) and all(isinstance(node, plain) for node in body)
