# SPDX-License-Identifier: Apache-2.0
"""The settings of a run in a few words: its optimiser, its step size, its activation."""

from __future__ import annotations

from collections.abc import Iterator

from leaderboard.board import number
from leaderboard.export import document
from zoo import activations


def optimizer(run: document.Run) -> str:
    """Returns the optimiser and its settings in a few words, for example `sgd, batch 64, reshuffling`."""
    part = run.part("optimizer")
    schedule = part.get("schedule")
    words = [
        str(part["name"]).replace("_", " "),
        f"momentum {part['momentum']}" if "momentum" in part else "",
        f"batch {part['batch_size']}" if part.get("batch_size") else "",
        str(part.get("sampling", "")) if part.get("batch_size") else "",
        str(schedule.get("name")) if isinstance(schedule, dict) else "",
    ]
    return ", ".join(word for word in words if word not in ("", "replacement", "constant"))


def learning_rate(run: document.Run) -> str:
    """Returns the step size as the spec gives it: a number, or `c / λ_max(0)`."""
    rate = run.part("optimizer").get("learning_rate")
    if isinstance(rate, dict) and isinstance(rate.get("eta_lambda"), int | float):
        return f"{number.show(float(str(rate['eta_lambda'])))}\u00a0/\u00a0λ_max(0)"
    return number.show(float(rate)) if isinstance(rate, int | float) else number.MISSING


def activation(run: document.Run) -> str:
    """Returns the activation as the spec gives it, for example `relu` or `leaky_relu 0.2`; empty without one.

    Of a stack those in its list, each once, where `activation` is that of the stack.
    """
    part = run.part("model")
    own = _activation(part.get("activation"))
    found = [own if word == "activation" else word for word in _words(part.get("layers"))]
    return ", ".join(dict.fromkeys(word for word in found or [own] if word))


def _activation(said: object) -> str:
    if isinstance(said, dict):
        return ", ".join(f"{name} {value}" for name, value in said.items())
    return str(said or "")


def _words(layers: object) -> Iterator[str]:
    """Yields the activations in the list of a stack, those of lists within it too."""
    for item in layers if isinstance(layers, list) else ():
        if isinstance(item, str):
            yield from (item,) if item == "activation" or item in activations.ACTIVATIONS else ()
        elif isinstance(item, dict):
            yield from _words([item["layer"]] if "layer" in item else [])
            yield from (f"leaky_relu {item['leaky_relu']}",) if "leaky_relu" in item else ()
            for inner in item.values():
                yield from _words(inner)


ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "leaky ReLU",
    "gelu": "GELU",
    "gelu_tanh": "GELU (tanh)",
    "silu": "SiLU",
    "elu": "ELU",
    "relu6": "ReLU6",
}
"""How people write those whose names are written otherwise in a spec."""

FAMILIES = {"mlp": "MLP", "vgg": "VGG", "vit": "ViT", "resnet": "ResNet", "mixer": "Mixer", "gpt": "GPT"}
LOSSES = {"half_mse": "half squared error", "smoothed_ce": "smoothed cross-entropy", "ce": "cross-entropy"}
OPTIMISERS = {"gd": "gradient descent", "sgd": "SGD"}


def family(run: document.Run) -> str:
    """Returns the family of a network as people write it, for example `ViT`."""
    name = str(run.part("model").get("family", ""))
    return FAMILIES.get(name, name.replace("_", " "))


def network(run: document.Run) -> str:
    """Returns network, activation and loss as people write them, for example `ViT · GELU · cross-entropy`."""
    name, loss = activation(run), str(run.part("loss").get("name", ""))
    named = ", ".join(ACTIVATIONS.get(word, word) for word in name.split(", "))
    words = family(run), named, LOSSES.get(loss, loss)
    return " · ".join(word for word in words if word)


def named_optimizer(run: document.Run) -> str:
    """Returns the optimiser as people write it, for example `SGD, batch 32`."""
    name, *rest = optimizer(run).split(", ")
    return ", ".join([OPTIMISERS.get(name, name), *rest])
