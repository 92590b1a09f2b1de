# SPDX-License-Identifier: Apache-2.0
"""Observation: what one process finds at given points on its device, for others to be compared with, to the bit.

Of a network: its dense float64 spectrum, a Lanczos survey and the verdict of it at a small size, and STEPS steps of
gradient descent in float32 and float64. All is compiled anew, so that two processes agree without having shared a
program. What a TPU imitates is computed where runs compute it, on the host.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness import errors, workspace
from harness.bench import problems, steps
from harness.curvature import dense, operators, rounding, survey
from harness.curvature import spectrum as spectra
from harness.records import verdict
from harness.runtime import device, lapack, sharding
from harness.training import loop as loops
from harness.training import problem as training

STEPS = 40
"""Steps of training that are compared."""

SHARE = 16
"""Training is by a SHARE-th of a network's step size. At the whole, rounding grows until it is all that is seen: the
VGG's 40 steps in float32 end 1.1 of their way from those in float64, 0.46 with a quarter, 0.008 with a sixteenth."""

PRECISIONS = ("float32", "float64")

Found = Mapping[str, np.ndarray]
"""Arrays by what they are."""


class Points(NamedTuple):
    """Where a network is observed.

    Attributes:
        name: MLP, VGG or ViT.
        size: Which of its two sizes trains.
        theta: (P,) float32 of the small one, whose curvature is looked at there.
        start: (P,) float32 from which the other trains.
    """

    name: str
    size: problems.Size
    theta: np.ndarray
    start: np.ndarray


def points(name: str, size: problems.Size) -> Points:
    """Returns where this process begins to observe a network, and others with it."""
    start = problems.untrained(name, size).goal.init(jax.random.key(0))
    return Points(name, size, problems.problem(name, "small").theta, np.asarray(start))


def observe(at: Points) -> dict[str, np.ndarray]:
    """Returns what this process finds there: what `curvature` returns, and theta after training in each precision."""
    found = curvature(at.name, at.theta)
    for precision in PRECISIONS:
        with contextlib.suppress(errors.InputError):  # a device without that precision
            device.check(precision)
            found[precision] = trained(at, precision)
    return found


def curvature(name: str, theta: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the dense spectrum with its error bars, and the survey that runs make, at the small network's step size.

    `survey` holds the largest eigenvalue, sigma_min and its lower bound; `survey_errors` their error bars; `seconds`
    what the matrix and its eigenvalues took.
    """
    made = problems.untrained(name, "small")
    eta = made.network.rate
    point = (sharding.exact(jnp.asarray(theta)), training.batch(made.arrays, "float64"))
    operator, key = operators.hessian(made.goal.risk), jax.random.key(7)
    whole = dense.matrix(operator, made.goal.size)
    whole(point)
    times = [time.perf_counter()]
    matrix = np.asarray(whole(point))
    times.append(time.perf_counter())
    known = dense.spectrum(matrix)
    times.append(time.perf_counter())
    known = spectra.widened(known, rounding.frobenius(operator, made.goal.size)(point))
    seen = survey.surveyor(operator, made.goal.size, "lanczos").spectrum(point, eta, key)
    sigma, error = spectra.distance_from_one(seen, eta)
    lower, off = spectra.lower_bound(seen, eta), spectra.lower_error(seen, eta)
    return {
        "eigenvalues": known.values,
        "errors": known.errors,
        "survey": np.asarray([seen.values[-1], sigma, lower]),
        "survey_errors": np.asarray([seen.errors[-1], error, off]),
        "decided": np.asarray(verdict.apart(lower, off)),
        "seconds": np.diff(times),
    }


def trained(at: Points, precision: str) -> np.ndarray:
    """Returns theta (P,) after STEPS steps of gradient descent on all examples, by the loop that runs have."""
    made = problems.untrained(at.name, at.size)
    trainer = loops.trainer(made.goal.risk, steps.rule("gd", None), len(made.arrays.weights))
    thetas, etas = jnp.asarray(at.start, precision)[None], jnp.full(1, made.network.rate / SHARE, precision)
    begun = trainer.begin(thetas, etas, jnp.zeros(1, int))
    keys, batch = jax.random.split(jax.random.key(0), 1), training.batch(made.arrays, precision)
    return np.asarray(trainer.advance(begun, etas, keys, batch, STEPS).theta[0])


class Elsewhere:
    """Another process that observes a network at the same points, on a device that `--device` names."""

    def __init__(self, choice: str, at: Points, folder: pathlib.Path) -> None:
        """Begins it."""
        asked, self.answer, self.log = folder / f"{choice}.npz", folder / f"{choice}-found.npz", folder / choice
        np.savez(asked, theta=at.theta, start=at.start)
        command = [sys.executable, "-m", "harness.bench.observation", choice, at.name, at.size]
        command += [str(asked), str(self.answer)]
        # Beside this process on one GPU: no memory taken in advance. And no program of another process.
        alone = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "JAX_ENABLE_COMPILATION_CACHE": "false"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=workspace.CHECKOUT,
                env={**lapack.settings(), **os.environ, **alone},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def found(self, seconds: float) -> dict[str, np.ndarray] | str:
        """Returns what it found; a sentence where it failed, or is not done after so many seconds from now."""
        try:
            code = self.process.wait(max(seconds, 0.1))
        except subprocess.TimeoutExpired:
            return "the process on it was not done when time was short"
        finally:
            self.process.kill()
            self.process.wait()
        if code:
            last = (self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"])[-1]
            return f"the process on it failed: {last[:120]}"
        with np.load(self.answer) as found:
            return dict(found)


if __name__ == "__main__":
    choice, name, size, asked, answer = sys.argv[1:]
    device.configure(choice)
    with np.load(asked) as given:
        at = Points(name, "full" if size == "full" else "small", given["theta"], given["start"])
    np.savez(answer, **observe(at))  # type: ignore[arg-type]  # numpy's stub takes them for its options
