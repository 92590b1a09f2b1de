# SPDX-License-Identifier: Apache-2.0
"""Which layers eigenvectors live in: closed forms, the dense matrix, and what is not said of repeated eigenvalues."""

from __future__ import annotations

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.curvature import dense, eigenvectors, operators
from harness.curvature import spectrum as spectra
from harness.diagnostics import layers
from harness.records import layers as kept
from harness.records import run_folder
from harness.risk import layout
from harness.runs import run as runs
from tests import builders

LEAVES = (layout.Leaf("first/bias", (1,), 0), layout.Leaf("first/kernel", (1, 2), 1), layout.Leaf("last", (2,), 3))
NETS = {
    "mlp": {"model": builders.mlp(3, 2), "data": builders.classes()},
    "vit": {
        "model": {
            "family": "vit", "patch": 4, "width": 4, "depth": 1, "heads": 2, "mlp_width": 4, "activation": "gelu",
        },
        "data": builders.digits(12),
    },
}  # fmt: skip


def vectors(rows: list[list[float]], angles: list[float]) -> eigenvectors.Eigenvectors:
    return eigenvectors.Eigenvectors(jnp.asarray(rows), np.arange(3.0), np.array(angles), np.ones(3) + np.array(angles))


def test_the_share_of_a_layer_is_the_squared_norm_on_all_its_parameters() -> None:
    half = 0.5**0.5
    found = layers.of(vectors([[0.6, 0.8, 0, 0, 0], [0, 0, 0, 0, 1], [0, half, 0, half, 0]], [0.0, 0.01, 0.02]), LEAVES)
    assert found.names == ("first", "last")
    assert found.shares == pytest.approx(np.array([[1, 0], [0, 1], [0.5, 0.5]]), abs=1e-15)
    assert found.errors == pytest.approx([0, 0.01, 0.02])


def test_of_a_vector_that_is_not_known_nothing_is_said() -> None:
    found = layers.of(vectors(np.eye(5)[:3].tolist(), [0.0, 1.0, 2 * layers.KNOWN]), LEAVES)
    assert np.isfinite(found.shares).all(axis=1).tolist() == [True, False, False]


@pytest.mark.parametrize("curvature", ["dense", "lanczos"])
@pytest.mark.parametrize("net", NETS)
def test_shares_are_those_of_the_dense_matrix(net: str, curvature: str, home: pathlib.Path) -> None:
    ready = builders.problem(**NETS[net], curvature=curvature)
    theta = ready.objective.init(jax.random.key(1)).astype("float64")
    values, rows = np.linalg.eigh(
        np.asarray(dense.matrix(operators.hessian(ready.objective.risk), ready.size)((theta, ready.exact)))
    )
    eta = 1 / (0.9 * values[-1] + 0.1 * values[-2])
    found = layers.of(
        ready.surveyor.survey((theta, ready.exact), eta, jax.random.key(0), vectors=True).vectors,
        ready.objective.layout,
    )
    assert found.shares.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-12)
    for i, place in enumerate(spectra.named(values, eta)):
        for name, share in zip(found.names, found.shares[i], strict=True):
            of_layer = np.zeros(ready.size)
            for leaf in ready.objective.layout:
                if leaf.name.startswith(f"{name}/"):
                    of_layer[leaf.offset : leaf.offset + int(np.prod(leaf.shape))] = 1
            assert share == pytest.approx(of_layer @ rows[:, place] ** 2, abs=found.errors[i] + 1e-9)
    measured = builders.measured(ready, theta, eta, names=["layers"])
    assert measured["layer_share_largest"] == pytest.approx(found.shares[0].max(), abs=1e-9)
    assert measured["layer_share_error"] < 1e-2


def test_a_repeated_eigenvalue_has_no_share(home: pathlib.Path) -> None:
    ready = builders.problem(**builders.quadratic(2.0, 2.0, 1.0, -1.0), curvature="dense")
    found = builders.measured(ready, jnp.ones(4), 1.1, names=["layers"])
    assert np.isnan(found["layer_share_largest"])
    assert found["layer_share_least"] == found["layer_share_nearest"] == pytest.approx(1.0)


run = functools.partial(runs.run_seeds, seeds=[0], device="cpu", command="a test")


def test_a_run_keeps_a_line_a_step_and_goes_on_from_it(home: pathlib.Path) -> None:
    cell = builders.cell(diagnostics=["layers"], steps=4, checkpoints=3)
    (folder,) = run(cell)
    lines = (folder / "layers.jsonl").read_bytes()
    recorded, found = run_folder.read_records(folder), run_folder.read_layers(folder)
    assert [step for step, _ in found] == [record.step for record in recorded] == list(cell.checkpoint_steps)
    for record, (_, known) in zip(recorded, found, strict=True):
        assert record.values["layer_share_largest"] == known.shares[0].max()
        assert known.names == ("dense_0", "head")
    run_folder.append_layers(folder, 3, found[0][1])  # of a step whose record did not come to be
    run_folder.keep_records(folder, 4)
    run_folder.keep_records(folder, 2)
    assert [step for step, _ in run_folder.read_layers(folder)] == [0, 1]
    assert lines.startswith((folder / "layers.jsonl").read_bytes())
    run_folder.clear(folder)
    assert not (folder / "layers.jsonl").exists()


def test_a_line_comes_back_with_the_same_bits() -> None:
    known = kept.Layers(("a", "b"), np.array([0.1, -2.0, 3.0]), np.array([0.0, 1.0, 0.05]), np.array([[0.1, 0.9]] * 3))
    known.shares[1] = np.nan
    step, again = kept.load(kept.dump(7, known))
    assert (step, again.names) == (7, known.names)
    for one, other in zip(again[1:], known[1:], strict=True):
        assert np.array_equal(one, other, equal_nan=True)
