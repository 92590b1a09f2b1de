# SPDX-License-Identifier: Apache-2.0
"""Twins: a network of the zoo once more in PyTorch, of the same layers, weights and data.

The peers get what a user of PyTorch would write: images as (N, C, H, W), PyTorch's own layouts of kernels, its own
convolution, pooling, normalisation and cross-entropy. No row is printed of a twin that does not agree with its network.
PyTorch is imported when a twin is made, not before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from harness.bench import problems
from harness.risk import objective
from zoo import layer

AGREE = 1e-6
"""How far, relatively, loss and gradient norm of a twin may be from those of its network, both in float64."""


class Twin(NamedTuple):
    """A network in PyTorch with its data.

    Attributes:
        module: The `torch.nn.Module`.
        criterion: Mean cross-entropy of labels.
        x: (N, C, H, W); y: (N,) labels.
        parameters: Its parameters.
    """

    module: Any
    criterion: Any
    x: Any
    y: Any
    parameters: list[Any]


class Disagreement(Exception):
    """A twin is not the network that it should be."""


def twin(problem: problems.Problem, precision: str) -> Twin:
    """Returns the twin of a problem.

    Raises:
        ImportError: If PyTorch is not installed.
        NotImplementedError: If there is no twin of one of its layers.
    """
    import torch

    dtype = getattr(torch, precision)
    layers = zoo.FAMILIES[problem.network.fields["family"]].layers(problem.config, problem.shape, 10)
    weights = {path: torch.tensor(array, dtype=dtype) for path, array in _weights(problem).items()}

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.nn.ParameterDict(weights)

        def forward(self, x: Any) -> Any:
            return _apply(torch, layers, self.weights, "", x)

    module = Module()
    images = np.ascontiguousarray(problem.arrays.x.transpose(0, 3, 1, 2))
    return Twin(
        module,
        torch.nn.CrossEntropyLoss(),
        torch.tensor(images, dtype=dtype),
        torch.tensor(problem.arrays.targets.argmax(axis=1)),
        list(module.parameters()),
    )


def place() -> str | None:
    """Returns where PyTorch computes on the device that jax computes on, as PyTorch calls it; None where it cannot."""
    import torch

    if jax.default_backend() == "cpu":
        return "cpu"
    return "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else None


def moved(made: Twin, place: str) -> Twin:
    """Returns a twin on another device, where products are not rounded to TF32, as ours are not."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    module = made.module.to(place)
    return Twin(module, made.criterion, made.x.to(place), made.y.to(place), list(module.parameters()))


def check(problem: problems.Problem) -> None:
    """Compares loss and gradient norm of a problem with those of its twin, in float64.

    Raises:
        Disagreement: If one of them differs by more than AGREE of itself.
    """
    import torch

    theta, batch = problem.point("float64")
    value, gradient = jax.jit(jax.value_and_grad(problem.goal.risk))(theta, batch)
    made = twin(problem, "float64")
    loss = made.criterion(made.module(made.x), made.y)
    gradients = torch.autograd.grad(loss, made.parameters)
    norm = math.sqrt(sum(float((part**2).sum()) for part in gradients))
    pairs = {"loss": (float(value), float(loss.detach())), "gradient norm": (float(np.linalg.norm(gradient)), norm)}
    for what, (ours, theirs) in pairs.items():
        if not abs(ours - theirs) <= AGREE * abs(ours):
            raise Disagreement(f"{what} is {ours:.9g} here and {theirs:.9g} in PyTorch")


def kept_graph(made: Twin, chunk: int) -> Callable[[list[Any]], list[Any]]:
    """Returns the Hessian-vector product of gradient graphs that are built once and kept, one for each chunk.

    The fastest that PyTorch offers for many products at one point; none of the peers keeps graphs for more than one
    batch. Memory: the activations of all examples, forward and backward.
    """
    import torch

    count = len(made.y)
    graphs = []
    for x, y in zip(made.x.split(chunk), made.y.split(chunk), strict=True):
        loss = made.criterion(made.module(x), y) * (len(y) / count)
        graphs.append(torch.autograd.grad(loss, made.parameters, create_graph=True))

    def product(v: list[Any]) -> list[Any]:
        total = [torch.zeros_like(part) for part in made.parameters]
        for gradients in graphs:
            parts = torch.autograd.grad(gradients, made.parameters, grad_outputs=v, retain_graph=True)
            for sum_, part in zip(total, parts, strict=True):
                sum_.add_(part)
        return total

    return product


def _weights(problem: problems.Problem) -> dict[str, np.ndarray]:
    """Returns the parameters by path, in PyTorch's layouts."""
    tree = objective.flattening(jax.eval_shape(problem.model.init, jax.random.key(0)))(jnp.asarray(problem.theta))
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        names = [entry.key for entry in path]
        array = np.asarray(leaf)
        if names[-1] == "kernel":
            array = _kernel(names, array)
        elif "attention" in names:
            array = array.ravel()
        found["/".join(names)] = np.ascontiguousarray(array)
    return found


def _kernel(names: list[str], array: np.ndarray) -> np.ndarray:
    """Returns a dense kernel (D, K) as (K, D), a convolution's (h, w, C, K) as (K, C, h, w)."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    if array.ndim == 3:
        rows = math.prod(array.shape[:2]) if names[-2] == "out" else array.shape[0]
        array = array.reshape(rows, -1)
    return array.T


def _apply(torch: Any, layers: layer.Layers, weights: Mapping[str, Any], prefix: str, x: Any) -> Any:
    for name, row in layers.items():
        if type(row) not in LAYERS:
            raise NotImplementedError(f"there is no twin of the layer {type(row).__name__}")
        x = LAYERS[type(row)](torch, row, weights, f"{prefix}{name}/", x)
    return x


def _dense(torch: Any, _row: Any, weights: Mapping[str, Any], path: str, x: Any) -> Any:
    bias = weights.get(f"{path}bias", None)
    return torch.nn.functional.linear(x, weights[f"{path}kernel"], bias)


def _convolve(torch: Any, row: layer.Convolution, weights: Mapping[str, Any], path: str, x: Any) -> Any:
    bias = weights.get(f"{path}bias", None)
    return torch.nn.functional.conv2d(x, weights[f"{path}kernel"], bias, padding=row.side // 2)


def _activate(torch: Any, row: layer.Activation, _weights: Mapping[str, Any], _path: str, x: Any) -> Any:
    functions = {"relu": torch.relu, "gelu": torch.nn.functional.gelu, "tanh": torch.tanh}
    return functions[str(row.function)](x)


def _normalise(torch: Any, row: layer.LayerNorm, weights: Mapping[str, Any], path: str, x: Any) -> Any:
    scale, bias = weights[f"{path}scale"], weights[f"{path}bias"]
    return torch.nn.functional.layer_norm(x, x.shape[-1:], scale, bias, row.epsilon)


def _flatten(_torch: Any, _row: Any, _weights: Mapping[str, Any], _path: str, x: Any) -> Any:
    return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)


def _cut(_torch: Any, row: layer.Patches, _weights: Mapping[str, Any], _path: str, x: Any) -> Any:
    n, channels, height, width = x.shape
    x = x.reshape(n, channels, height // row.side, row.side, width // row.side, row.side)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(n, -1, row.side**2 * channels)


def _attend(torch: Any, row: layer.Attention, weights: Mapping[str, Any], path: str, x: Any) -> Any:
    n, tokens, width = x.shape

    def heads(name: str) -> Any:
        projected = _dense(torch, row, weights, f"{path}{name}/", x)
        return projected.reshape(n, tokens, row.heads, -1).transpose(1, 2)

    scores = heads("query") @ heads("key").transpose(2, 3) / math.sqrt(width // row.heads)
    mixed = torch.softmax(scores, dim=-1) @ heads("value")
    return _dense(torch, row, weights, f"{path}out/", mixed.transpose(1, 2).reshape(n, tokens, width))


def _residual(torch: Any, row: layer.Residual, weights: Mapping[str, Any], path: str, x: Any) -> Any:
    past = _apply(torch, row.shortcut, weights, f"{path}shortcut/", x)
    return past + row.scale * _apply(torch, row.inner, weights, f"{path}inner/", x)


LAYERS: dict[type[layer.Layer], Callable[..., Any]] = {
    layer.Dense: _dense,
    layer.Convolution: _convolve,
    layer.Activation: _activate,
    layer.LayerNorm: _normalise,
    layer.MaxPool: lambda torch, row, weights, path, x: torch.nn.functional.max_pool2d(x, 2),
    layer.Flatten: _flatten,
    layer.Patches: _cut,
    layer.Position: lambda torch, row, weights, path, x: x + weights[f"{path}code"],
    layer.Attention: _attend,
    layer.Residual: _residual,
    layer.Mean: lambda torch, row, weights, path, x: x.mean(dim=1),
}
"""How each class of layer is written in PyTorch: `(torch, row, weights, path, x) -> y`."""
