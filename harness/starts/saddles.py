# SPDX-License-Identifier: Apache-2.0
"""Saddles with a known spectrum, planted in a network of any size (mathematics, section 5); and planted minima.

`head_saddle`: a closed point (closed_point.py) whose constant output c is optimal, so that the gradient is 0; what lies
below is drawn. `origin`: the same with zeros below. `deep_linear_saddle`: the k strongest directions of the regression,
balanced between the matrices. `zero_unit_saddle`: no unit of the last hidden layer reaches the outputs, and each stands
where nothing pulls it there, off its kink; for ReLU, at whose zero a head saddle would lie on a kink. In a transformer
the unit is an attention head: a critical point of the network without it, with the head put where nothing pulls it.
`split_saddle`: a critical point of the network with one unit less, one unit of which is split in two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

import zoo
from harness import config, errors
from harness.risk import losses, objective
from harness.starts import closed_point, heads
from zoo import activations, deep_linear, layer, mlp, model
from zoo import layers as builders

TRIES = 200
"""Starts from which the weights of one unit are looked for, at most."""

SEARCHED = 600
"""Most parameters of a network whose critical points are looked for."""

NEWTON = 1000
"""Newton steps towards one, at most."""

LARGEST = 1e14
"""Damping beyond which a step is none."""


class Saddle(NamedTuple):
    """A critical point and what is known of H there before it is measured; of a planted minimum nothing.

    Attributes:
        theta: (P,) float64.
        least: Least eigenvalue, or what it is at most; NaN where nothing is known.
        exact: Whether `least` is it.
        negative: Number of negative eigenvalues; NaN where it is not known.
        radius: Of the `start`: a run has left once it is so far away in the steepest negative directions.
    """

    theta: jax.Array
    least: float
    exact: bool
    negative: float
    radius: float = math.nan


class Setting(NamedTuple):
    """What a saddle is planted in.

    Attributes:
        data: The `data` part of the cell.
        model: Its `model` part.
        loss: Its `loss` part.
        layers: The network.
        inputs: Shape of one example.
        objective: Its risk.
        batch: The training set, float64.
    """

    data: config.Data
    model: config.Model
    loss: config.Loss
    layers: layer.Layers
    inputs: layer.Shape
    objective: objective.Objective
    batch: objective.Batch


def planted(start: config.Start, place: Setting) -> Saddle:
    """Returns the point of a spec's `start` that is planted, for which starts.refusal has nothing to say.

    Raises:
        errors.InputError: If none is found.
        FloatingPointError: If something is not finite.
    """
    match start:
        case config.PlantedMinimum():
            return minimum(place)
        case config.HeadSaddle() | config.Origin():
            made = _head(start, place)
        case config.DeepLinearSaddle():
            made = _deep_linear(start, place)
        case config.ZeroUnitSaddle():
            made = (_zero_units if heads.units(place.layers) else _zero_attention)(start, place)
        case config.SplitSaddle():
            made = _split(start, place)
        case _:
            raise ValueError(f"{start.name} is planted nowhere")
    if not np.isfinite(np.asarray(made.theta)).all():
        raise FloatingPointError("a saddle is not finite")
    return made._replace(radius=start.radius)


def minimum(place: Setting) -> Saddle:
    """Returns the parameters that the planted targets of a data set come from: a global minimum."""
    assert isinstance(place.data.targets, config.Planted)
    theta = place.objective.init(jax.random.key(place.data.targets.planted)).astype("float64")
    return Saddle(theta, math.nan, False, math.nan)


def optimal(loss: config.Loss, batch: objective.Batch) -> np.ndarray:
    """Returns the constant output (K,) of least risk: the mean target, or the logarithm of the mean probability."""
    weights = np.asarray(batch.weights)
    mean = np.asarray(weights @ np.asarray(batch.targets)) / weights.sum()
    if loss.name == "half_mse":
        return mean
    a = losses.smoothing(loss)
    shares = (1 - a) * mean + a / len(mean)
    if not (shares > 0).all():
        raise errors.InputError("start: a class without examples has no finite optimal output; use smoothed_ce")
    return np.asarray(np.log(shares) - np.log(shares).mean())


def flat(params: Any) -> jax.Array:
    """Returns the parameters of a network as one vector, in the order of harness.risk.objective."""
    return jnp.concatenate([jnp.asarray(leaf, "float64").ravel() for leaf in jax.tree.leaves(params)])


def _head(start: config.HeadSaddle | config.Origin, place: Setting) -> Saddle:
    head, missing = heads.find(place.layers)
    assert head is not None, missing
    outer = place.layers[head.outer]
    best = tuple(optimal(place.loss, place.batch).tolist()) if getattr(outer, "bias", False) else ()
    bare, seed = (True, 0) if isinstance(start, config.Origin) else (False, start.seed)
    at = closed_point.ClosedPoint(seed, c=best, bare=bare)
    known = closed_point.eigenvalues(head, place.inputs, place.loss, place.batch, at)
    paired = known.paired if known.times else np.zeros(0)
    values = np.concatenate([known.single, -paired, np.zeros(1)])
    negative = np.sum(known.single < -known.error) + known.times * np.sum(paired > known.error)
    least = min(float(values.min()), 0.0)
    params = closed_point.params(head, place.inputs, place.batch.targets.shape[-1], at)
    return Saddle(flat(params), 0.0 if least > -known.error else least, True, float(negative))


def _deep_linear(start: config.DeepLinearSaddle, place: Setting) -> Saddle:
    """The best map of rank k, W_D...W_1 = U_k U_k'B, with B the regression and U_k its k strongest directions."""
    weights = np.asarray(place.batch.weights / jnp.sum(place.batch.weights))
    x = np.asarray(place.batch.x).reshape(len(weights), -1)
    y = np.asarray(place.batch.targets)
    squares, cross = (x.T * weights) @ x, (y.T * weights) @ x
    best = np.linalg.lstsq(squares, cross.T)[0].T
    strengths, directions = scipy.linalg.eigh(best @ squares @ best.T)
    chosen = directions[:, ::-1][:, : start.rank]
    left, values, right = np.linalg.svd(chosen @ chosen.T @ best, full_matrices=False)
    left, values, right = left[:, : start.rank], values[: start.rank], right[: start.rank]
    assert isinstance(place.model, deep_linear.Config)
    depth = len(place.model.hidden) + 1
    root = np.diag(values ** (1 / depth))
    shapes = jax.eval_shape(zoo_model(place).init, jax.random.key(0))
    params: Any = jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes)
    names = [*(f"dense_{i}" for i in range(depth - 1)), "head"]
    for i, name in enumerate(names):
        before = right.T if i == 0 else np.eye(start.rank)
        after = left.T if i == depth - 1 else np.eye(start.rank)
        block = before @ root @ after
        params[name]["kernel"][: block.shape[0], : block.shape[1]] = block
    white = np.abs(squares - np.eye(len(squares))).max() < 1e-10
    if depth > 2:  # what is missing needs two layers, and no path between them is left (Kawaguchi, NeurIPS 2016)
        return Saddle(flat(params), 0.0, white, 0.0 if white else math.nan)
    missing = np.sqrt(np.maximum(strengths[::-1][start.rank :], 0))
    missing = missing[missing > 1e-12]
    free = place.model.hidden[0] - start.rank
    least = -float(missing[0]) if len(missing) and free else 0.0
    return Saddle(flat(params), least if white else math.nan, white, float(len(missing) * free) if white else math.nan)


def zoo_model(place: Setting) -> model.Model:
    """Returns the network of a place."""
    return model.from_module(lambda rngs: builders.network(place.layers, place.inputs, rngs))


def _zero_units(start: config.ZeroUnitSaddle, place: Setting) -> Saddle:
    """Looks for the weights of each unit, from random ones, by least squares of what would pull it to the outputs."""
    found = heads.units(place.layers)
    assert found is not None
    network, loss, batch = zoo_model(place), place.loss, place.batch
    params = jax.tree.map(lambda leaf: np.asarray(leaf, "float64"), network.init(jax.random.key(start.seed)))
    outer = place.layers[found.outer]
    assert isinstance(outer, layer.Dense)
    c = jnp.asarray(optimal(loss, batch)) if outer.bias else jnp.zeros(batch.targets.shape[-1])
    below = model.from_module(lambda rngs: builders.network(found.body, place.inputs, rngs))
    middle = layer.output(found.body, place.inputs)
    unit = model.from_module(lambda rngs: builders.network(found.tail, middle, rngs))
    h = jax.jit(below.apply)({name: params[name] for name in found.body if name in params}, batch.x)
    weights = batch.weights / jnp.sum(batch.weights)
    gradients = weights[:, None] * jax.vmap(jax.grad(lambda f, y: closed_point.of_one(loss, f, y)), (None, 0))(
        c, batch.targets
    )
    bent = jnp.diagonal(jax.hessian(lambda f: closed_point.of_one(loss, f, batch.targets[0]))(c))
    shape = jax.eval_shape(unit.init, jax.random.key(0))
    unflatten = objective.flattening(shape)
    size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shape))

    @jax.jit
    def features(w: jax.Array) -> jax.Array:
        return unit.apply(unflatten(w), h).reshape(len(h), -1)

    def pulls(w: jax.Array) -> jax.Array:
        return jnp.einsum("nq,nk->qk", features(w), gradients).ravel()

    pull, slope = jax.jit(pulls), jax.jit(jax.jacfwd(pulls))
    own = params[found.inner]
    units = jax.tree.leaves(own)[0].shape[-1]
    drawn = np.random.default_rng([start.seed, 5])
    least = 0.0
    rows = []
    for _ in range(units):
        w = _unpulled(pull, slope, size, drawn)
        v = np.asarray(slope(w))  # (Q K, size): how the pulls change
        squares = np.asarray(jnp.einsum("n,nq,k->qk", weights, features(w) ** 2, bent)).ravel()
        norms = np.sum(v**2, axis=1)
        least = min(least, float(np.min((squares - np.sqrt(squares**2 + 4 * norms)) / 2)))
        rows.append(unflatten(jnp.asarray(w)))
    made = jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves], axis=-1), *rows)
    params[found.inner] = made[found.inner]
    params[found.outer] = jax.tree.map(np.zeros_like, params[found.outer])
    if outer.bias:
        params[found.outer]["bias"] = np.asarray(c)
    return Saddle(flat(params), least, False, math.nan)


def _unpulled(
    pull: Callable[[Any], jax.Array], slope: Callable[[Any], jax.Array], size: int, drawn: np.random.Generator
) -> np.ndarray:
    """Returns weights of a unit at which no output pulls it, and near which some does.

    Raises:
        errors.InputError: If none is found.
    """
    from scipy import optimize  # a fifth of a second, at every start of a worker

    for _ in range(TRIES):
        start = drawn.standard_normal(size) / math.sqrt(size)
        found = optimize.least_squares(
            lambda w: np.asarray(pull(w)), start, lambda w: np.asarray(slope(w)), xtol=None, ftol=None, gtol=1e-15
        ).x
        for _ in range(3):  # least norm steps: rounding is all that is left
            found = found - np.linalg.lstsq(np.asarray(slope(found)), np.asarray(pull(found)))[0]
        reach = float(np.linalg.norm(np.asarray(slope(found))))
        if reach > 1e-3 and np.linalg.norm(np.asarray(pull(found))) < 1e-14 * reach * np.linalg.norm(found):
            return np.asarray(found)
    raise errors.InputError(
        "start: zero_unit_saddle: no unit was found that no output pulls; it needs more inputs to a unit of the last "
        "hidden layer than outputs"
    )


def _zero_attention(start: config.ZeroUnitSaddle, place: Setting) -> Saddle:
    """Silences the last attention head where the rest of the network is critical, and puts it where nothing pulls it.

    With the head's output weights W_O at 0 nothing depends on its queries, keys and values w, and the gradient in W_O
    is the pull r(w). Where r(w) = 0, each entry of W_O and w span a block [[c, v'], [v, 0]] of the Hessian, c the
    second derivative in the entry and v the derivative of its pull in w.
    """
    goal, batch = place.objective, place.batch
    unflatten = objective.flattening(jax.eval_shape(zoo_model(place).init, jax.random.key(0)))
    order = unflatten(jnp.arange(goal.size, dtype="float64"))
    for name in heads.attention(place.layers):
        order = order[name]
    out = np.asarray(order["out"]["kernel"])[-1].astype(int).ravel()
    own = [np.asarray(leaf)[..., -1, :].astype(int).ravel() for leaf in jax.tree.leaves({**order, "out": {}})]
    inner = np.concatenate(own)
    rest = np.setdiff1d(np.arange(goal.size), np.concatenate([out, inner]))
    theta = goal.init(jax.random.key(start.seed)).astype("float64").at[out].set(0)
    found = _critical(lambda part, batch: goal.risk(theta.at[rest].set(part), batch), theta[rest], start, batch)
    theta = theta.at[rest].set(found)

    def pulls(w: jax.Array) -> jax.Array:
        return jax.grad(goal.risk)(theta.at[inner].set(w), batch)[out]

    pull, slope = jax.jit(pulls), jax.jit(jax.jacfwd(pulls))
    w = _unpulled(pull, slope, len(inner), np.random.default_rng([start.seed, 5]))
    theta = theta.at[inner].set(w)
    bent = jax.jit(jax.hessian(lambda o: goal.risk(theta.at[out].set(o), batch)))(theta[out])
    c, reach = np.diagonal(np.asarray(bent)), np.sum(np.asarray(slope(w)) ** 2, axis=1)
    return Saddle(theta, float(np.min((c - np.sqrt(c**2 + 4 * reach)) / 2)), False, math.nan)


def _split(start: config.SplitSaddle, place: Setting) -> Saddle:
    """Splits that unit of the last hidden layer of a critical narrower network whose splitting bends the risk most."""
    assert isinstance(place.model, mlp.Config)
    hidden = (*place.model.hidden[:-1], place.model.hidden[-1] - 1)
    fields = place.model.model_copy(update={"hidden": hidden})
    outputs = place.batch.targets.shape[-1]
    network = zoo.build(fields.family, fields, inputs=place.inputs, outputs=outputs)
    goal = objective.objective(network, place.loss)
    theta = _critical(goal.risk, goal.init(jax.random.key(start.seed)), start, place.batch)
    unflatten = objective.flattening(jax.eval_shape(network.init, jax.random.key(0)))
    params = jax.tree.map(np.asarray, unflatten(jnp.asarray(theta)))
    inner = f"dense_{len(hidden) - 1}"
    curvatures = _split_curvatures(params, inner, place, start.share)
    unit, least = int(np.argmin(curvatures)), min(float(np.min(curvatures)), 0.0)
    params[inner] = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf[..., [unit]]], axis=-1), params[inner])
    out = params["head"]["kernel"]
    shared = np.concatenate([out, (1 - start.share) * out[[unit]]])
    shared[unit] *= start.share
    params["head"] = {**params["head"], "kernel": shared}
    return Saddle(flat(params), least, False, math.nan)


def _critical(
    risk: Callable[[jax.Array, objective.Batch], jax.Array],
    theta: jax.Array,
    start: config.SplitSaddle | config.ZeroUnitSaddle,
    batch: objective.Batch,
) -> np.ndarray:
    """Returns a critical point of a risk downhill from theta (P,): damped saddle-free Newton, then Newton to rounding.

    Steps divide by |lambda| + damping in the eigenvectors of the Hessian (Dauphin et al., NeurIPS 2014). Scipy's
    trust-exact creeps where the Hessian is both indefinite and ill-conditioned, where these steps go on to rounding.

    Raises:
        errors.InputError: If P is too large, or none is found that leaves something unfitted.
    """
    if theta.size > SEARCHED:
        raise errors.InputError(
            f"start: {start.name} looks for a critical point of a network with {theta.size:,} parameters; allowed: at "
            f"most {SEARCHED}"
        )
    value = jax.jit(risk)
    gradient, hessian = jax.jit(jax.grad(risk)), jax.jit(jax.hessian(risk))
    found, damping, at = np.asarray(theta, "float64"), 1.0, float(value(theta, batch))
    for _ in range(NEWTON):
        g = np.asarray(gradient(found, batch))
        if np.linalg.norm(g) < 1e-11:
            break
        curvatures, basis = np.linalg.eigh(np.asarray(hessian(found, batch)))
        tried, least = found, math.inf
        while not least <= at * (1 + 1e-15) and damping < LARGEST:  # and where it is not a number
            damping *= 4
            tried = found - basis @ (basis.T @ g / (np.abs(curvatures) + damping))
            least = float(value(tried, batch))
        if damping >= LARGEST:
            break  # nothing downhill is left that rounding lets through
        found, at, damping = tried, least, max(damping / 16, 1e-14)
    left = float(np.linalg.norm(np.asarray(gradient(found, batch))))
    for _ in range(20):
        g, h = np.asarray(gradient(found, batch)), np.asarray(hessian(found, batch))
        tried = found - np.linalg.lstsq(h, g, 1e-13)[0]
        smaller = float(np.linalg.norm(np.asarray(gradient(tried, batch))))
        if not smaller < left:
            break
        found, left = tried, smaller
    at = float(value(found, batch))
    if not left < 1e-10 or at < 1e-8:
        raise errors.InputError(
            f"start: {start.name}: the smaller network has no critical point to start from, from seed {start.seed} "
            f"(gradient {left:.1e}, risk {at:.1e}); allowed: one that does not fit every example; try another seed"
        )
    return np.asarray(found)


def _split_curvatures(params: Any, inner: str, place: Setting, share: float) -> np.ndarray:
    """Returns for each unit gamma (1 - gamma) u'(aS)u / ((1 - gamma)^2 + gamma^2) at its least over unit vectors u.

    With z the unit's preactivations, a its outgoing weights and g_i the gradient of the loss of example i in its
    outputs, aS is the mean of (a . g_i) phi''(z_i) [h_i; 1] [h_i; 1]'.
    """
    names = list(place.layers)
    body = {name: place.layers[name] for name in names[: names.index(inner)]}
    below = model.from_module(lambda rngs: builders.network(body, place.inputs, rngs))
    h = jax.jit(below.apply)({name: params[name] for name in body if name in params}, place.batch.x)
    ends = jnp.concatenate([h, jnp.ones((len(h), 1))], axis=1) if "bias" in params[inner] else h
    bias, last = (params[name].get("bias", np.zeros(1))[None] for name in (inner, "head"))
    assert isinstance(place.model, mlp.Config)
    phi = activations.function(place.model.activation)
    out = params["head"]["kernel"]
    z = h @ params[inner]["kernel"] + bias
    weights = place.batch.weights / jnp.sum(place.batch.weights)
    pulls = jax.vmap(jax.grad(lambda f, y: closed_point.of_one(place.loss, f, y)))(
        phi(z) @ out + last, place.batch.targets
    )
    bend = jax.vmap(jax.vmap(jax.grad(jax.grad(lambda z: phi(z)))))(z)
    matrices = jnp.einsum("n,nj,nk,jk,na,nb->jab", weights, bend, pulls, out, ends, ends)
    edges = np.linalg.eigvalsh(np.asarray(matrices))[:, [0, -1]]
    factor = share * (1 - share) / ((1 - share) ** 2 + share**2)
    return np.asarray((factor * edges).min(axis=1))
