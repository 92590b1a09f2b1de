# SPDX-License-Identifier: Apache-2.0
"""How far a number that was computed again may be from the one that is claimed.

On a machine of the same canary and profile: not at all. Elsewhere by `RULES`: a share of what the number is measured
against, plus the error bars of both. The shares are some hundred times what was seen between instruction sets and
thread counts (`gdzoo verify --json` prints each pair; leaderboard/submissions/README.md has the measurement).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from harness import metrics

Values = Mapping[str, float]


class Rule(NamedTuple):
    """How a metric may differ between machines.

    Attributes:
        share: Of `against`.
        against: `(claimed value, values of the record) -> ` what the share is of.
    """

    share: float
    against: Callable[[float, Values], float]


def _itself(value: float, _values: Values) -> float:
    return abs(value)


def _curvature(_value: float, values: Values) -> float:
    return max(abs(values.get("sharpness", math.nan)), abs(values.get("lambda_min", math.nan)))


def _scaled(value: float, values: Values) -> float:
    return abs(value) + 1 + abs(values.get("eta_sharpness", 0.0))


def _logarithm(value: float, values: Values) -> float:
    nearest = max(values.get("sigma_min", 1.0), 1e-12)
    return abs(value) + (1 + abs(values.get("eta_sharpness", 0.0))) / nearest


def _margin(value: float, _values: Values) -> float:
    """A start that is rounded otherwise moves margins by 3e-8 (measured), whatever their size."""
    return abs(value) + MOVED / ITERATED.share


def _exit(value: float, values: Values) -> float:
    """No margin that is passed on the way is less than the least; a step that leaves its piece does so within it."""
    nearest = max(values.get("kink_distance", math.inf), MOVED)
    return abs(value) * (1 + MOVED / ITERATED.share / nearest)


def _gap(_value: float, values: Values) -> float:
    return abs(values.get("loss", 0.0))


def _relative(value: float, values: Values) -> float:
    gap = abs(values.get("loss_gap", math.nan))
    return abs(value) * abs(values.get("loss", 0.0)) / gap if gap > 0 else 0.0


def _ratio(value: float, values: Values) -> float:
    gap = values.get("loss_gap", math.nan)
    return abs(value) * (1 + abs(values.get("loss", 0.0)) / gap) if gap > 0 else math.inf


VALUE = Rule(1e-5, _itself)
CURVATURE = Rule(1e-6, _curvature)
SCALED = Rule(1e-6, _scaled)
LOGARITHM = Rule(1e-6, _logarithm)
ITERATED = Rule(1e-2, _itself)
"""Of methods that stop by themselves, or follow a trajectory."""

MOVED = 1e-6
"""How far margins may be apart at a start that was drawn again: float32 rounds it otherwise by machine. Measured
between AVX2, AVX and SSE4.2, VGGs and MLPs, 3 seeds each: 3e-8 there, and nothing at a state that was handed in."""

STATISTICAL = frozenset(
    ("mu", "lambda", "lambda_lower", "log_abs_det", "exponent", "second_exponent", "batch_log_abs_det_median")
)
"""Metrics whose error bar is of drawn samples: the same are drawn again, so a twenty-fifth of it is room enough."""

RULES: dict[str, Rule] = {
    "loss_gap": Rule(1e-5, _gap),
    "relative_gap": Rule(1e-5, _relative),
    "pl_ratio": Rule(1e-5, _ratio),
    "eta": Rule(1e-6, _itself),
    "kink_distance": Rule(1e-2, _margin),
    "segment_exit": Rule(1e-2, _exit),
    "flip_fraction": Rule(1e-2, lambda value, _: abs(value) + 0.1),
    **dict.fromkeys(("inverse_residual", "inverse_distance"), Rule(1e-6, lambda value, _: 1 + abs(value))),
    **dict.fromkeys(("sharpness", "sharpness_upper", "lambda_min", "lambda_min_lower"), CURVATURE),
    **dict.fromkeys(
        ("eta_sharpness", "sigma_min", "sigma_min_lower", "state_sigma_min", "gap_above", "gap_below"), SCALED
    ),
    **dict.fromkeys(("batch_sigma_min_worst", "batch_sigma_min_median"), SCALED),
    **dict.fromkeys(("log_abs_det", "state_log_abs_det"), LOGARITHM),
    **dict.fromkeys(("batch_log_abs_det_worst", "batch_log_abs_det_median"), Rule(1e-4, _logarithm)),
    **dict.fromkeys(
        (
            "exponent", "second_exponent", "mu", "lambda", "lambda_lower",
            "lambda_upper", "absorption", "ntk_least", "kantorovich", "mean_square_step", "escape_steps",
            "escape_watched", "escape_predicted", "escape_ratio", "escape_alignment", "escape_drop", "saddle_gradient",
            "saddle_curvature", "saddle_exponent", "gradient_defect",
            "relative_progress", "directional_smoothness", "sweep_zero", "flip_coefficient", "flip_line", "flip_flat",
            "flip_amplitude", "layer_share_largest", "layer_share_least", "layer_share_nearest",
        ),
        ITERATED,
    ),
}  # fmt: skip
"""By metric; VALUE for all others, but for error bars and counts (`room`)."""

COUNTS = frozenset(name for name, metric in metrics.METRICS.items() if metric.unit == "count")
BARS = frozenset(metric.error for metric in metrics.METRICS.values() if metric.error) | {"sigma_min_lower_error"}

SPLIT = frozenset(("crossings_between", "jumps_between", "changes_unresolved"))
"""Counts of which some may be left open, by how much the others cost: between the same three 1 of 9 parted, by 1."""


STATE = 1e-6
"""Relative distance of parameters after 10 steps or fewer; ten times as much for ten times as many."""

SHAKEN = 100.0
"""How many times what one rounding error at the beginning has become parameters or a number may be off: a trajectory
adds one at each step, and at the edge of stability each grows."""

KINKED = 3e-3
"""Share by which parameters may be off after steps of a risk with pieces: where two values tie, as in max-pooling over
equal pixels, or a unit is about to change its sign, rounding decides on which piece a step is taken. Which steps these
are one shaken trajectory does not tell: on CPUs of two makers parameters were off by 2e-4 after 819 and after 1,515
steps (specs/optimisers, ReLU, half_mse) where it said 1e-5, and by 4.6e-4 after 284 (practical/vgg)."""

KINKED_NUMBER = 1e-2
"""The same for numbers, which are steeper: a PL ratio was off by 1.2e-3 after 10 steps (practical/vgg, GELU)."""

REPEATED = 1e-2
"""Share by which a record beyond the first steps may differ when a run is repeated on another machine."""


def room(name: str, claimed: float, values: Values, bars: tuple[float, float] = (0.0, 0.0)) -> float:
    """Returns how far from a claimed value one that was found on another machine may be.

    Args:
        name: The metric.
        claimed: Its claimed value.
        values: The claimed record.
        bars: The claimed and the found error bar of it, where it has one.
    """
    if name in SPLIT and values.get("changes_unresolved", 0.0) > 0:  # rounding decides which count is the last
        return 2.0
    if name in COUNTS:
        many = _near(values) or name in BARS or name in ("n_negative", "critical_steps")
        return (max(1.0, 0.02 * abs(claimed)) if many else 0.0) + sum(bars)
    if name in BARS:  # rounding errors have no digits of their own
        scale = abs(values.get("sharpness", 0.0)) + abs(values.get("eta_sharpness", 0.0)) + abs(claimed)
        return abs(claimed) + 1e-6 * (1 + scale)
    rule = RULES.get(name, VALUE)
    share = 0.04 if name in STATISTICAL else 1.0
    return rule.share * rule.against(claimed, values) + share * sum(bar for bar in bars if math.isfinite(bar))


def of(name: str, claimed: Values, found: Values, *, far: bool) -> float:
    """Returns the room of a metric in a record that was found on another machine.

    Args:
        name: The metric.
        claimed: The claimed record.
        found: The one found.
        far: Whether it is of a repeated run, beyond its first steps: rounding has grown with the trajectory.
    """
    error = metrics.METRICS[name].error
    bars = (claimed.get(error, 0.0), found.get(error, 0.0)) if error else (0.0, 0.0)
    near = room(name, claimed[name], claimed, bars)
    if not far:
        return near
    scale = 1 + abs(claimed.get("eta_sharpness", 0.0)) if name in COUNTS or name in BARS else abs(claimed[name])
    return max(near, 2.0 if name in COUNTS else 0.0) + REPEATED * (
        scale + RULES.get(name, VALUE).against(claimed[name], claimed)
    )


def state(steps: int) -> float:
    """Returns the relative distance that parameters may have after so many steps on another machine."""
    return STATE * max(1.0, steps / 10)


def _near(values: Values) -> bool:
    """Says whether an eigenvalue lies so near to 1/eta that another machine may find it on the other side."""
    return values.get("sigma_min", 1.0) < 1e-5
