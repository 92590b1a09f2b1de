# SPDX-License-Identifier: Apache-2.0
"""Specs: what they accept, what they say when they refuse, which cells they make and what names a cell."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import itertools
import json
import operator
import os
import pathlib
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import hypothesis
import jsonschema
import pytest
import yaml
from hypothesis import strategies as st

import zoo
from harness import config, data, errors, specs, starts, workspace
from harness.risk import losses
from harness.specs import allowed, conflicts, problems, strict_yaml
from harness.training import optimizers

SPECS = workspace.CHECKOUT / "specs"
CORPUS = workspace.CHECKOUT / "tests" / "corpus" / "specs"
OURS = sorted(SPECS.rglob("*.yaml"))
WORK = 1_000_000
"""Most calls that reading one file may take, about half a second; the largest of our specs takes a fortieth of them."""

AtMost = Callable[[int], AbstractContextManager[None]]

MLP = """\
schema: 1
title: MLP on digits
data: {name: digits, examples: 512}
model: {family: mlp, hidden: [16, 16], activation: relu}
loss: {name: half_mse}
optimizer: {name: gd, learning_rate: 0.001}
steps: 300
seeds: 3
"""


def parse(text: str) -> specs.Spec:
    return specs.parse(text, file="x.yaml", suite="quickstart", name="mlp")


def cell(text: str) -> config.Cell:
    (only,) = parse(text).cells
    return only


def refusal(text: str) -> str:
    with pytest.raises(errors.InputError) as error:
        parse(text)
    return str(error.value)


def leaves(mapping: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted paths of a resolved cell that hold no mapping, a learning rate counted as one value."""
    return [
        path
        for key, value in mapping.items()
        for path in (
            leaves(value, f"{prefix}{key}.")
            if isinstance(value, dict) and key not in ("learning_rate", "schedule")
            else [prefix + key]
        )
    ]


def places(value: Any) -> list[tuple[Any, ...]]:
    """Paths of everything in nested mappings and lists, the top left out."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [(key, *rest) for key, inner in pairs for rest in [(), *places(inner)]]


def varied(*changes: tuple[str, str]) -> str:
    text = MLP
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


# What a spec accepts


def test_a_spec_knows_its_suite_name_and_context(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "smoke"
    folder.mkdir()
    (folder / "tiny-1.yaml").write_text(MLP + "source: a paper\n", encoding="utf-8")
    found = specs.read(folder / "tiny-1.yaml")
    assert (found.suite, found.name, found.title, found.source) == ("smoke", "tiny-1", "MLP on digits", "a paper")
    assert (found.seeds, found.file) == (3, str(folder / "tiny-1.yaml"))
    (only,) = found.cells
    assert (only.suite, only.spec, only.title, only.source) == ("smoke", "tiny-1", "MLP on digits", "a paper")
    assert (only.seeds, only.label, only.run_id(2)) == (3, "tiny-1", f"{only.cell_id}-s2")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.seeds = 4  # type: ignore[misc]


def test_defaults_are_written_out() -> None:
    assert cell(MLP).resolved() == {
        "data": {
            "name": "digits",
            "examples": 512,
            "split": "train",
            "subset": "first",
            "resize": None,
            "channels": None,
            "standardise": False,
            "outputs": None,
            "targets": "labels",
        },
        "model": {"family": "mlp", "hidden": [16, 16], "activation": "relu", "bias": True, "gain": 1.0},
        "loss": {"name": "half_mse", "weight_decay": 0.0},
        "start": {"name": "random"},
        "optimizer": {"name": "gd", "learning_rate": 0.001, "schedule": {"name": "constant"}},
        "steps": 300,
        "checkpoints": 16,
        "target": None,
        "precision": "float32",
        "curvature": "auto",
        "diagnostics": "auto",
        "trace": None,
    }
    assert cell(varied((", examples: 512", ""))).data.examples is None
    assert cell(varied(("half_mse", "smoothed_ce"))).loss.smoothing == 0.1  # type: ignore[union-attr]
    assert cell(varied(("0.001", "{eta_lambda: 2}"))).resolved()["optimizer"]["learning_rate"] == {"eta_lambda": 2.0}


def test_an_integer_is_accepted_as_a_float_and_becomes_one() -> None:
    rate = cell(varied(("0.001", "1"))).optimizer.learning_rate
    assert (type(rate), rate) == (float, 1.0)


@pytest.mark.parametrize(("steps", "checkpoints"), [(1, 2), (5, 6), (14, 15), (15, 16), (300, 16)])
def test_a_short_run_has_fewer_checkpoints_by_default(steps: int, checkpoints: int) -> None:
    assert cell(varied(("300", str(steps)))).checkpoints == checkpoints


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_our_specs_are_right_and_fit_the_schema_for_editors(path: pathlib.Path) -> None:
    text = path.read_text(encoding="utf-8")
    first, second = text.splitlines()[:2]
    assert first == "# yaml-language-server: $schema=../schema.json"
    assert second.startswith("# Claim: ")
    comments = [line for line in text.splitlines() if line.startswith("#")]
    for word in ("# Reproduces: ", "# Minutes: "):
        assert any(line.startswith(word) for line in comments), f"no comment begins with {word!r}"
    assert "TODO" not in text
    assert specs.read(path).source
    assert specs.read(path).cells
    jsonschema.Draft202012Validator(json.loads(specs.schema_json())).validate(strict_yaml.load(text, str(path)).value)


def test_the_cells_of_our_specs_are_all_different() -> None:
    names = [each.cell_id for found in specs.read_all([SPECS]) for each in found.cells]
    assert len(names) == len(set(names)) >= 7


# Tables and what is generated


def test_variants_are_the_rows_of_the_tables() -> None:
    schema = json.loads(specs.schema_json())
    value = strict_yaml.load(MLP, "x.yaml").value
    assert set(allowed.variants(schema, ("model",), value)) == {*zoo.FAMILIES, "code"}
    assert set(allowed.variants(schema, ("loss",), value)) == set(losses.LOSSES)
    assert set(allowed.variants(schema, ("optimizer",), value)) == set(optimizers.OPTIMIZERS)
    assert set(allowed.variants(schema, ("data",), value)) == set(data.DATASETS)
    assert set(allowed.variants(schema, ("start",), value)) == set(starts.STARTS)


def test_unions_are_known_to_the_translation_of_errors() -> None:
    found = set()

    def visit(node: Any, name: str) -> None:
        if isinstance(node, dict):
            if "oneOf" in node:
                found.add(name)
            for key, value in node.items():
                visit(value, name if key in ("properties", "$defs", "anyOf") else key)
        elif isinstance(node, list):
            for value in node:
                visit(value, name)

    visit(json.loads(specs.schema_json()), "")
    assert found == {*problems.UNIONS, "items", "dense"}, "the last two are those of the layers of a stack"


def test_the_schema_file_is_what_the_models_say() -> None:
    assert (SPECS / "schema.json").read_text(encoding="utf-8") == specs.schema_json(), (
        "make it again: python -m harness.specs > specs/schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(json.loads(specs.schema_json()))


def test_the_module_prints_the_schema() -> None:
    command = [sys.executable, "-m", "harness.specs"]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(command, capture_output=True, check=True, cwd=workspace.CHECKOUT, env=environment)
    assert run.stdout.decode() == specs.schema_json()


def field_table() -> str:
    """The table of fields in specs/README.md; variants whose field is the same share its row."""
    schema = json.loads(specs.schema_json())

    def row(node: dict[str, Any], required: bool) -> str:
        default = "" if required else f"`{json.dumps(node['default'])}`" if "default" in node else "see meaning"
        return f"{allowed.words(schema, node)} | {default} | {node.get('description', '')} |"

    rows = ["| field | may be | if left out | meaning |", "| --- | --- | --- | --- |"]
    for name, node in schema["properties"].items():
        rows.append(f"| `{name}` | {row(node, name in schema['required'])}")
        plain = {"": schema["$defs"][node["$ref"].split("/")[-1]]} if "$ref" in node else {}
        variants = allowed.variants(schema, (name,), {}) or plain
        shared: dict[tuple[str, str], list[str]] = {}
        for tag, variant in variants.items():
            for key, inner in variant["properties"].items():
                if key not in ("name", "family"):
                    shared.setdefault((key, row(inner, key in variant["required"])), []).append(tag)
        for (key, text), tags in shared.items():
            which = "" if len(tags) == len(variants) else f" ({', '.join(tags)})"
            rows.append(f"| `{name}.{key}`{which} | {text}")
    return "\n".join(rows)


def test_the_readme_lists_every_field() -> None:
    text = (SPECS / "README.md").read_text(encoding="utf-8")
    assert text.split("<!-- fields -->\n")[1].split("\n<!-- /fields -->")[0] == field_table()


def test_the_readme_shows_a_real_spec_and_real_messages() -> None:
    text = (SPECS / "README.md").read_text(encoding="utf-8")
    shown = text.split("```yaml\n")[1].split("```")[0]
    ours = (SPECS / "quickstart" / "mlp.yaml").read_text(encoding="utf-8")
    assert [each.cell_id for each in parse(shown).cells] == [each.cell_id for each in parse(ours).cells]
    wrong = (CORPUS / "four_mistakes.yaml").read_text(encoding="utf-8")
    with pytest.raises(errors.InputError) as error:
        specs.parse(wrong, file="specs/quickstart/wrong.yaml", suite="quickstart", name="wrong")
    assert f"```\n{error.value}\n```" in text


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_a_template_parses_explains_each_line_and_its_grid_works(family: str) -> None:
    text = specs.template("my-net", family)
    assert text.startswith("# yaml-language-server: $schema=../schema.json\n# What this spec claims")
    (only,) = parse(text).cells
    dataset = {"paper_net": "point", "quadratic": "point", "curve": "point"}.get(family, "digits")
    assert only.title == f"my-net: {family} on {dataset}, full-batch gradient descent"
    assert only.resolved()["model"]["family"] == family
    lines = text.splitlines()
    explained = [i for i, line in enumerate(lines) if not line.strip().startswith(("#", "- "))]
    assert all(lines[i - 1].strip().startswith("#") for i in explained)
    assert all(len(line) <= 120 for line in lines)
    head, tail = text.split("# Three fields that may be left out", 1)
    kept = ("# source:", "# g", "#  ", "# trace:")
    used = head + "\n".join(line.removeprefix("# ") for line in tail.splitlines() if line.startswith(kept))
    found = parse(used)
    assert (len(found.cells), found.source) == (4, "a paper, a table, a run")
    asked = found.cells[0].trace
    assert asked is not None and (asked.top, asked.every) == (8, 10)


def test_a_template_needs_a_file_name_and_a_family() -> None:
    with pytest.raises(errors.InputError) as error:
        specs.template("my-net", "vitt")
    assert str(error.value) == (
        "there is no family 'vitt'; allowed: "
        "mlp, deep_linear, vgg, vit, resnet, mixer, paper_net, quadratic, stack, curve; did you mean 'vit'?"
    )
    with pytest.raises(errors.InputError) as error:
        specs.template("../x", "vit")
    assert str(error.value) == (
        "'../x' is not allowed as the name of a spec; "
        "allowed: 1 to 64 letters, digits, '.', '_' and '-', the first not '.' or '-'"
    )


def test_importing_specs_loads_nothing_heavy() -> None:
    code = (
        "import sys, harness.specs; print(sorted({'jax', 'flax', 'optax', 'mlflow', 'tensorflow_datasets', 'numpy', "
        "'sklearn', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# What it says when a spec is wrong

ACTIVATIONS = (
    "relu, leaky_relu, gelu, gelu_tanh, sigmoid, tanh, silu, softplus, elu, relu6, hard_tanh, identity, square or a "
    "mapping with the key leaky_relu"
)
FAMILIES = "code, curve, deep_linear, mixer, mlp, paper_net, quadratic, resnet, stack, vgg, vit"
DATASETS = (
    "cifar10, cifar100, digits, fashion_mnist, file, gaussian_classes, imagenette, kmnist, linear_teacher, mnist, "
    "modular_addition, paper_pair, parity, point, points, random_labels, svhn_cropped, tfds"
)
LOSSES = "ce, half_mse, output, smoothed_ce"
KEYS = (
    "schema, title, source, data, model, loss, start, optimizer, steps, checkpoints, target, precision, "
    "curvature, diagnostics, trace, seeds, grid, expected"
)
DIAGNOSTICS = (
    "fit, margin, sharpness, singularity, gaps, state, critical, kinks, changes, minibatches, sweep, inverse, "
    "exponents, progress, departure, minimum, stability, displacement, saddle, escape, flip, layers"
)
STARTS = (
    "branch, deep_linear_saddle, given, head_saddle, origin, planted_minimum, random, split_saddle, zero_unit_saddle"
)
CHOICE = f"auto or a list, each {DIAGNOSTICS} or a mapping with the key budget"
RATE = "a number above 0 or a mapping with the key eta_lambda"
MESSAGES = [
    (("relu", "rleu"),
     f"4:52: model.activation: 'rleu' is not allowed; allowed: {ACTIVATIONS}; did you mean 'relu'?"),
    (("family: mlp", "family: mpl"),
     f"4:17: model.family: 'mpl' is not allowed; allowed: {FAMILIES}; did you mean 'mlp'?"),
    (("family: mlp, ", ""), f"4:1: model.family: missing; allowed: {FAMILIES}"),
    (("family: mlp", "family: [mlp]"), f"4:17: model.family: ['mlp'] is not allowed; allowed: {FAMILIES}"),
    (("hidden", "hiden"),
     "4:22: model.hiden: unknown key; allowed: family, hidden, activation, bias, gain; did you mean 'hidden'?"),
    (("[16, 16]", "[16, 0, x]"), "4:35: model.hidden[1]: 0 is not allowed; allowed: an integer from 1 to 65536\n"
     "x.yaml:4:38: model.hidden[2]: 'x' is not allowed; allowed: an integer from 1 to 65536"),
    (("[16, 16]", "16"),
     "4:30: model.hidden: 16 is not allowed; allowed: a list of at most 64, each an integer from 1 to 65536"),
    (("name: digits", "name: digit"),
     f"3:14: data.name: 'digit' is not allowed; allowed: {DATASETS}; did you mean 'digits'?"),
    (("512", "0"), "3:32: data.examples: 0 is not allowed; allowed: an integer from 1 to 2147483647 or null"),
    (("512", "1501"),
     "3:32: data.examples: 1501 is not allowed; allowed: at most 1500, the training examples of digits"),
    (("half_mse", "mse"), f"5:14: loss.name: 'mse' is not allowed; allowed: {LOSSES}"),
    (("half_mse", "half_mse, smoothing: 0.1"), "5:24: loss.smoothing: unknown key; allowed: name, weight_decay"),
    (("half_mse", "smoothed_ce, smoothing: 1"),
     "5:38: loss.smoothing: 1 is not allowed; allowed: a number above 0 and below 1"),
    (("{name: half_mse}", "half_mse"),
     f"5:7: loss: 'half_mse' is not allowed; allowed: a mapping with `name`: {LOSSES}; "
     "write {name: half_mse}"),
    (("{name: half_mse}", ""),
     f"5:6: loss: null is not allowed; allowed: a mapping with `name`: {LOSSES}"),
    (("0.001", "0"), f"6:38: optimizer.learning_rate: 0 is not allowed; allowed: {RATE}"),
    (("0.001", "true"), f"6:38: optimizer.learning_rate: true is not allowed; allowed: {RATE}"),
    (("0.001", "'0.001'"), f"6:38: optimizer.learning_rate: '0.001' is not allowed; allowed: {RATE}"),
    (("0.001", "{eta_lambda: 1001}"),
     "6:51: optimizer.learning_rate.eta_lambda: 1001 is not allowed; allowed: a number above 0 and at most 1000"),
    (("0.001", "{eta: 1}"),
     "6:23: optimizer.learning_rate.eta_lambda: missing; allowed: a number above 0 and at most 1000\n"
     "x.yaml:6:39: optimizer.learning_rate.eta: unknown key; allowed: eta_lambda"),
    (("name: gd", "name: sgd"), "6:1: optimizer.batch_size: missing; allowed: an integer from 1 to 2147483647"),
    (("name: gd", "name: sgd, batch_size: 513"),
     "6:36: optimizer.batch_size: 513 is not allowed; allowed: at most 512, the examples of a full batch"),
    (("name: gd", "name: heavy_ball, momentum: 1.0"),
     "6:41: optimizer.momentum: 1.0 is not allowed; allowed: a number above 0 and below 1"),
    (("0.001}", "0.001, schedule: {name: piecewise, at: [5, 5], factors: [0.5, 0.1]}}"),
     "6:77: optimizer.schedule.at: not ascending; allowed: each step once, the first first"),
    (("0.001}", "0.001, schedule: {name: piecewise, at: [5, 9], factors: [0.5]}}"),
     "6:94: optimizer.schedule.factors: 1 numbers; allowed: 2, one for each step of `at`"),
    (("0.001}", "0.001, schedule: {name: cosine, warmup: 300}}"),
     "6:78: optimizer.schedule.warmup: 300 is not allowed; allowed: less than the 300 steps of a run"),
    (("optimizer", "optimiser"), f"6:1: optimiser: unknown key; allowed: {KEYS}; did you mean 'optimizer'?"),
    (("300", "1e3"), "7:8: steps: 1000.0 is not allowed; allowed: an integer from 1 to 10000000; write 1000"),
    (("300", "10000001"), "7:8: steps: 10000001 is not allowed; allowed: an integer from 1 to 10000000"),
    (("300", "true"), "7:8: steps: true is not allowed; allowed: an integer from 1 to 10000000"),
    (("300", "300\ncheckpoints: 1"), "8:14: checkpoints: 1 is not allowed; allowed: an integer from 2 to 1000"),
    (("300", "8\ncheckpoints: 10"), "8:14: checkpoints: 10 is not allowed; allowed: at most 9, which is steps + 1"),
    (("300", "300\nprecision: float16"),
     "8:12: precision: 'float16' is not allowed; allowed: float32, float64; did you mean 'float64'?"),
    (("300", "300\ncurvature: exact"), "8:12: curvature: 'exact' is not allowed; allowed: auto, dense, lanczos"),
    (("300", "300\ndiagnostics: atuo"),
     f"8:14: diagnostics: 'atuo' is not allowed; allowed: {CHOICE}; did you mean 'auto'?"),
    (("300", "300\ndiagnostics: kinks"), f"8:14: diagnostics: 'kinks' is not allowed; allowed: {CHOICE}"),
    (("300", "300\ndiagnostics: [fit, kink]"),
     f"8:20: diagnostics[1]: 'kink' is not allowed; allowed: {DIAGNOSTICS}; did you mean 'kinks'?"),
    (("300", "300\ndiagnostics: {budget: 0 %}"),
     "8:23: diagnostics.budget: '0 %' is not allowed; allowed: a text like 10 %"),
    (("300", "300\ndiagnostics: {budget: 0.1}"),
     "8:23: diagnostics.budget: 0.1 is not allowed; allowed: a text like 10 %"),
    (("300", "300\ndiagnostics: {bugdet: 10 %}"),
     "8:15: diagnostics.bugdet: unknown key; allowed: budget; did you mean 'budget'?"),
    (("300", "300\ntarget: {}"), "8:1: target: this is not allowed; allowed: one key, loss_gap or loss"),
    (
        ("300", "300\ntarget: {loss: 1.0, loss_gap: 1.0}"),
        "8:1: target: this is not allowed; allowed: one key, loss_gap or loss",
    ),
    (("300", "300\nstart: {name: zero}"), f"8:15: start.name: 'zero' is not allowed; allowed: {STARTS}"),
    (("seeds: 3", "seeds: -1"), "8:8: seeds: -1 is not allowed; allowed: an integer from 1 to 1000"),
    (("seeds: 3", "seeds: 4294967296"), "8:8: seeds: 4294967296 is not allowed; allowed: an integer from 1 to 1000"),
    (("schema: 1", "schema: 2"), "1:9: schema: 2 is not allowed; allowed: 1"),
    (("schema: 1\n", ""), "1:1: schema: missing; allowed: 1"),
    (("MLP on digits", "12"), "2:8: title: 12 is not allowed; allowed: one line of text, 1 to 200 characters"),
    (("MLP on digits", '"two\\nlines"'),
     "2:8: title: 'two\\nlines' is not allowed; allowed: one line of text, 1 to 200 characters"),
    (("MLP on digits", "x" * 201),
     f"2:8: title: '{'x' * 76}... is not allowed; allowed: one line of text, 1 to 200 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), MESSAGES)
def test_a_wrong_spec_is_told_where_what_and_what_is_allowed(change: tuple[str, str], message: str) -> None:
    assert refusal(varied(change)) == f"x.yaml:{message}"


MODEL = "{family: mlp, hidden: [16, 16], activation: relu}"
VIT = varied(
    (
        "{family: mlp, hidden: [16, 16], activation: relu}",
        "{family: vit, patch: 2, width: 12, depth: 1, heads: 2, mlp_width: 8, activation: relu}",
    )
)
VGG = varied(
    ("{family: mlp, hidden: [16, 16], activation: relu}", "{family: vgg, stages: [[2], [2]], activation: relu}")
)


def test_what_does_not_fit_together_is_said() -> None:
    assert refusal(VIT.replace("heads: 2", "heads: 5")).startswith("x.yaml:4:1: model: ")
    assert (
        refusal(VIT.replace("patch: 2", "patch: 3")) == "x.yaml:4:1: model: patches of side 3 do not tile a 8x8 image"
    )
    numbers = varied(("{name: digits, examples: 512}", "{name: point}"), ("[16, 16]", "[]"))
    assert refusal(numbers.replace("half_mse", "ce")) == (
        "x.yaml:5:14: loss.name: 'ce' is not allowed; allowed: half_mse, output; the targets of point are numbers"
    )
    assert cell(numbers).loss.name == "half_mse"
    assert refusal(varied((MODEL, "{family: quadratic, eigenvalues: [1]}"))) == (
        "x.yaml:4:1: model: quadratic has an output of shape (1,), but (10,) is asked for"
    )


def test_all_problems_are_listed_in_the_order_of_the_file_up_to_ten() -> None:
    lines = refusal("a: 1").splitlines()
    assert len(lines) == 9
    assert lines[-1] == f"x.yaml:1:1: a: unknown key; allowed: {KEYS}"
    lines = refusal("\n".join(f"k{i}: 1" for i in range(10))).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "... and 8 more"
    many = refusal(varied(("[16, 16]", "[0, x]"), ("300", "0"), ("digits, ex", "digit, ex"))).splitlines()
    assert [line.split(":")[1] for line in many] == ["3", "4", "4", "7"]


# The grid


def grid(lines: str, text: str = MLP) -> str:
    return f"{text}grid:\n" + "".join(f"  {line}\n" for line in lines.split("\n"))


def test_a_grid_makes_the_product_in_order() -> None:
    found = parse(grid("model.activation: [relu, gelu]\nsteps: [10, 20, 30]"))
    assert [each.label for each in found.cells] == [
        f"mlp · activation={activation} · steps={steps}" for activation in ("relu", "gelu") for steps in (10, 20, 30)
    ]
    assert [each.steps for each in found.cells] == [10, 20, 30] * 2
    assert [each.checkpoints for each in found.cells] == [11, 16, 16] * 2
    assert len({each.cell_id for each in found.cells}) == 6


def test_a_cell_of_a_grid_is_the_cell_of_the_spec_written_out() -> None:
    relu, gelu = parse(grid("model.activation: [relu, gelu]")).cells
    assert relu.spec_hash == cell(MLP).spec_hash
    assert gelu.spec_hash == cell(varied(("relu", "gelu"))).spec_hash


@pytest.mark.parametrize(
    ("lines", "labels"),
    [
        (
            "optimizer.learning_rate: [1e-3, {eta_lambda: 1}]",
            ["learning_rate=0.001", "learning_rate={eta_lambda: 1.0}"],
        ),
        ("loss: [{name: ce}, {name: smoothed_ce}]", ["loss=ce", "loss=smoothed_ce"]),
        (
            "loss: [{name: smoothed_ce}, {name: smoothed_ce, smoothing: 0.2}]",
            [f"loss=smoothed_ce, smoothing {a}" for a in (0.1, 0.2)],
        ),
        (
            "optimizer: [{name: gd, learning_rate: {eta_lambda: 0.5}}, {name: gd, learning_rate: 0.5}, "
            "{name: sgd, learning_rate: 0.5, batch_size: 4}]",
            ["optimizer=gd, eta_lambda 0.5", "optimizer=gd, learning_rate 0.5", "optimizer=sgd"],
        ),
        ("model.activation: [relu, {leaky_relu: 0.2}]", ["activation=relu", "activation={leaky_relu: 0.2}"]),
        ("data.examples: [null, 10]", ["examples=null", "examples=10"]),
        ("model.hidden: [[4], []]", ["hidden=[4]", "hidden=[]"]),
        ("model.bias: [true, false]", ["bias=true", "bias=false"]),
        ("loss.name: [ce]\nstart.name: [random]", ["loss.name=ce · start.name=random"]),
    ],
)
def test_a_label_says_how_a_cell_differs(lines: str, labels: list[str]) -> None:
    assert [each.label for each in parse(grid(lines)).cells] == [f"mlp · {label}" for label in labels]


PATHS = (
    "data, data.name, data.examples, data.split, data.subset, data.resize, data.channels, data.standardise, "
    "data.outputs, data.targets, model, model.family, model.hidden, model.activation, model.bias, model.gain, "
    "loss, loss.name, loss.weight_decay, start, start.name, optimizer, optimizer.name, optimizer.learning_rate, "
    "optimizer.schedule, optimizer.schedule.name, steps, checkpoints, target, precision, curvature, diagnostics, "
    "trace"
)
GRIDS = [
    ("model.activation: [relu, gleu, 3]",
     f"10:28: grid.model.activation[1]: 'gleu' is not allowed; allowed: {ACTIVATIONS}; did you mean 'gelu'?\n"
     f"x.yaml:10:34: grid.model.activation[2]: 3 is not allowed; allowed: {ACTIVATIONS}"),
    ("model.hidden: [[4], [4, 0]]",
     "10:27: grid.model.hidden[1][1]: 0 is not allowed; allowed: an integer from 1 to 65536"),
    ("model.activaton: [relu]",
     f"10:3: grid.model.activaton: unknown path; allowed: {PATHS}; did you mean 'model.activation'?"),
    ("lr: [1]", f"10:3: grid.lr: unknown path; allowed: {PATHS}"),
    ("steps: []", "10:10: grid.steps: [] is not allowed; allowed: a list of at least 1, each a value"),
    ("steps: 3", "10:10: grid.steps: 3 is not allowed; allowed: a list of at least 1, each a value"),
    ("steps: [3, 4, 3]", "10:17: grid.steps[2]: 3 gives the same configuration as grid.steps[0]; keep one"),
    ("optimizer.learning_rate: [1, 1.0]",
     "10:32: grid.optimizer.learning_rate[1]: 1.0 gives the same configuration as "
     "grid.optimizer.learning_rate[0]; keep one"),
    ("loss: [{name: ce}]\nloss.name: [ce]", "11:3: grid.loss.name: overlaps with grid.loss; keep one"),
    ("model: [{family: mlp, hidden: [2]}]", f"10:11: grid.model[0].activation: missing; allowed: {ACTIVATIONS}"),
    ("model: [{family: mlq}]",
     f"10:20: grid.model[0].family: 'mlq' is not allowed; allowed: {FAMILIES}; did you mean 'mlp'?"),
    ("optimizer.name: [gd, sgd]",
     "6:1: optimizer.batch_size: missing; allowed: an integer from 1 to 2147483647 (where optimizer.name=sgd)"),
    ("optimizer.name: [gd, sgd]\nsteps: [5, 6, 7]",
     "6:1: optimizer.batch_size: missing; allowed: an integer from 1 to 2147483647 (where optimizer.name=sgd, "
     "steps=5)"),
    ("data.examples: [10, 1501]",
     "10:23: grid.data.examples[1]: 1501 is not allowed; allowed: at most 1500, the training examples of digits"),
    ("checkpoints: [3, 8]\nsteps: [5, 9]",
     "10:20: grid.checkpoints[1]: 8 is not allowed; allowed: at most 6, which is steps + 1"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "message"), GRIDS)
def test_a_wrong_grid_is_told_by_its_own_path_once(lines: str, message: str) -> None:
    assert refusal(grid(lines)) == f"x.yaml:{message}"


@pytest.mark.parametrize("name", ["schema", "title", "source", "seeds", "grid"])
def test_a_grid_cannot_vary_what_changes_no_number(name: str) -> None:
    assert refusal(grid(f"{name}: [1, 2]")).startswith(f"x.yaml:10:3: grid.{name}: unknown path; allowed: data, ")


def test_a_label_that_no_store_would_hold_is_cut_and_stays_the_only_one() -> None:
    text = varied(("data: {name: digits, examples: 512}", "data: {name: point}"), ("half_mse", "output"))
    text = text.replace("{family: mlp, hidden: [16, 16], activation: relu}", "{family: quadratic, eigenvalues: [1.0]}")
    short, long = ([round(1 + i / 7 + k, 9) for i in range(count)] for count, k in ((300, 0), (400, 1)))
    first, second = parse(grid(f"model.eigenvalues: [{short}, {long}]", text)).cells
    assert len(first.label) < len(second.label) == specs.LONGEST_LABEL
    assert second.label.endswith(f"... {second.cell_id}") and first.label.endswith("]")


def test_an_empty_grid_is_refused() -> None:
    assert refusal(MLP + "grid: {}") == (
        "x.yaml:9:7: grid: {} is not allowed; allowed: a mapping, each value a list of at least 1, each a value"
    )


def test_a_grid_of_10000_cells_is_read_with_little_work_and_one_more_is_refused(at_most: AtMost) -> None:
    hundred = ", ".join(map(str, range(20, 120)))
    with at_most(10_000_000):
        assert len(parse(grid(f"steps: [{hundred}]\ndata.examples: [{hundred}]")).cells) == 10_000
    message = "x.yaml:9:1: grid: 10,100 configurations; allowed: at most 10,000"
    assert refusal(grid(f"steps: [{hundred}, 120]\ndata.examples: [{hundred}]")) == message
    with at_most(WORK):
        wrong = refusal(grid(f"steps: [{hundred}]\ndata.examples: [{hundred}]\nprecision: [double]"))
    assert wrong == "x.yaml:12:15: grid.precision[0]: 'double' is not allowed; allowed: float32, float64"


# What names a cell

SGD = varied(("{name: gd, learning_rate: 0.001}", "{name: sgd, learning_rate: {eta_lambda: 0.5}, batch_size: 64}"))
CE = varied(("half_mse", "smoothed_ce, smoothing: 0.05"), ("relu}", "gelu, bias: false}"), ("300", "7"))
GOLDEN = {
    "mlp": (MLP, "df44456f5c34d0c2d4733eb935b5f8242c21c909b4ef025f9c3311e101b50a51"),
    "sgd": (SGD, "a4394f2ba58dca7ca918deac953b8725d49caa3ee92d055a6ebcdb51e054e7dd"),
    "smoothed_ce": (CE, "15abc55c1f5186f2a63e81f561d428e0f6d675a7b00148926ea9c2addb5bde8c"),
    "vgg": (VGG, "91e289997d3eafdfdd8ebdac354ea17867c5ece4189148ea1a3c7e0d216461d5"),
    "vit": (VIT, "231363f9575c7ff6874d23ac79959c6251e718be5f9b314de946525690ea2f4a"),
}
"""These never change: a cell keeps its name for ever. A change that moves one needs a new schema number."""


@pytest.mark.parametrize("name", GOLDEN)
def test_a_cell_keeps_its_name_for_ever(name: str) -> None:
    text, spec_hash = GOLDEN[name]
    assert cell(text).spec_hash == spec_hash
    assert cell(text).cell_id == spec_hash[:12]


def test_the_hash_is_of_the_canonical_json_behind_its_domain() -> None:
    text = (
        'gdzoo-cell-v1\n{"checkpoints":16,"curvature":"auto","data":{"examples":512,"name":"digits"},'
        '"loss":{"name":"half_mse"},"model":{"activation":"relu","bias":true,"family":"mlp","hidden":[16,16]},'
        '"optimizer":{"learning_rate":0.001,"name":"gd"},"precision":"float32","schema":1,'
        '"start":{"name":"random"},"steps":300}'
    )
    assert cell(MLP).spec_hash == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\n" + MLP,
        "\n".join(reversed(MLP.splitlines())),
        varied(("0.001", "1e-3")),
        varied(("0.001", "1.0e-3")),
        varied(("relu", "'relu'")),
        varied(("relu", '"relu"')),
        varied((MODEL, "{activation: relu, hidden: [16, 16], family: mlp}")),
        varied((MODEL, "\n  family: mlp\n  hidden:\n  - 16\n  - 16\n  activation: relu")),
        varied(("relu", "relu, bias: true")),
        MLP + "checkpoints: 16\nprecision: float32\ncurvature: auto\nstart: {name: random}\nsource: null\n",
        MLP + "diagnostics: auto\n",
        varied(("MLP on digits", "another title"), ("seeds: 3", "seeds: 9\nsource: a paper")),
        MLP.replace("\n", "\r\n"),
    ],
)  # fmt: skip
def test_what_changes_no_number_does_not_change_the_name(text: str) -> None:
    assert cell(text).spec_hash == cell(MLP).spec_hash


def test_a_float_is_named_by_its_value_not_by_how_it_is_written() -> None:
    assert cell(varied(("0.001", "1"))).spec_hash == cell(varied(("0.001", "1.0"))).spec_hash
    assert cell(varied(("0.001", "1e22"))).spec_hash == cell(varied(("0.001", "1" + "0" * 22 + "."))).spec_hash


ZEROS = [
    ("data", "{name: points, x: [ZERO, 1.0], values: [1.0, 2.0]}"),
    ("data", "{name: point, target: ZERO}"),
    ("data", "{name: gaussian_classes, examples: 6, shape: [1, 1, 3], classes: 3, separation: ZERO}"),
    ("data", "{name: linear_teacher, examples: 6, shape: [1, 1, 3], singular_values: [1.0, ZERO]}"),
    ("loss", "{name: half_mse, weight_decay: ZERO}"),
    ("start", "{name: origin, perturbation: ZERO}"),
    ("start", "{name: given, theta: [ZERO, 1.0]}"),
    ("start", "{name: split_saddle, share: ZERO}"),
    ("target", "{loss: ZERO}"),
]
"""Where a field may be 0: each kind of number that a spec holds."""


@pytest.mark.parametrize(("part", "value"), ZEROS)
def test_zeros_of_either_sign_are_one_number(part: str, value: str) -> None:
    lines = {line.split(":")[0]: line for line in varied(("relu", "tanh"), ("[16, 16]", "[16]")).splitlines()}

    def read(zero: str) -> dict[str, Any]:
        written = lines | {part: f"{part}: {value.replace('ZERO', zero)}"}
        if "theta" in value:
            quadratic = "{family: quadratic, eigenvalues: [ZERO, 2.0]}".replace("ZERO", zero)
            written |= {"data": "data: {name: point}", "model": f"model: {quadratic}", "loss": "loss: {name: output}"}
        return cell("\n".join(written.values())).resolved()

    plain = json.dumps(read("0"))
    for zero in ("0.0", "-0", "-0.0", "-0e5", "-.0", "+0.0"):
        assert json.dumps(read(zero)) == plain, "bits of what is trained follow from it, so its sign counts"


def test_a_grid_with_both_zeros_has_one_configuration_twice() -> None:
    assert "gives the same configuration as grid.loss.weight_decay[0]; keep one" in refusal(
        grid("loss.weight_decay: [0.0, -0.0]")
    )


STACK = "{family: stack, layers: [flatten, LAYER, {dense: outputs}]}"
ALONE = {"loss": "{name: output}", "data": "{name: point}"}
HELD: list[tuple[str, dict[str, str]]] = [
    ("data.x", {"data": "{name: point, x: NUMBER}"}),
    ("data.target", {"data": "{name: point, target: NUMBER}"}),
    ("data.x[1]", {"data": "{name: points, x: [1.0, NUMBER], values: [1.0, 2.0]}"}),
    ("data.values[0]", {"data": "{name: points, x: [1.0, 2.0], values: [NUMBER, 2.0]}"}),
    ("data.weights[0]", {"data": "{name: points, x: [1.0, 2.0], values: [1.0, 2.0], weights: [NUMBER, 1.0]}"}),
    ("data.weights[1]", {"data": "{name: paper_pair, weights: [1.0, NUMBER]}"}),
    ("data.separation", {"data": "{name: gaussian_classes, examples: 6, shape: [1, 1, 3], classes: 3, "
                         "separation: NUMBER}"}),
    ("data.singular_values[0]", {"data": "{name: linear_teacher, examples: 6, shape: [1, 1, 3], "
                                 "singular_values: [NUMBER]}"}),
    ("model.activation.leaky_relu", {"model": "{family: mlp, hidden: [4], activation: {leaky_relu: NUMBER}}"}),
    ("model.norm_epsilon", {"model": "{family: vit, patch: 4, width: 4, depth: 1, heads: 2, mlp_width: 4, "
                            "activation: gelu, norm_epsilon: NUMBER}"}),
    ("model.norm_epsilon", {"model": "{family: mixer, patch: 4, width: 4, depth: 1, tokens_width: 4, "
                            "channels_width: 4, activation: gelu, norm_epsilon: NUMBER}"}),
    ("model.eigenvalues[1]", {"model": "{family: quadratic, eigenvalues: [1.0, NUMBER]}", "data": "{name: point}",
                              "loss": "{name: output}"}),
    ("loss.weight_decay", {"loss": "{name: half_mse, weight_decay: NUMBER}"}),
    ("loss.smoothing", {"loss": "{name: smoothed_ce, smoothing: NUMBER}"}),
    ("start.theta[1]", {"model": "{family: quadratic, eigenvalues: [1.0, 2.0]}", "data": "{name: point}",
                        "loss": "{name: output}", "start": "{name: given, theta: [1.0, NUMBER]}"}),
    ("start.perturbation", {"start": "{name: head_saddle, perturbation: NUMBER}"}),
    ("start.share", {"start": "{name: split_saddle, share: NUMBER}"}),
    ("optimizer.learning_rate", {"optimizer": "{name: gd, learning_rate: NUMBER}"}),
    ("optimizer.momentum", {"optimizer": "{name: nesterov, learning_rate: 0.1, momentum: NUMBER}"}),
    ("optimizer.schedule.factors[0]", {"optimizer": "{name: gd, learning_rate: 0.1, schedule: {name: piecewise, "
                                       "at: [3], factors: [NUMBER]}}"}),
    ("optimizer.schedule.to", {"optimizer": "{name: gd, learning_rate: 0.1, schedule: {name: linear, to: NUMBER}}"}),
    ("optimizer.schedule.to", {"optimizer": "{name: gd, learning_rate: 0.1, schedule: {name: cosine, to: NUMBER}}"}),
    ("model.layers[1].epsilon", {"model": STACK.replace("LAYER", "{norm: layer, epsilon: NUMBER}")}),
    ("model.layers[1].scale", {"model": STACK.replace("LAYER", "{residual: [{dense: 64}], scale: NUMBER}")}),
    ("model.layers[0].quadratic[1]", {"model": "{family: stack, layers: [{quadratic: [1.0, NUMBER]}]}", **ALONE}),
    ("target.loss", {"target": "{loss: NUMBER}"}),
    ("target.loss_gap", {"target": "{loss_gap: NUMBER}"}),
]  # fmt: skip
"""Every number that training computes with."""

BELOW_ONE = ("model.activation.leaky_relu", "loss.smoothing", "optimizer.momentum")
UNHELD = "is not allowed: in float32, the arithmetic of training, it is"


def with_number(parts: dict[str, str], number: str, *more: str) -> str:
    lines = {line.split(":")[0]: line for line in varied(("relu", "tanh"), ("[16, 16]", "[16]")).splitlines()}
    written = lines | {part: f"{part}: {text.replace('NUMBER', number)}" for part, text in parts.items()}
    return "\n".join([*written.values(), *more])


@pytest.mark.parametrize(("path", "parts"), HELD)
def test_a_number_that_training_cannot_hold_is_refused(path: str, parts: dict[str, str]) -> None:
    for number in ("1e-50", "1e-45", "1.1e-38"):
        found = refusal(with_number(parts, number))
        assert f"{path}: {number} {UNHELD} 0; allowed: magnitudes from 1.2e-38, or `precision: float64`" in found
        assert cell(with_number(parts, number, "precision: float64"))
        assert UNHELD.replace("float32", "float64") in refusal(with_number(parts, "1e-310", "precision: float64"))
    if path in BELOW_ONE:
        assert f"{path}: 0.99999999 {UNHELD} 1; allowed: what is below 1 there" in refusal(
            with_number(parts, "0.99999999")
        )
        assert cell(with_number(parts, "0.9999999"))
        assert cell(with_number(parts, "0.99999999", "precision: float64"))


def test_every_number_of_a_recipe_is_asked_whether_training_holds_it() -> None:
    found: set[str] = set()

    def visit(node: Any, name: str) -> None:
        if isinstance(node, dict):
            if node.get("type") == "number":
                found.add(name)
            for key, value in node.items():
                visit(value, name if key in schema_words else key)
        elif isinstance(node, list):
            for value in node:
                visit(value, name)

    schema_words = ("items", "anyOf", "oneOf", "properties", "$defs")
    visit(json.loads(specs.schema_json()), "")
    asked = {path.split(".")[-1].split("[")[0] for path, _ in HELD}
    assert found - asked == {*conflicts.MEASURED, "gain", "width"}, "the last two are bounded by themselves"
    assert "gain: 1e-13 is not allowed" in refusal(varied(("relu", "relu, gain: 1e-13")))


def test_a_name_beside_null_has_its_nearest_too() -> None:
    stack = varied(("hidden", "layers"), ("[16, 16]", "[{dense: outputs}]"), ("mlp", "stack"), ("relu", "rleu"))
    assert "did you mean 'relu'?" in refusal(stack)


@pytest.mark.parametrize("number", ["1e39", "-3.5e38"])
def test_a_number_that_becomes_infinite_is_refused(number: str) -> None:
    parts = next(parts for path, parts in HELD if path == "start.theta[1]")
    assert f"{UNHELD} infinity; allowed: at most 3.4e38" in refusal(with_number(parts, number))
    assert cell(with_number(parts, "3.4e38")) and cell(with_number(parts, number, "precision: float64"))


SCHEDULED = [
    ("1e-20", "{name: piecewise, at: [3], factors: [1e-20]}", "1e-40"),
    ("1e-36", "{name: linear, to: 1e-3}", "1e-39"),
    ("1e-36", "{name: cosine, to: 1e-3}", "1e-39"),
    ("1e-36", "{name: linear, warmup: 200}", "4.98e-39"),
    ("1e37", "{name: piecewise, at: [3], factors: [1000]}", "1e+40"),
]


@pytest.mark.parametrize(("rate", "schedule", "size"), SCHEDULED)
def test_a_schedule_leads_to_step_sizes_that_training_holds(rate: str, schedule: str, size: str) -> None:
    written = f"learning_rate: {rate}, schedule: {schedule}"
    kind = "infinity" if "+" in size else "0"
    found = refusal(varied(("learning_rate: 0.001", written)))
    assert f"optimizer.schedule: the step size becomes {size}; in float32" in found and f"it is {kind};" in found
    assert cell(varied(("learning_rate: 0.001", written)) + "precision: float64\n")
    late = varied(("learning_rate: 0.001", written.replace("at: [3]", "at: [301]")))
    assert "piecewise" not in schedule or cell(late), "the last of 300 steps is before that"


OTHER: dict[str, Any] = {
    "data.name": "fashion_mnist",
    "data.examples": 511,
    "model.hidden": [16, 17],
    "model.stages": [[2, 2], [2]],
    "model.dense": [3],
    "model.patch": 4,
    "model.width": 14,
    "model.depth": 2,
    "model.heads": 3,
    "model.mlp_width": 9,
    "model.activation": "tanh",
    "model.bias": False,
    "loss.name": "ce",
    "loss.smoothing": 0.11,
    "loss.weight_decay": 1e-4,
    "data.split": "test",
    "data.subset": {"balanced": 0},
    "data.resize": 16,
    "data.channels": 3,
    "data.standardise": True,
    "data.outputs": 12,
    "data.targets": {"planted": 0},
    "model.gain": 1.1,
    "model.pool": "average",
    "model.positions": "fixed",
    "model.pooling": "class_token",
    "model.norm_epsilon": None,
    "optimizer.learning_rate": 0.0010000000000000002,
    "optimizer.batch_size": 63,
    "optimizer.sampling": "cyclic",
    "optimizer.momentum": 0.8,
    "optimizer.schedule": {"name": "cosine"},
    "target": {"loss": 0.5},
    "steps": 301,
    "checkpoints": 15,
    "precision": "float64",
    "curvature": "dense",
    "diagnostics": ["kinks"],
    "trace": {"top": 3, "every": 2},
}
HEAVY_BALL = varied(("{name: gd, learning_rate: 0.001}", "{name: heavy_ball, learning_rate: 0.001, momentum: 0.9}"))
SMOOTHED = varied(("half_mse", "smoothed_ce"))
BASES = {"mlp": MLP, "sgd": SGD, "heavy_ball": HEAVY_BALL, "smoothed_ce": SMOOTHED, "vgg": VGG, "vit": VIT}
FIELDS = [
    (base, path)
    for base, text in BASES.items()
    for path in leaves(cell(text).resolved())
    if path not in ("model.family", "optimizer.name", "start.name")
    and not (base == "smoothed_ce" and path in ("loss.name", "data.targets"))  # smoothed labels cannot be planted
]


@pytest.mark.parametrize(("base", "path"), FIELDS)
def test_every_field_that_changes_a_number_changes_the_name(base: str, path: str) -> None:
    mapping = yaml.safe_load(BASES[base].replace("1e-3", "0.001"))
    if path == "data.split":
        mapping["data"]["examples"] = 256  # as many as the test part has
    whole = cell(json.dumps(mapping))
    *parts, last = path.split(".")
    functools.reduce(lambda part, key: part.setdefault(key, {}), parts, mapping)[last] = OTHER[path]
    assert cell(json.dumps(mapping)).spec_hash != whole.spec_hash


def test_examples_of_unequal_weight_are_drawn_with_replacement_only() -> None:
    text = MLP.replace("{name: digits, examples: 512}", "{name: paper_pair, weights: [1.0, 3.0]}")
    text = text.replace("{name: gd, learning_rate: 0.001}", "{name: sgd, learning_rate: 0.1, batch_size: 1, SAMPLING}")
    for sampling in ("reshuffling", "cyclic"):
        with pytest.raises(
            errors.InputError, match=f"'{sampling}' is not allowed; allowed: replacement, as the exampl"
        ):
            cell(text.replace("SAMPLING", f"sampling: {sampling}"))
        assert cell(text.replace("SAMPLING", f"sampling: {sampling}").replace("3.0]", "1.0]"))
    assert cell(text.replace("SAMPLING", "sampling: replacement"))


def test_one_choice_of_diagnostics_is_one_name() -> None:
    def named(choice: str) -> config.Cell:
        return cell(f"{MLP}diagnostics: {choice}\n")

    same = [["[kinks, gaps]", "[gaps, fit, kinks, gaps]"], ["{budget: 10 %}", "{budget: 10.0%}"], ["[]", "[fit]"]]
    for left, right in same:
        assert named(left).spec_hash == named(right).spec_hash
        assert cell(specs.dump(named(left))).spec_hash == named(left).spec_hash
    assert named("[kinks]").resolved()["diagnostics"] == ["fit", "kinks"]
    assert named("{budget: 2.5%}").resolved()["diagnostics"] == {"budget": "2.5 %"}
    found = parse(grid("diagnostics: [auto, [sweep], {budget: 20 %}]"))
    assert len({each.spec_hash for each in found.cells}) == 3
    assert found.cells[2].label == "mlp · diagnostics={budget: 20 %}"


def test_variants_change_the_name() -> None:
    same_fields = varied(("name: gd", "name: sgd, batch_size: 512"))
    assert len({cell(text).spec_hash for text in (*BASES.values(), same_fields)}) == len(BASES) + 1


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_a_dumped_cell_is_the_same_cell(path: pathlib.Path) -> None:
    for each in specs.read(path).cells:
        again = specs.parse(specs.dump(each), file="cell.yaml", suite=each.suite, name=each.spec)
        (only,) = again.cells
        assert only.spec_hash == each.spec_hash
        assert (again.title, again.source, again.seeds) == (each.title, each.source, each.seeds)
        assert specs.dump(only) == specs.dump(each)


@hypothesis.given(
    title=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=30),
    rate=st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False),
)
@hypothesis.example(title="1e-3", rate=5e-324)
@hypothesis.example(title="no", rate=1.7976931348623157e308)
@hypothesis.example(title="'\"#: &*!", rate=1e22)
def test_any_title_and_rate_survive_a_dump(title: str, rate: float) -> None:
    try:
        first = cell(varied(("MLP on digits", json.dumps(title, ensure_ascii=False)), ("0.001", repr(rate))))
    except errors.InputError:
        hypothesis.reject()
    second = cell(specs.dump(first))
    assert (second.spec_hash, second.title) == (first.spec_hash, first.title)
    assert second.resolved()["optimizer"]["learning_rate"] == rate


# The steps at which a run is measured


@hypothesis.given(steps=st.integers(1, 10**7), checkpoints=st.integers(2, 1000))
def test_checkpoint_steps_are_distinct_span_the_run_and_are_as_many_as_asked(steps: int, checkpoints: int) -> None:
    chosen = config.checkpoint_steps(steps, checkpoints)
    assert (chosen[0], chosen[-1]) == (0, steps)
    assert all(a < b for a, b in itertools.pairwise(chosen))
    assert len(chosen) == min(checkpoints, steps + 1)
    assert all(isinstance(step, int) for step in chosen)


def test_checkpoint_steps_are_log_spaced() -> None:
    assert config.checkpoint_steps(300, 16) == (0, 1, 2, 3, 4, 5, 8, 12, 17, 26, 39, 59, 88, 133, 200, 300)
    assert config.checkpoint_steps(10**6, 8) == (0, 1, 10, 100, 1000, 10**4, 10**5, 10**6)
    assert config.checkpoint_steps(300, 2) == (0, 300)
    assert config.checkpoint_steps(1, 16) == (0, 1)


# Files and folders


def read_refusal(path: str | os.PathLike[str]) -> str:
    with pytest.raises(errors.InputError) as error:
        specs.read(path)
    return str(error.value)


def test_a_missing_file_is_told_with_the_nearest_name(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.CHECKOUT)
    nearest = "there is no such file; did you mean 'specs/quickstart/mlp.yaml'?"
    assert read_refusal("specs/quickstart/mpl.yaml") == f"specs/quickstart/mpl.yaml: {nearest}"
    assert read_refusal("specs/quikstart/mlp.yaml") == f"specs/quikstart/mlp.yaml: {nearest}"
    (tmp_path / "mine.yaml").write_text(MLP)
    wanted = tmp_path / "mime.yaml"
    assert read_refusal(wanted) == f"{wanted}: there is no such file; did you mean '{tmp_path}/mine.yaml'?"


def test_what_is_no_spec_file_is_told(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "suite"
    folder.mkdir()
    cases: list[tuple[str, bytes, str]] = [
        ("empty.yaml", b"", "1:1: the file is empty"),
        ("x.yml", b"", " the name of a spec file ends in .yaml"),
        ("a b.yaml", MLP.encode(), f" the name of the file, 'a b', is not allowed; allowed: {specs.NAMES}"),
    ]
    for name, content, message in cases:
        (folder / name).write_bytes(content)
        assert read_refusal(folder / name) == f"{folder / name}:{message}"
    (folder / "latin.yaml").write_bytes("a: \u00e9".encode("latin-1"))
    message = f"{folder}/latin.yaml:1:4: byte 0xe9 is not UTF-8; save the file as UTF-8"
    assert read_refusal(folder / "latin.yaml") == message
    (folder / "big.yaml").write_bytes(b"#" * 70_000)
    assert read_refusal(folder / "big.yaml") == f"{folder}/big.yaml: larger than 64 KiB; a spec is smaller"
    assert read_refusal(folder) == f"{folder}: is a folder; name a spec file in it"
    assert read_refusal("a\0b.yaml") == "'a\\x00b.yaml': there is no such file"
    assert read_refusal("x" * 300 + ".yaml").endswith(": cannot be read: File name too long")
    os.mkfifo(folder / "pipe.yaml")
    assert read_refusal(folder / "pipe.yaml") == f"{folder}/pipe.yaml: is not a regular file"


def test_the_suite_is_the_folder_that_a_person_sees(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("real", "seen"):
        (tmp_path / name).mkdir()
    (tmp_path / "real" / "mine.yaml").write_text(MLP)
    (tmp_path / "seen" / "mine.yaml").symlink_to(tmp_path / "real" / "mine.yaml")
    assert specs.read(tmp_path / "seen" / "mine.yaml").suite == "seen"
    monkeypatch.chdir(tmp_path / "seen")
    assert specs.read("mine.yaml").suite == "seen"
    assert specs.read("../real/mine.yaml").suite == "real"


def test_a_file_that_may_not_be_read_is_told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text(MLP)

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    assert read_refusal(tmp_path / "mine.yaml") == f"{tmp_path}/mine.yaml: cannot be read: Permission denied"


def test_a_folder_stands_for_its_specs_each_once(tmp_path: pathlib.Path) -> None:
    for name in ("one/b.yaml", "one/a.yaml", "two/c.yaml", ".hidden/d.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(MLP)
    found = specs.read_all([tmp_path, tmp_path / "one" / "a.yaml", tmp_path / "two" / ".." / "one" / "a.yaml"])
    assert [(each.suite, each.name) for each in found] == [("one", "a"), ("one", "b"), ("two", "c")]
    (tmp_path / "none").mkdir()
    with pytest.raises(errors.InputError, match="there is no such file"):
        specs.read_all(["a\0b.yaml"])
    with pytest.raises(errors.InputError) as error:
        specs.read_all([tmp_path / "none"])
    assert str(error.value) == f"{tmp_path}/none: the folder holds no *.yaml"


def test_the_problems_of_all_files_are_told(tmp_path: pathlib.Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(varied(("300", "0")))
    with pytest.raises(errors.InputError) as error:
        specs.read_all([tmp_path, tmp_path / "a.yaml"])
    problem = "7:8: steps: 0 is not allowed; allowed: an integer from 1 to 10000000"
    assert str(error.value) == f"{tmp_path}/a.yaml:{problem}\n{tmp_path}/b.yaml:{problem}"


# Whatever is thrown at it


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_file_of_the_corpus_is_refused_with_its_message(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, at_most: AtMost
) -> None:
    monkeypatch.chdir(CORPUS)
    with at_most(WORK):
        assert read_refusal(path.name) + "\n" == path.with_suffix(".txt").read_text(encoding="utf-8")


def holds_up(content: bytes, at_most: AtMost) -> None:
    """Accepts success and InputError with a place, both with little work; everything else fails the test."""
    with at_most(WORK):
        try:
            found = specs.parse(strict_yaml.decode(content, "x.yaml"), file="x.yaml", suite="fuzz", name="x")
        except errors.InputError as error:
            assert str(error).startswith("x.yaml:")
            assert len(str(error)) < 20_000
        else:
            assert all(each.cell_id for each in found.cells[:10])


KEYWORDS = """
schema title source data model loss start optimizer steps checkpoints precision curvature seeds grid name family hidden
stages activation learning_rate eta_lambda batch_size examples digits mlp vgg vit relu half_mse smoothed_ce gd sgd
random model.activation optimizer.learning_rate 1 0 -1 3 16 1e-3 0.1 1e999 012 no true null ~ .nan 1:30 2024-01-01 ' "
&a *a << !!str | > %YAML --- é # "\\ud800" "\\UFFFFFFFF" ? - @ ` ... [] {}
"""
words = st.sampled_from([*KEYWORDS.split(), "9" * 30, "\t", "\u202e", "? ", "- ", "\n"])
grammar = st.recursive(
    words,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(words, inner), max_size=5).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=20,
)
fuzz = functools.partial(hypothesis.settings, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))


@fuzz(max_examples=700)
@hypothesis.given(st.lists(st.tuples(words, grammar), max_size=12))
def test_any_text_of_yaml_like_parts_is_read_or_refused(at_most: AtMost, pairs: list[tuple[str, str]]) -> None:
    holds_up("\n".join(f"{key}: {value}" for key, value in pairs).encode("utf-8", "surrogatepass"), at_most)


@fuzz(max_examples=600)
@hypothesis.given(
    st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
)
def test_any_bytes_are_read_or_refused(at_most: AtMost, content: bytes) -> None:
    holds_up(content, at_most)


@fuzz(max_examples=700)
@hypothesis.given(st.sampled_from(OURS), st.randoms(use_true_random=False), st.integers(1, 4), st.data())
def test_any_mutation_of_a_right_spec_is_read_or_refused(
    at_most: AtMost, path: pathlib.Path, chance: random.Random, count: int, more: st.DataObject
) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(count):
        i, j = sorted((chance.randrange(len(content) + 1), chance.randrange(len(content) + 1)))
        j = min(j, i + 40)
        kind = chance.randrange(5)
        if kind == 0:
            del content[i:j]
        elif kind == 1:
            content[i:i] = content[i:j]
        elif kind == 2:
            content[i : i + 1] = bytes([chance.randrange(256)])
        elif kind == 3:
            content[i:j] = more.draw(grammar).encode("utf-8", "surrogatepass")
        else:
            content[i:i] = content[:i][-40:] * 50
    holds_up(bytes(content), at_most)


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
@pytest.mark.parametrize("value", [None, True, -1, 2**53 - 1, 0.5, "x", [], {}, [[]], {"name": []}, ["relu", 3]])
def test_any_wrong_type_at_any_place_is_told_there(path: pathlib.Path, value: Any) -> None:
    mapping = strict_yaml.load(path.read_text(encoding="utf-8"), str(path)).value
    for place in places(mapping):
        changed = copy.deepcopy(mapping)
        functools.reduce(operator.getitem, place[:-1], changed)[place[-1]] = value
        try:
            parse(json.dumps(changed))
        except errors.InputError as error:
            if place == ("data", "resize") and str(error).split(": ")[1] == "model":
                continue  # a size that is one, and a network that does not fit it
            named = f"{place[1]}=" if place[0] == "grid" and "(where " in str(error) else str(place[0])
            assert named in str(error), "a cell of the grid is named by its values"
            words = ("is not allowed; allowed: ", "missing", "unknown", "gives the same configuration as grid.")
            assert any(word in str(error) for word in words)
