# SPDX-License-Identifier: Apache-2.0
"""The networks that are measured: an MLP, a VGG and a ViT on digits, some steps of gradient descent from their start.

Two sizes of each: `full`, at which times mean something, and `small`, at which all eigenvalues are known from the dense
float64 Hessian.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from harness import config as configs
from harness import data
from harness.curvature import dense, lanczos, operators
from harness.curvature import spectrum as spectra
from harness.risk import objective
from zoo import layer
from zoo import model as models

Size = Literal["full", "small"]

DENSE_UP_TO = 3000
"""Parameters up to which the reference is the dense float64 spectrum."""

TOP = 10
"""Largest eigenvalues that are asked for."""

ETA_LAMBDA = 1.5
"""The step size of a problem times its largest eigenvalue: 1/eta lies among the outliers, as it does in runs."""

CAPACITY = 320
"""Products that the reference run may take where the dense one is too large."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A network and its task.

    Attributes:
        fields: Its configuration, as in a spec.
        resize: Side of the images; None for the 8 pixels that digits have.
        examples: Number of examples where eigenvalues are asked for.
        steps: Steps of gradient descent from the start.
        rate: Their size.
    """

    fields: dict[str, Any]
    resize: int | None
    examples: int
    steps: int
    rate: float


def _small(family: str, examples: int, rate: float) -> Network:
    fields = {"family": family, **zoo.FAMILIES[family].settings["tiny"].fields}
    return Network(fields, None, examples, 60, rate)


NETWORKS: dict[Size, dict[str, Network]] = {
    "full": {
        "MLP": Network({"family": "mlp", "hidden": [128, 128], "activation": "relu"}, None, 1024, 300, 0.2),
        "VGG": Network(
            {"family": "vgg", "stages": [[16, 16], [32, 32]], "dense": [56], "activation": "relu"}, 28, 64, 60, 0.08
        ),
        "ViT": Network(
            {
                "family": "vit",
                "patch": 4,
                "width": 64,
                "depth": 4,
                "heads": 4,
                "mlp_width": 256,
                "activation": "gelu",
            },
            28,
            16,
            20,
            0.05,
        ),
    },
    "small": {"MLP": _small("mlp", 128, 0.2), "VGG": _small("vgg", 64, 0.2), "ViT": _small("vit", 64, 0.1)},
}


class Problem(NamedTuple):
    """A network with its data at a point.

    Attributes:
        name: MLP, VGG or ViT.
        network: Its row of NETWORKS.
        config: Its configuration.
        shape: Shape (H, W, C) of one input.
        model: The network as two functions.
        loss: The `loss` part of a spec: mean cross-entropy.
        goal: The objective, with the chunk that runs have.
        theta: (P,) float32: where it is measured.
        arrays: The data.
    """

    name: str
    network: Network
    config: Any
    shape: tuple[int, int, int]
    model: models.Model
    loss: configs.Loss
    goal: objective.Objective
    theta: np.ndarray
    arrays: data.Arrays

    def point(self, precision: str) -> tuple[jax.Array, objective.Batch]:
        """Returns the arguments of the risk in a precision."""
        batch = (self.arrays.x, self.arrays.targets, self.arrays.weights)
        return jnp.asarray(self.theta, precision), objective.Batch(*(jnp.asarray(part, precision) for part in batch))

    def at_once(self, chunk: int, *, keep: bool = False) -> objective.Objective:
        """Returns the objective with another number of examples at once; products may `keep` what layers leave."""
        return objective.objective(self.model, self.loss, chunk=chunk, keep=keep)

    def chunked(self, chunk: int, *, keep: bool = False) -> operators.Operator:
        """Returns the Hessian of `at_once`."""
        return operators.hessian(self.at_once(chunk, keep=keep).risk)

    @property
    def title(self) -> str:
        """What rows call it: `VGG, P = 104,802, N = 64`."""
        return f"{self.name}, P = {self.goal.size:,}, N = {len(self.arrays.weights):,}"


class Reference(NamedTuple):
    """What is taken as the truth.

    Attributes:
        method: `dense float64`, or `float64 Lanczos` and its residual.
        top: (TOP,) largest eigenvalues, decreasing.
        eta: The step size.
        nearest: The eigenvalue nearest 1 / eta.
        rank: How many eigenvalues are at least that.
    """

    method: str
    top: np.ndarray
    eta: float
    nearest: float
    rank: int


@functools.lru_cache(maxsize=8)
def problem(name: str, size: Size, examples: int | None = None) -> Problem:
    """Returns a problem, trained; with another number of examples at the same point, for products alone."""
    network = NETWORKS[size][name]
    if examples is not None and examples != network.examples:
        trained = problem(name, size)
        goal = _goal(trained.model, trained.loss, trained.config, trained.shape, examples)
        return trained._replace(arrays=_data(network, examples), goal=goal)
    made = untrained(name, size)
    start = made.goal.init(jax.random.key(0))
    return made._replace(theta=np.asarray(_descend(made._replace(theta=np.asarray(start)))))


@functools.lru_cache(maxsize=8)
def untrained(name: str, size: Size) -> Problem:
    """Returns a problem without a point; `_replace(theta=...)` gives it one."""
    network = NETWORKS[size][name]
    family = network.fields["family"]
    config = zoo.FAMILIES[family].config.model_validate(network.fields)
    arrays = _data(network, network.examples)
    shape = arrays.x.shape[1:]
    model = zoo.build(family, config, inputs=shape, outputs=10)
    loss = configs.Ce(name="ce")
    goal = _goal(model, loss, config, shape, network.examples)
    return Problem(name, network, config, shape, model, loss, goal, np.zeros(0, "float32"), arrays)


def _goal(
    model: models.Model, loss: configs.Loss, config: Any, shape: layer.Shape, examples: int
) -> objective.Objective:
    """Returns the objective with as many examples at once as runs have."""
    activity = layer.activity(zoo.FAMILIES[config.family].layers(config, shape, 10), shape)
    return objective.fitting(model, loss, activity, examples)


def _data(network: Network, examples: int) -> data.Arrays:
    return data.load(configs.Images(name="digits", examples=examples, resize=network.resize))


def _descend(made: Problem) -> jax.Array:
    """Returns theta after the network's steps of gradient descent, in float32."""

    @jax.jit
    def descend(theta: jax.Array, batch: objective.Batch) -> jax.Array:
        def step(_: int, theta: jax.Array) -> jax.Array:
            return theta - jnp.asarray(made.network.rate, theta.dtype) * jax.grad(made.goal.risk)(theta, batch)

        return jax.lax.fori_loop(0, made.network.steps, step, theta)

    return descend(*made.point("float32"))


@functools.lru_cache(maxsize=8)
def sharpness(name: str, size: Size) -> float:
    """Returns the largest eigenvalue at a problem's point, to 1e-6 by residual."""
    made = problem(name, size)
    program = lanczos.lanczos(operators.hessian(made.goal.risk), made.goal.size, capacity=80)
    close = 1e-6
    known, _, _ = lanczos.run(
        program,
        program.at(made.point("float64")),
        jax.random.key(98),
        lambda s: bool(s.errors[-1] <= close * s.values[-1]),
    )
    return float(known.values[-1])


@functools.lru_cache(maxsize=8)
def reference(name: str, size: Size) -> Reference:
    """Returns the truth about a problem's spectrum: dense float64 up to DENSE_UP_TO, else a long float64 run."""
    made = problem(name, size)
    operator = operators.hessian(made.goal.risk)
    point = made.point("float64")
    if made.goal.size <= DENSE_UP_TO:
        known = dense.spectrum(np.asarray(dense.matrix(operator, made.goal.size)(point)))
        method = "dense float64"
    else:
        program = lanczos.lanczos(operator, made.goal.size, capacity=CAPACITY)
        known, _, _ = lanczos.run(program, program.at(point), jax.random.key(99), _converged)
        method = f"float64 Lanczos, residuals {known.errors[-TOP:].max() / known.values[-TOP]:.0e}"
    values = known.values[::-1]
    eta = ETA_LAMBDA / float(values[0])
    place = int(np.abs(values - 1 / eta).argmin())
    return Reference(method, values[:TOP], eta, float(values[place]), place + 1)


def _converged(known: spectra.Spectrum) -> bool:
    """Says whether the TOP largest are known to 1e-7 of themselves by residual, and so to far less in value."""
    return len(known.values) >= 4 * TOP and bool(np.all(known.errors[-TOP:] <= 1e-7 * np.abs(known.values[-TOP:])))
