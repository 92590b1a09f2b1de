# SPDX-License-Identifier: Apache-2.0
"""Deep linear networks: a product of matrices, linear in the input and not in the parameters.

Source: Baldi & Hornik, Neural Networks 1989; Saxe, McClelland & Ganguli, ICLR 2014, arXiv 1312.6120. Hypotheses of the
theorem: dense layers with the identity between them, covered directly; the risk is a polynomial under half_mse.
"""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from zoo import config, layer


class Config(config.Config):
    """A deep linear network: the widths between its matrices, whether layers have biases, how large it starts."""

    family: Literal["deep_linear"]
    hidden: Annotated[config.Widths, pydantic.Field(description="Widths between the matrices.")]
    bias: config.Bias = False
    gain: config.Gain = 1.0


def layers(config: Config, inputs: layer.Shape, outputs: int) -> layer.Layers:
    """Returns flatten, dense_i for each hidden width, and head; fits every input."""
    hidden = {f"dense_{i}": layer.Dense(width, config.bias, config.gain) for i, width in enumerate(config.hidden)}
    return {"flatten": layer.Flatten(), **hidden, "head": layer.Dense(outputs, config.bias, config.gain)}


SETTINGS = {
    "tiny": config.tiny(1440, {"hidden": [16, 16]}),
    "two-matrices": config.Setting(
        {"hidden": [3]},
        (1, 1, 3),
        3,
        18,
        "f = W2 W1 x with 3x3 matrices: Baldi & Hornik, Neural Networks 1989, where all saddles are known; "
        "the count follows",
    ),
}
