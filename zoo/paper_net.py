# SPDX-License-Identifier: Apache-2.0
"""The network of the paper's figures: f = phi(theta_2 phi(theta_1 x)), two parameters, one number in, one number out.

Source: Craciun & Ghoshdastidar, NeurIPS 2025, arXiv 2510.24466, appendix C, with phi = relu. Parameters start truncated
normal with variance 1. With relu and positive inputs only the positive quadrant is alive: three quarters of the starts
have output and gradient zero. Hypotheses of the theorem: dense layers, covered directly.
"""

from __future__ import annotations

import math
from typing import Literal

from zoo import config, layer


class Config(config.Config):
    """The two-parameter network: its activation."""

    family: Literal["paper_net"]
    activation: config.Activation


def layers(config: Config, inputs: layer.Shape, outputs: int) -> layer.Layers:
    """Returns flatten, dense_0, activation_0, dense_1, activation_1; one output whatever `outputs` asks for.

    Raises:
        ValueError: If an example is not one number.
    """
    if math.prod(inputs) != 1:
        raise ValueError(f"paper_net takes examples of one number, not of shape {inputs}")
    phi = layer.Activation(config.activation)
    theta = layer.Dense(1, bias=False)
    return {"flatten": layer.Flatten(), "dense_0": theta, "activation_0": phi, "dense_1": theta, "activation_1": phi}


SETTINGS = {
    "tiny": config.tiny(2, {"activation": "relu"}, inputs=(1, 1, 1), outputs=1),
    "paper": config.Setting(
        {"activation": "relu"},
        (1, 1, 1),
        1,
        2,
        "Craciun & Ghoshdastidar, NeurIPS 2025, arXiv 2510.24466, appendix C and figures 3 and 4",
    ),
}
