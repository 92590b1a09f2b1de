# SPDX-License-Identifier: Apache-2.0
"""Counting: the eigenvalues above a level, by a Lanczos run that ends as soon as their number is told.

It ends when no Ritz value above half the level may lie on its other side, by the lesser of its residual r and of
r^2/gap (Kato and Temple; gap is the distance to the next Ritz value), and HOLD further products have shown no other.
Mostly 10 to 20 products. Failure: as of every Lanczos run, an eigenvalue that the start vector hardly contains stays
unseen, so the number is a lower bound; r^2/gap is a bound only where the gap is that of the eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from harness.curvature import lanczos, survey
from harness.curvature import spectrum as spectra

HOLD = 4
"""Products that a run goes on once the number is told."""

Counter = Callable[[Any, float, jax.Array], spectra.Spectrum]
"""`(point, level, key) -> spectrum`, of which the values above the level are counted; all of it where it is small."""


def counter(program: lanczos.Lanczos) -> Counter:
    """Returns the question of how many eigenvalues of the operator of some programs are above a level."""

    def outer(point: Any, level: float, key: jax.Array) -> spectra.Spectrum:
        seen: list[tuple[int, int]] = []

        def told(known: spectra.Spectrum) -> bool:
            count = spectra.count_above(known, level) if _told(known, level) else -1
            held = [earlier for products, earlier in seen if products <= known.products - HOLD]
            seen.append((known.products, count))
            return count >= 0 and held[-1:] == [count]

        return lanczos.run(program, program.at(point), key, told, limit=min(survey.PRODUCTS, program.size))[0]

    return outer


def _told(known: spectra.Spectrum, level: float) -> bool:
    """Says whether no known value above half the level, and not the largest, may lie on the level's other side."""
    values, errors = known.values, known.errors
    between = np.diff(values, prepend=-np.inf, append=np.inf)
    gaps = np.minimum(between[:-1], between[1:])
    widths = np.maximum(gaps, errors)
    shares = np.divide(errors, widths, out=np.ones_like(errors), where=widths > 0)
    off = np.minimum(errors, errors * shares)
    asked = values > level / 2
    asked[-1] = True
    return bool(np.all((off <= np.abs(values - level) / 2)[asked]))
