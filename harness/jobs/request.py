# SPDX-License-Identifier: Apache-2.0
"""What a verifier's process is asked to compute again: `request.json`, and the states of the bundle beside it."""

from __future__ import annotations

import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness import config
from harness.jobs import task
from harness.records import tensors
from harness.training import problem
from zoo import code

States = dict[int, dict[int, dict[str, np.ndarray]]]
"""By seed and step the arrays of a saved state."""


class ClaimedRun(NamedTuple):
    """What is claimed of one run, as far as it is needed to compute it again.

    Attributes:
        seed: Its seed.
        eta: Its step size.
        together: The seeds that it ran beside, itself among them.
        steps: The checkpoint steps that it recorded.
        traced: Those of which a state was handed in, and whose trace points are to be checked.
        proven: Those among the first and the last of them at which Lanczos proved a lower bound of sigma_min.
        reached: Whether the last of them was at its target.
        diverged: Whether it diverged.
    """

    seed: int
    eta: float
    together: tuple[int, ...]
    steps: tuple[int, ...]
    traced: tuple[int, ...]
    proven: tuple[int, ...]
    reached: bool
    diverged: bool


class Request(NamedTuple):
    """What is to be done.

    Attributes:
        cell: The cell.
        runs: By seed.
        states: By seed and step the arrays that were handed in.
        whole: Whether runs are repeated from their seeds.
        segments: Pairs of steps with a state between which the steps are made again.
        canary: The bundle's.
        profiles: Those of its runs.
        drawn: A number that random keys are made from which the runs did not use.
        exact: Whether bits are expected to come again here.
    """

    cell: config.Cell
    runs: dict[int, ClaimedRun]
    states: States
    whole: bool
    segments: tuple[tuple[int, int], ...]
    canary: str | None
    profiles: list[dict[str, Any]]
    drawn: int
    exact: bool = False


def read(folder: pathlib.Path, plain: dict[str, Any]) -> Request:
    """Returns the request that `request.json` holds, with the states of `seed-N.safetensors` beside it.

    Raises:
        ValueError: An array is not one of a run of this cell, or the cell's network or data are somebody's own.
    """
    cell = task.load(plain["task"]).cell
    if isinstance(cell.model, code.Config):
        raise ValueError("the network is code of somebody's own, and none of a bundle is run")
    if isinstance(cell.data, config.File):
        raise ValueError("the data are a file of somebody's own, and no file is read that a bundle names")
    lists = ("together", "steps", "traced", "proven")
    runs = {one["seed"]: ClaimedRun(**{**one, **{name: tuple(one[name]) for name in lists}}) for one in plain["runs"]}
    states: States = {}
    for seed in runs:
        file = folder / f"seed-{seed}.safetensors"
        if file.exists():
            name = f"seed-{seed}/states.safetensors"
            states[seed] = tensors.states(tensors.load(file.read_bytes(), name), name)
    segments = tuple((a, b) for a, b in plain["segments"])
    return Request(cell, runs, states, plain["whole"], segments, plain["canary"], plain["profiles"], plain["drawn"])


def check_states(states: dict[int, dict[str, np.ndarray]], ready: problem.Problem) -> None:
    """Makes sure that states are of this problem: names, types and shapes.

    Raises:
        ValueError: They are not.
    """
    theta = np.zeros((1, ready.objective.size), ready.batch.x.dtype)
    begun = ready.trainer.begin(jnp.asarray(theta), jnp.ones(1, theta.dtype), jnp.zeros(1, int))
    wanted = {"theta": theta[0]}
    for place, leaf in enumerate(jax.tree.leaves(begun.optimizer)):
        wanted[f"optimizer_{place}"] = np.array(leaf)[0]
    for step, arrays in states.items():
        if set(arrays) != set(wanted):
            raise ValueError(
                f"the state at step {step} holds {sorted(arrays)}, and one of this configuration {sorted(wanted)}"
            )
        for name, like in wanted.items():
            if (arrays[name].dtype, arrays[name].shape) != (like.dtype, like.shape):
                raise ValueError(
                    f"the state at step {step} has {name} of type {arrays[name].dtype} and shape {arrays[name].shape}; "
                    f"allowed: {like.dtype}, {like.shape}"
                )
