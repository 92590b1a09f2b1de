# SPDX-License-Identifier: Apache-2.0
"""docs/bundle.md is enough: a program that knows the page alone computes what bundles say, for every family.

The program is outsider.py, in NumPy and SciPy. Loss, gradient and all eigenvalues agree to rounding; the random keys,
which decide the examples of every step, to the bit.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import pathlib
import sys
from types import ModuleType

import jax
import numpy as np
import pytest

import zoo
from harness import config, data, specs, workspace
from harness.cli import thresholds
from harness.diagnostics import minibatches
from harness.risk import layout, losses
from harness.runs import keys, run
from harness.training import loop, optimizers
from harness.training import problem as problems
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import reading, submissions
from zoo import activations

PAGE = workspace.CHECKOUT / "docs" / "bundle.md"
SHIPPED = workspace.CHECKOUT / "leaderboard" / "submissions"
FILE = pathlib.Path(__file__).parent / "outsider.py"

LABELS = "{name: random_labels, examples: 6, shape: [5, 5, 2], classes: 3}"
SMALL = {
    "deep_linear": (
        "{name: linear_teacher, examples: 8, shape: [1, 1, 5], singular_values: [2.0, 0.5]}",
        "{family: deep_linear, hidden: [3]}",
        "{name: half_mse}",
    ),
    "resnet": (
        LABELS,
        "{family: resnet, channels: [2, 4], blocks: 1, activation: softplus, norm: group, groups: 2}",
        "{name: ce}",
    ),
    "mixer": (
        "{name: digits, examples: 8, standardise: false}",
        "{family: mixer, patch: 4, width: 4, depth: 1, tokens_width: 3, channels_width: 5, activation: gelu_tanh}",
        "{name: smoothed_ce, weight_decay: 0.01}",
    ),
    "paper_net": (
        "{name: points, x: [0.9, 2.5, -1.0], values: [0.9, 2.5, 0.1], weights: [1.0, 2.0, 0.5]}",
        "{family: paper_net, activation: silu}",
        "{name: half_mse}",
    ),
    "stack": (
        LABELS,
        "{family: stack, activation: silu, layers: [{convolution: 3, stride: 2}, activation, {residual: [{convolution:"
        " 2, side: 1, bias: false}, {norm: group, groups: 2}, {leaky_relu: 0.2}, {convolution: 4}], shortcut:"
        " [{convolution: 4, name: past}], scale: 0.5}, {pool: max}, tokens, class_token, {position: fixed},"
        " {residual: [{norm: layer}, {attention: 2, causal: true}]}, {mix_tokens: [{dense: 4}, gelu]}, {repeat: 2,"
        " layers: [{shared: cell, layers: [{dense: 4}, tanh]}, {image: [2, 2]}, {convolution: 4, depthwise: true,"
        " dilation: 2, name: deep}, tokens]}, {shared: cell}, last_token, {dense: outputs}]}",
        "{name: ce}",
    ),
    "sequences": (
        "{name: modular_addition, examples: 6, modulus: 3}",
        "{family: stack, activation: gelu, layers: [{embedding: 4, vocabulary: 4}, {position: learned}, {repeat: 2,"
        " layers: [{residual: [{norm: layer}, {attention: 2, causal: true}], name: attention}, {residual: [{norm:"
        " layer}, {dense: 4}, activation, {dense: 4}], name: mlp}]}, {norm: layer}, last_token, {dense: outputs}]}",
        "{name: ce}",
    ),
    "quadratic": ("{name: point}", "{family: quadratic, eigenvalues: [2.0, 1.0, -0.5]}", "{name: output}"),
    "curve": ("{name: point}", "{family: curve, function: plateaus}", "{name: output}"),
    "vgg": (
        LABELS.replace("3}", "3, targets: {planted: 5}}"),
        "{family: vgg, stages: [[2], [3]], dense: [4], activation: leaky_relu, pool: max, width: 1.5}",
        "{name: ce}",
    ),
    "vit": (
        "{name: gaussian_classes, examples: 6, shape: [4, 4, 1], classes: 3, separation: 1.0, seed: 2}",
        "{family: vit, patch: 2, width: 4, depth: 1, heads: 2, mlp_width: 5, activation: tanh, positions: fixed,"
        " pooling: class_token}",
        "{name: half_mse}",
    ),
}
"""Where no bundle is shipped, or more is to be seen than shipped ones show: odd images, planted targets, weights."""

SHOWN = ("mlp", "vgg", "vit")
"""Families of which bundles are shipped."""

pytestmark = pytest.mark.usefixtures("compiled_quickly")


def tier(family: str) -> list[pytest.MarkDecorator]:
    """Returns the mark of the tier of a family."""
    if family in SHOWN:
        return [pytest.mark.slow]
    return [pytest.mark.thorough] if family in ("resnet", "mixer") else []


@pytest.fixture(scope="module")
def outsider() -> ModuleType:
    spec = importlib.util.spec_from_file_location("outsider", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cell(family: str) -> config.Cell:
    part = dict(zip(("data", "model", "loss"), SMALL[family], strict=True))
    text = "\n".join(f"{key}: {value}" for key, value in part.items())
    text = f"schema: 1\ntitle: t\n{text}\noptimizer: {{name: gd, learning_rate: 0.1}}\nsteps: 1\ncheckpoints: 2\n"
    text += "seeds: 1\nprecision: float64\ncurvature: dense\ndiagnostics: [sharpness, singularity, gaps, critical]\n"
    return specs.parse(text, file="t.yaml", suite="t", name=f"t-{family.replace('_', '-')}").cells[0]


def test_every_family_has_a_bundle_here_and_the_program_knows_nothing_of_ours() -> None:
    shipped = {folder: _family(folder) for folder in SHIPPED.glob("*/*/")}
    assert {*shipped.values(), *SMALL} >= set(zoo.FAMILIES)
    names = {
        name.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(ast.parse(FILE.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, "numpy", "scipy", "sklearn"}


def _family(folder: pathlib.Path) -> str:
    return str(json.loads((folder / "seed-0" / "run.json").read_text())["cell"]["model"]["family"])


@pytest.mark.parametrize("family", [pytest.param(family, marks=tier(family)) for family in SMALL])
def test_all_eigenvalues_of_a_bundle_are_found_again(
    family: str, outsider: ModuleType, home: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    one = cell(family)
    files = bundles.make(one, run.run_seeds(one, [0], device="cpu", command=""), None)
    read = reading.parse(files)
    submissions.write(files, tmp_path / "b")
    problem = outsider.Problem(json.loads(files["seed-0/run.json"])["cell"])
    assert (
        problem.places == layout.plain(read.layouts[0]) == outsider.states(tmp_path / "b/seed-0/states.safetensors")[1]
    )
    planted = isinstance(problem.cell["data"].get("targets"), dict)
    room = 1e-5 if planted else 1e-11  # planted targets come from a float32 start, whose last bits are the machine's
    steps, before = [], None
    for step, said, values, theta in outsider.bundle(tmp_path / "b"):
        steps.append(step)
        if not planted:
            assert outsider.fingerprint(problem.x, problem.targets, problem.weights) == said["dataset"]["sha256"]
        if step == 0:
            start = outsider.split(outsider.seeded(0), 4)[0]
            np.testing.assert_allclose(problem.start(start), theta, rtol=0, atol=2e-6)
        risk, gradient = problem.risk(theta)
        scale = np.abs(read.spectra[0][step].values).max()
        assert risk.real == pytest.approx(values["loss"], rel=room, abs=room)
        assert np.linalg.norm(gradient.real) == pytest.approx(values["grad_norm"], rel=room, abs=room)
        found = problem.eigenvalues(theta)
        np.testing.assert_allclose(found, read.spectra[0][step].values, rtol=0, atol=room * scale)
        if before is not None:
            np.testing.assert_allclose(before, theta, rtol=0, atol=room)
        before = theta - said["eta"] * gradient.real
        kept = json.loads(files["seed-0/spectra.jsonl"].splitlines()[step])
        for name, number in says(np.array(kept["values"]), kept["errors"], values["eta"]).items():
            assert values[name] == pytest.approx(number, rel=1e-14), name
    assert steps == [0, 1]


def says(values: np.ndarray, error: float, eta: float) -> dict[str, float]:
    """What a record says of a spectrum, by the page's table of metrics."""
    scaled = eta * values
    return {
        "sharpness": values[-1],
        "lambda_min": values[0],
        "sharpness_error": error,
        "sigma_min": np.abs(1 - scaled).min(),
        "gap_above": (scaled[scaled > 1] - 1).min(initial=np.inf),
        "gap_below": (1 - scaled[scaled <= 1]).min(initial=np.inf),
        "log_abs_det": np.log(np.abs(1 - scaled)).sum(),
        "n_above_inv_eta": np.sum(values > 1 / eta),
        "n_above_two_inv_eta": np.sum(values > 2 / eta),
        "n_negative": np.sum(values < -error),
    }


def test_targets_are_planted_as_the_page_says(outsider: ModuleType) -> None:
    """To the rounding of a float32 start, whose last bits are the machine's."""
    for loss in ("half_mse", "ce"):
        text = (
            f"schema: 1\ntitle: t\ndata: {LABELS.replace('3}', '3, targets: {planted: 5}}')}\nloss: {{name: {loss}}}\n"
        )
        text += "model: {family: mlp, hidden: [3], activation: tanh, gain: 1.5}\n"
        text += "optimizer: {name: gd, learning_rate: 0.1}\nsteps: 1\nseeds: 1\n"
        one = specs.parse(text, file="t.yaml", suite="t", name="t").cells[0]
        np.testing.assert_allclose(
            outsider.Problem(one.resolved()).targets, problems.problem(one).arrays.targets, rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("family", SHOWN)
def test_shipped_bundles_are_found_again(family: str, outsider: ModuleType) -> None:
    """Of the smallest shipped bundle: loss, gradient and the largest eigenvalue at the start and at the end."""

    def cost(folder: pathlib.Path) -> tuple[int, str]:
        said = json.loads((folder / "seed-0" / "run.json").read_text())
        return said["parameters"] * said["examples"], folder.name

    folder = min((folder for folder in SHIPPED.glob("*/*/") if _family(folder) == family), key=cost)
    known = list(outsider.bundle(folder))
    problem = outsider.Problem(known[0][1]["cell"])
    assert outsider.fingerprint(problem.x, problem.targets, problem.weights) == known[0][1]["dataset"]["sha256"]
    np.testing.assert_allclose(problem.start(outsider.split(outsider.seeded(0), 4)[0]), known[0][3], rtol=0, atol=2e-6)
    for _, _, values, theta in (known[0], known[-1]):
        risk, gradient = problem.risk(theta)
        assert risk.real == pytest.approx(values["loss"], rel=1e-11)
        assert np.linalg.norm(gradient.real) == pytest.approx(values["grad_norm"], rel=1e-9)
        assert problem.largest(theta) == pytest.approx(values["sharpness"], rel=1e-9, abs=values["sharpness_error"])


@pytest.mark.parametrize("sampling", optimizers.SAMPLINGS)
def test_steps_see_the_examples_that_the_page_says(sampling: str, outsider: ModuleType) -> None:
    weights = np.array([1.0, 3.0, 0.5, 2.0, 1.0, 1.0, 4.0]) if sampling == "replacement" else np.ones(7)
    optimizer = {"batch_size": 3, "sampling": sampling}
    rule = optimizers.Rule("sgd", None, None, 0, 3, sampling)  # type: ignore[arg-type]
    whole = loop.objectives.Batch(*(jax.numpy.asarray(rows) for rows in (np.arange(7.0), np.zeros((7, 1)), weights)))
    for seed in (0, 3):
        draw = loop.drawing(rule, whole, keys.of_run(seed).batches, 7)
        for step in (0, 1, 2, 5, 1000):
            mine = outsider.batch({"optimizer": optimizer}, seed, step, weights)
            assert mine.tolist() == np.asarray(draw(jax.numpy.asarray(step)).x).astype(int).tolist()
    probes = minibatches.batches(rule, whole, 7)
    for i, probe in enumerate(probes):
        mine = outsider.drawn(optimizer, outsider.seeded(minibatches.KEY), i, weights)
        assert mine.tolist() == np.asarray(probe.x).astype(int).tolist()


def test_activations_of_the_page_are_those_of_the_zoo(outsider: ModuleType) -> None:
    x = np.concatenate([np.linspace(-4, 8, 49), [0.0, -1.0, 1.0, 6.0]])
    assert set(outsider.ACTIVATIONS) == set(activations.ACTIVATIONS)
    for name, (function, slope) in outsider.ACTIVATIONS.items():
        ours = activations.function(name)
        np.testing.assert_allclose(function(x + 0j).real, ours(jax.numpy.asarray(x)), rtol=1e-13, atol=1e-15)
        theirs = jax.vmap(jax.grad(lambda z, f=ours: f(z)))(jax.numpy.asarray(x))
        np.testing.assert_allclose(slope(x + 0j).real, theirs, rtol=1e-12, atol=1e-14, err_msg=name)


def test_the_page_has_the_thresholds_of_the_code() -> None:
    """`python -m harness.cli.thresholds` prints what stands at the end of the page; nobody writes a number by hand."""
    assert PAGE.read_text(encoding="utf-8").endswith("\n\n" + thresholds.table())
    known = {one.name: one.value for one in thresholds.collect()}
    assert {"records.verdict.MARGIN", "records.ends.GAP[float32]", "records.ends.FLAT", "curvature.logdet.CUT"} <= set(
        known
    )
    assert all(one.meaning for one in thresholds.collect()), "a number in capitals says nothing of itself"


def test_the_page_names_whatever_a_cell_may_have() -> None:
    text = PAGE.read_text(encoding="utf-8")
    tables = (zoo.FAMILIES, losses.LOSSES, data.DATASETS, optimizers.OPTIMIZERS, optimizers.SCHEDULES)
    names = [name for table in (*tables, optimizers.SAMPLINGS, activations.ACTIVATIONS) for name in table]
    assert [name for name in names if f"`{name}`" not in text] == []
    assert f"more than {layout.MOST} arrays" in text
    last = minibatches.BATCHES - 1
    assert f"the {last + 1} batches of steps 0 to {last} of the key of seed {minibatches.KEY}" in text
