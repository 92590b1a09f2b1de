# SPDX-License-Identifier: Apache-2.0
"""Code of one's own: found and hashed without being run, built where it is asked for, refused in one sentence."""

from __future__ import annotations

import pathlib
import sys

import jax
import numpy as np
import pytest

import zoo
from harness import config, data, errors, specs, theory
from harness.diagnostics import plan as plans
from harness.risk import networks
from harness.runs import outline
from tests import builders
from zoo import code

PLAIN = """
import jax, jax.numpy as jnp
import pathlib
pathlib.Path("imported").touch()

def build(options, inputs, outputs):
    size = inputs[0] * inputs[1] * inputs[2]
    def init(key):
        return {"w": options.get("scale", 1.0) * jax.random.normal(key, (size, outputs))}
    def apply(params, x):
        return x.reshape(len(x), -1) @ params["w"]
    return init, apply
"""
LINEN = """
from flax import linen

class Net(linen.Module):
    outputs: int

    @linen.compact
    def __call__(self, x):
        return linen.Dense(self.outputs)(x.reshape(len(x), -1))

def build(options, inputs, outputs):
    return Net(outputs)
"""
NNX = """
from flax import nnx

class Net(nnx.Module):
    def __init__(self, size, outputs, rngs):
        self.dense = nnx.Linear(size, outputs, rngs=rngs)

    def __call__(self, x):
        return self.dense(x.reshape(len(x), -1))

def build(options, inputs, outputs):
    return lambda rngs: Net(inputs[0] * inputs[1] * inputs[2], outputs, rngs)
"""


@pytest.fixture(autouse=True)
def here(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The folder that gdzoo is called from; what is imported there is forgotten afterwards."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return home


def written(text: str, name: str = "own_plain") -> None:
    pathlib.Path(f"{name}.py").write_text(text, encoding="utf-8")


def spec(model: str = "{family: 'own_plain:build'}", **parts: object) -> tuple[config.Cell, ...]:
    """Returns the cells of a spec that is read from disk."""
    text = builders.spec_text(**parts)
    lines = [line for line in text.splitlines() if not line.startswith("model:")]
    pathlib.Path("mine").mkdir(exist_ok=True)
    pathlib.Path("mine/own.yaml").write_text("\n".join([*lines, f"model: {model}\n"]), encoding="utf-8")
    return specs.read("mine/own.yaml").cells


def test_a_spec_is_read_without_running_the_code_and_names_its_source() -> None:
    written(PLAIN)
    (first,) = spec()
    (long,) = spec("{family: code, build: own_plain:build}")
    assert first == long and first.cell_id == long.cell_id
    assert isinstance(first.model, code.Config) and first.model.sha256 == code.Source("own_plain:build").sha256
    assert theory.of(first).covered == "not known" and theory.of(first).possible is None
    assert zoo.made_of(first.model, (1, 1, 3), 3) == {}
    assert not pathlib.Path("imported").exists() and "own_plain" not in sys.modules
    written(PLAIN + "# another word\n")
    (second,) = spec()
    assert second.cell_id != first.cell_id, "other source is another configuration"
    again = specs.parse(specs.dump(first), file="cell.yaml", suite="mine", name="own").cells[0]
    assert again.cell_id == first.cell_id, "a bundle's cell is read as it stands"
    with pytest.raises(errors.InputError, match="has changed: its SHA-256 is .*; go back to that source"):
        networks.build(again.model, (1, 1, 3), 3)
    assert networks.build(second.model, (1, 1, 3), 3).init(jax.random.key(0))["w"].shape == (3, 3)
    assert pathlib.Path("imported").exists(), "building it runs it"


def test_source_that_changes_in_one_process_is_imported_anew() -> None:
    written(PLAIN)
    (first,) = spec()
    before = networks.build(first.model, (1, 1, 3), 3).init(jax.random.key(0))["w"]
    written(PLAIN.replace('"scale", 1.0', '"scale", 2.0'))
    (second,) = spec()
    after = networks.build(second.model, (1, 1, 3), 3).init(jax.random.key(0))["w"]
    np.testing.assert_array_equal(after, 2 * before)


def test_every_module_of_a_package_counts() -> None:
    pathlib.Path("own_package").mkdir()
    for name, text in (("__init__", ""), ("net", PLAIN), ("part", "A = 1\n")):
        written(text, f"own_package/{name}")
    (first,) = spec("{family: 'own_package.net:build'}")
    written("A = 2\n", "own_package/part")
    (second,) = spec("{family: 'own_package.net:build'}")
    assert first.cell_id != second.cell_id
    assert networks.build(second.model, (1, 1, 3), 3).init(jax.random.key(0))["w"].shape == (3, 3)


def test_options_are_fields_that_a_grid_may_vary() -> None:
    written(PLAIN)
    grid = {"model.options.scale": [0.5, 2.0]}
    first, second = spec("{family: 'own_plain:build', options: {scale: 1.0}}", grid=grid)
    assert first.label == "own · scale=0.5" and first.cell_id != second.cell_id
    small, large = (networks.build(cell.model, (1, 1, 3), 3).init(jax.random.key(0))["w"] for cell in (first, second))
    np.testing.assert_array_equal(large, 4 * small)


@pytest.mark.parametrize("text", [LINEN, NNX], ids=["linen", "nnx"])
def test_flax_modules_are_networks_too(text: str) -> None:
    written(text, "own_flax")
    (cell,) = spec("{family: 'own_flax:build'}")
    network = networks.build(cell.model, (1, 1, 3), 3)
    params = network.init(jax.random.key(0))
    leaves = {leaf.shape for leaf in jax.tree.leaves(params)}
    assert leaves == {(3, 3), (3,)} and all(leaf.dtype == "float32" for leaf in jax.tree.leaves(params))
    assert network.apply(params, np.ones((5, 1, 1, 3), "float32")).shape == (5, 3)


def test_ingredients_that_the_code_names_are_the_theorem_s() -> None:
    written('INGREDIENTS = ["dense", "relu"]\n' + PLAIN)
    (cell,) = spec()
    says = theory.of(cell)
    assert says.covered == "theorem 1" and not says.one_piece
    assert theory.CODE in says.remarks
    written('INGREDIENTS = ["dense", "my_own_norm"]\n' + PLAIN)
    assert theory.of(spec()[0]).covered == "outside"
    (named,) = spec("{family: 'own_plain:build', ingredients: [dense]}")
    assert theory.of(named).one_piece
    assert not pathlib.Path("imported").exists()
    size = plans.Size(9, 9, 3, 9, "dense", 3, 3)
    assert plans.plan(cell, size).left_out["kinks"] == "the pieces of code of one's own are not known"
    assert plans.plan(cell, size).left_out["changes"] == "the pieces of code of one's own are not known"


def test_an_outline_knows_its_size() -> None:
    written(PLAIN)
    (cell,) = spec()
    assert outline.outline(cell).parameters == 9 and data.facts(cell.data).classes == 3


WRONG = {
    "no module": ("", "{family: 'own_missing:build'}", "there is no module own_missing in the current folder"),
    "no Python": ("def build(:", "{family: 'own_wrong:build'}", "own_wrong.py is no Python"),
    "computed ingredients": ("INGREDIENTS = ['a'] * 2", "{family: 'own_wrong:build'}", "is no list of names written"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_with_the_source_is_said_with_file_and_line(kind: str) -> None:
    text, model, message = WRONG[kind]
    written(text, "own_wrong")
    with pytest.raises(errors.InputError, match=f"mine/own.yaml:8:8: model.*{message}"):
        spec(model)


BUILT = {
    "raises": ("1 / 0", "importing own_built fails: ZeroDivisionError"),
    "no function": ("", "own_built has no function build"),
    "another thing": ("build = lambda *a: 3", "own_built:build returns a int; return \\(init, apply\\), a Linen"),
    "other outputs": (PLAIN.replace("outputs))", "outputs + 1))"), "apply gives shape \\(4, 4\\).*; return \\(4, 3\\)"),
    "a list of parameters": (
        PLAIN.replace('return {"w":', "return [").replace("outputs))}", "outputs))]"),
        "init returns",
    ),
    "float32": (PLAIN.replace('params["w"]', 'params["w"].astype("float32")'), "apply .* float32"),
}


@pytest.mark.parametrize("kind", BUILT)
def test_code_that_builds_no_network_is_refused_in_one_sentence(kind: str) -> None:
    text, message = BUILT[kind]
    written(text, "own_built")
    (cell,) = spec("{family: 'own_built:build'}")
    with pytest.raises(errors.InputError, match=f"model.build: own_built:build: {message}"):
        networks.build(cell.model, (1, 1, 3), 3)


def test_a_start_that_needs_layers_is_refused() -> None:
    written(PLAIN)
    with pytest.raises(errors.InputError, match="the layers of code of one's own are not known"):
        spec(start={"name": "origin"})
