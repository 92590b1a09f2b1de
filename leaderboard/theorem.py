# SPDX-License-Identifier: Apache-2.0
"""What the theorem says of a run, worked out here from its cell; what `run.json` says about it is not believed."""

from __future__ import annotations

import functools
import json

import zoo
from harness import optimizers, recipe, theory
from leaderboard import document

LABELS: dict[theory.Covered, str] = {
    "theorem 1": "Theorem 1",
    "proposition 11": "Proposition 11",
    "extension F11": "F11 (ours)",
    "extension F7": "F7 (ours)",
    "outside": "outside",
}
"""What a map is covered by, best first, as the table prints it."""


def known(run: document.Run) -> theory.Theory | None:
    """Returns what the theorem says of a run's map; None if this version does not understand its cell."""
    return _known(json.dumps(run.cell, sort_keys=True), run.dataset.shape, run.dataset.classes)


def bad_step(run: document.Run) -> theory.BadStep | None:
    """Returns the known bad step that a run's step size is; None if it is none."""
    says = known(run)
    return None if says is None or run.eta is None else theory.matches(says, run.eta, run.precision)


def proven(run: document.Run) -> str | None:
    """Returns why the map of a run's optimizer is singular at no step size, whatever the network; None if it may be."""
    row = optimizers.OPTIMIZERS.get(str(run.part("optimizer").get("name")))
    return theory.FIXED_VOLUME if row is not None and row.never_singular else None


@functools.lru_cache(maxsize=8192)
def _known(cell: str, shape: tuple[int, ...], classes: int) -> theory.Theory | None:
    try:
        fields = recipe.Recipe.model_validate_json(cell)
        zoo.check(fields.model.family, fields.model, shape, classes)
    except ValueError:  # of an older or newer version, or of somebody's own
        return None
    layers = zoo.FAMILIES[fields.model.family].layers(fields.model, shape, classes)
    return theory.says(layers, shape, fields.loss, fields.optimizer)
