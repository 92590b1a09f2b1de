# SPDX-License-Identifier: Apache-2.0
"""Pictures of the spectra that a run kept: eta times each eigenvalue over the checkpoint steps, against 1 and 2.

As PNG, by matplotlib, which MLflow shows beside the run; and as a page of HTML of our own, which says the eigenvalue
and its error bar under the pointer. The page is self-contained: no script, no request; a plotting library in each page
would be many times its size. Eta is that of the run's first step, under a schedule too.
"""

from __future__ import annotations

import html
import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.curvature import spectrum

if TYPE_CHECKING:
    from matplotlib import axes

MOST = 200
"""Eigenvalues drawn for a step: all the outermost, and the others thinned."""

LINEAR = 1e-3
"""Below it the axis is linear, above it logarithmic."""

WIDTH, HEIGHT, MARGIN = 900, 520, 60

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Point(NamedTuple):
    """An eigenvalue at a step: its place among the steps, the step, lambda, its error bar, and eta lambda."""

    place: int
    step: int
    value: float
    error: float
    product: float


def png(kept: Sequence[tuple[int, spectrum.Spectrum]], eta: float, title: str) -> bytes:
    """Returns the picture as PNG."""
    from matplotlib import figure

    drawn = figure.Figure(figsize=(9, 5.2))  # no pyplot: no state, no window
    into = drawn.subplots()
    drawn.subplots_adjust(left=0.09, right=0.98, bottom=0.1, top=0.93)  # to find them takes half of the drawing
    draw(into, kept, eta, title)
    held = io.BytesIO()
    drawn.savefig(held, format="png", dpi=110, metadata={"Software": None})
    return held.getvalue()


def draw(into: axes.Axes, kept: Sequence[tuple[int, spectrum.Spectrum]], eta: float, title: str) -> None:
    """Draws the spectra of some steps into axes."""
    points = list(_points(kept, eta))
    places, products = np.array([(point.place, point.product) for point in points]).reshape(-1, 2).T
    into.scatter(places, products, s=8, alpha=0.5)  # of lists matplotlib looks at each number
    for at, words in ((1.0, "1: singular"), (2.0, "2: unstable")):
        into.axhline(at, color="#b3261e", linewidth=1, linestyle="-" if at == 1 else "--", label=words)
    into.set_yscale("symlog", linthresh=LINEAR)
    into.yaxis.set_major_formatter(lambda value, _place: power(value))  # its own labels are parsed as TeX
    into.set_xticks(range(len(kept)), [str(step) for step, _ in kept])
    into.set_xlabel("checkpoint step")
    into.set_ylabel("η λ")
    into.xaxis.set_label_coords(0.5, -0.07)
    into.yaxis.set_label_coords(-0.065, 0.5)
    into.set_title(title, y=1.0)  # places that are given need not be looked for
    into.legend(loc="best")


def power(value: float) -> str:
    """Returns 0, 1 or a power of ten, with its sign: 10³, −10⁻²."""
    if value == 0:
        return "0"
    exponent = round(math.log10(abs(value)))
    size = "10" + str(exponent).translate(RAISED) if exponent else "1"
    return f"−{size}" if value < 0 else size


def page(kept: Sequence[tuple[int, spectrum.Spectrum]], eta: float, title: str) -> str:
    """Returns the picture as a page of HTML."""
    points = list(_points(kept, eta))
    scaled = [_symlog(point.product) for point in points] + [_symlog(1.0), _symlog(2.0), 0.0]
    low, high = min(scaled), max(scaled)

    def across(place: int) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * (place + 0.5) / len(kept)

    def down(product: float) -> float:
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (_symlog(product) - low) / (high - low)

    marks = [
        f'<circle cx="{across(point.place):.1f}" cy="{down(point.product):.1f}" r="3"><title>step {point.step}: '
        f"λ = {point.value:.6g} ± {point.error:.1g}, ηλ = {point.product:.6g}</title></circle>"
        for point in points
    ]
    marks += [
        f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{down(at):.1f}" y2="{down(at):.1f}"{dash}/>'
        f'<text x="{WIDTH - MARGIN + 4}" y="{down(at) + 4:.1f}">{words}</text>'
        for at, dash, words in ((0.0, "", "0"), (1.0, ' class="edge"', "1"), (2.0, ' class="edge dashed"', "2"))
    ]
    marks += [
        f'<text class="step" x="{across(place):.1f}" y="{HEIGHT - MARGIN / 2:.0f}">{step}</text>'
        for place, (step, _) in enumerate(kept)
    ]
    heading = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{heading}</title><style>{STYLE}</style>'
        f"<h1>{heading}</h1><p>{CAPTION}</p>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{heading}">{"".join(marks)}</svg></html>\n'
    )


CAPTION = (
    "η times the eigenvalues of the Hessian over the checkpoint steps, symmetric logarithm. At 1 the gradient-descent "
    "map is singular, beyond 2 the step is unstable. Point at an eigenvalue to read it."
)

STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:960px}h1{font-size:1.1em}circle{fill:#3b6ea5;fill-opacity:.5}"
    "circle:hover{fill:#000;fill-opacity:1}line{stroke:#999}.edge{stroke:#b3261e}.dashed{stroke-dasharray:6 4}"
    "text{font-size:12px}.step{text-anchor:middle}"
)


def _points(kept: Sequence[tuple[int, spectrum.Spectrum]], eta: float) -> Iterator[Point]:
    for place, (step, known) in enumerate(kept):
        for i in _chosen(len(known.values)):
            value = float(known.values[i])
            yield Point(place, step, value, float(known.errors[i]), eta * value)


def _chosen(count: int) -> Sequence[int]:
    """Returns which of so many ascending eigenvalues are drawn."""
    if count <= MOST:
        return range(count)
    outer = MOST // 4
    inner = np.linspace(outer, count - outer - 1, MOST - 2 * outer).round().astype(int)
    return [*range(outer), *map(int, inner), *range(count - outer, count)]


def _symlog(value: float) -> float:
    return math.copysign(math.log10(1 + abs(value) / LINEAR), value)
