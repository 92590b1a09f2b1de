# SPDX-License-Identifier: Apache-2.0
"""PEERS: other programs that compute the largest eigenvalues of a Hessian, each as its documentation says.

A peer is asked for the k largest eigenvalues to a relative error. Each has two rows. In one it is used as somebody uses
it who does not know the answer: it is given that error as its tolerance or, where it takes a number of steps instead,
twice as many until its answers agree. In the other it is told what nobody knows beforehand: the cheapest of its
settings whose result is right, by the reference that only the bench has. Our run stops by its own error bars in both.
Peers are imported when they are asked, and need not be installed.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from harness.bench import problems, twins
from harness.curvature import operators


class Solved(NamedTuple):
    """Eigenvalues (k,), decreasing, and the number of products they cost."""

    values: np.ndarray
    products: int


Solve = Callable[[float], Solved]
"""From a setting (a tolerance, a number of steps) to eigenvalues; a peer's own set-up is in the call."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """One row of PEERS.

    Attributes:
        module: What is imported.
        torch: Whether it needs the twin.
        settings: From k to the settings that are tried, cheapest first.
        setting: What a setting is.
        solve: `(problem, k) -> Solve`.
    """

    module: str
    torch: bool
    settings: Callable[[int], tuple[float, ...]]
    setting: str
    solve: Callable[[problems.Problem, int], Solve]

    @property
    def told(self) -> bool:
        """Whether it is told which setting is enough."""
        return self.settings in (_tolerances, _steps)

    @property
    def installed(self) -> bool:
        """Whether it and what it stands on can be imported here."""
        modules = (self.module, "torch") if self.torch else (self.module,)
        return all(importlib.util.find_spec(module.partition(".")[0]) is not None for module in modules)


TO = 1e-4
"""Relative error that is asked for."""

MOST = 320
"""Steps beyond which `doubled` gives up."""


def _asked(_k: int) -> tuple[float, ...]:
    return (TO,)


def _agreements(_k: int) -> tuple[float, ...]:
    return TO, 0.1 * TO, 0.01 * TO


def _tolerances(_k: int) -> tuple[float, ...]:
    return 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6


def _steps(k: int) -> tuple[float, ...]:
    return tuple(range(k + 6, k + 31, 6)) + tuple(range(k + 40, k + 131, 20))


def _scipy(problem: problems.Problem, k: int) -> Solve:
    """Returns ARPACK around our compiled product."""
    operator = operators.hessian(problem.goal.risk)
    product = jax.jit(lambda point, v: operator(point)(v))
    point = problem.point("float32")
    return lambda tolerance: _arpack(lambda v: np.asarray(product(point, jnp.asarray(v))), problem, k, tolerance)


def _arpack(matvec: Callable[[np.ndarray], Any], problem: problems.Problem, k: int, tolerance: float) -> Solved:
    import scipy.sparse.linalg

    size = problem.goal.size
    count = 0

    def counted(v: np.ndarray) -> Any:
        nonlocal count
        count += 1
        return matvec(v.reshape(size).astype("float32"))

    operator = scipy.sparse.linalg.LinearOperator((size, size), counted, dtype="float32")
    start = np.random.default_rng(0).normal(size=size).astype("float32")
    values = scipy.sparse.linalg.eigsh(
        operator, k, which="LA", tol=tolerance, v0=start, return_eigenvectors=False, maxiter=1000, rng=0
    )
    return Solved(np.sort(values)[::-1], count)


def _curvlinops(problem: problems.Problem, k: int) -> Solve:
    import curvlinops

    made = twins.twin(problem, "float32")

    def solve(tolerance: float) -> Solved:
        operator = curvlinops.HessianLinearOperator(
            made.module, made.criterion, made.parameters, [(made.x, made.y)], check_deterministic=False
        ).to_scipy(dtype=np.float32)
        return _arpack(operator.matvec, problem, k, tolerance)

    return solve


def _eigenthings(problem: problems.Problem, k: int) -> Solve:
    import hessian_eigenthings as eigenthings

    made = twins.twin(problem, "float32")
    loss = eigenthings.supervised_loss(made.criterion)

    def solve(steps: float) -> Solved:
        operator = eigenthings.HessianOperator(made.module, [(made.x, made.y)], loss)
        found = eigenthings.lanczos(operator, k=k, max_iter=int(steps), which="LA", reorthogonalize=True, seed=0)
        return Solved(found.eigenvalues.numpy(), found.iterations)

    return solve


def _pyhessian(problem: problems.Problem, k: int) -> Solve:
    import torch

    module = importlib.import_module("pyhessian.hessian")  # a class of the package hides it by the same name

    made = twins.twin(problem, "float32")

    def solve(tolerance: float) -> Solved:
        torch.manual_seed(0)
        made.module.zero_grad()
        product = module.hessian_vector_product
        count = 0

        def counted(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            return product(*arguments)

        with mock.patch.object(module, "hessian_vector_product", counted), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's, of the graph that PyHessian keeps in .grad
            computed = module.hessian(made.module, made.criterion, data=(made.x, made.y), cuda=False)
            values, _ = computed.eigenvalues(maxIter=300, tol=tolerance, top_n=k)
        return Solved(np.sort(values)[::-1], count)

    return solve


def _matfree(problem: problems.Problem, k: int) -> Solve:
    from matfree import decomp, eig

    operator = operators.hessian(problem.goal.risk)
    point = problem.point("float32")
    start = jax.random.normal(jax.random.key(1), (problem.goal.size,), "float32")
    compiled: dict[float, Any] = {}

    def solve(steps: float) -> Solved:
        if steps not in compiled:
            decompose = eig.eigh_partial(decomp.tridiag_sym(int(steps), reortho="full", custom_vjp=False))

            @jax.jit
            def largest(point: Any, v: jax.Array) -> jax.Array:
                return decompose(operator(point), v)[0]

            compiled[steps] = largest
        return Solved(np.sort(np.asarray(compiled[steps](point, start)))[::-1][:k], int(steps))

    return solve


def doubled(solve: Solve, k: int) -> Solve:
    """Returns what a user does who is not told how many steps are enough: from 2k, twice as many, until answers agree.

    Its setting is the relative change of the k largest at which that stops. All runs count. With MOST steps it raises
    an ArithmeticError instead.
    """

    def until(tolerance: float) -> Solved:
        steps = 2 * k
        last = solve(steps)
        products = last.products
        while steps < MOST:
            steps *= 2
            found = solve(steps)
            products += found.products
            if np.max(np.abs(found.values / last.values - 1)) <= tolerance:
                return Solved(found.values, products)
            last = found
        raise ArithmeticError(f"answers of {steps // 2} and {steps} steps differ by more than {tolerance:g}")

    return until


def _doubling(peer: Callable[[problems.Problem, int], Solve]) -> Callable[[problems.Problem, int], Solve]:
    return lambda problem, k: doubled(peer(problem, k), k)


PEERS: dict[str, Peer] = {
    "scipy eigsh": Peer("scipy", False, _asked, "tol", _scipy),
    "scipy eigsh, told the tolerance": Peer("scipy", False, _tolerances, "tol", _scipy),
    "matfree, steps doubled": Peer("matfree", False, _agreements, "change", _doubling(_matfree)),
    "matfree, told the steps": Peer("matfree", False, _steps, "steps", _matfree),
    "PyHessian": Peer("pyhessian", True, _asked, "tol", _pyhessian),
    "PyHessian, told the tolerance": Peer("pyhessian", True, _tolerances, "tol", _pyhessian),
    "curvlinops + eigsh": Peer("curvlinops", True, _asked, "tol", _curvlinops),
    "curvlinops + eigsh, told the tolerance": Peer("curvlinops", True, _tolerances, "tol", _curvlinops),
    "hessian-eigenthings, steps doubled": Peer(
        "hessian_eigenthings", True, _agreements, "change", _doubling(_eigenthings)
    ),
    "hessian-eigenthings, told the steps": Peer("hessian_eigenthings", True, _steps, "steps", _eigenthings),
}
"""`pip install -e '.[bench]'` brings them."""
