# SPDX-License-Identifier: Apache-2.0
"""Drawings: pictures that stand in a page itself, for readers without JavaScript too.

Each is one `Drawing`, in the pixels of one frame, and one macro of `templates/parts.html` draws them all. Plots that a
reader turns and measures are described in `figure.py` and drawn by a script.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from harness.records import histogram
from leaderboard.board import cell as cells
from leaderboard.board import minima, number, optimisers
from leaderboard.export import document
from leaderboard.site import tracing

LEFT, RIGHT, TOP, BOTTOM = 70, 620, 10, 260
"""Where the axes lie in the frame of 640 x 300."""

KNOTS = 48
"""Points of a line, at most."""

VISIBLE = 1.5
"""Pixels from which on a band around a line can be seen."""

NEAR = 0.4
"""Pixels that a point of a line may lie off the line without it."""

CELLS = 6
"""Cells whose losses are drawn over each other, at most."""


class Tick(NamedTuple):
    """A place on an axis, in pixels, and what it says."""

    at: float
    label: str


class Level(NamedTuple):
    """A horizontal line of reference, what it says, and where across that stands, in pixels."""

    at: float
    label: str
    x: float


class Dot(NamedTuple):
    """A point, in pixels, what it says, and whether it is one of those that others are compared with."""

    x: float
    y: float
    label: str
    hollow: bool = False


class Line(NamedTuple):
    """A line, and the band around it.

    Attributes:
        label: What it is of.
        path: Its SVG path.
        band: The SVG path of the band; empty without one.
        look: Its class in the style sheet; empty for what its place among the lines gives.
    """

    label: str
    path: str
    band: str = ""
    look: str = ""


class Drawing(NamedTuple):
    """A picture.

    Attributes:
        title: What it says to those who do not see it.
        x: What is told across.
        y: What is told upwards.
        across: Ticks below it.
        up: Ticks beside it.
        marks: Vertical lines of reference.
        dots: Its points.
        lines: Its lines.
        bars: SVG paths of the intervals in which dots lie.
        levels: Horizontal lines of reference.
    """

    title: str
    x: str
    y: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    marks: tuple[Tick, ...] = ()
    dots: tuple[Dot, ...] = ()
    lines: tuple[Line, ...] = ()
    bars: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()


class Seed(NamedTuple):
    """Step size, margin, its lower bound or itself, and name of a seed."""

    eta: float
    margin: float
    lower: float
    label: str


def seeds(cell: cells.Cell) -> list[Seed]:
    """Returns the seeds of a cell that ended, with a step size and a margin above 0."""
    return [
        Seed(run.eta, margin.value, margin.lower or margin.value, f"{run.label}, seed {run.seed}")
        for run in cell.ended
        if run.eta and (margin := cells.margin_of(run)) is not None and margin.value > 0
    ]


def scatter(known: Sequence[Seed]) -> Drawing | None:
    """Returns step size against margin, a dot for each seed; None where there is nothing to see.

    Where a lower bound is known, a bar reaches from the dot down to it.
    """
    if len(known) < 2:
        return None
    across = _logarithmic([eta for eta, *_ in known])
    up = _logarithmic([end for _, margin, lower, _ in known for end in (margin, lower)])
    dots = tuple(Dot(_x(across(eta)), _y(up(margin)), label) for eta, margin, _, label in known)
    bars = tuple(
        f"M{_x(across(eta))} {_y(up(margin))}V{_y(up(lower))}" for eta, margin, lower, _ in known if lower < margin
    )
    title = f"step size across, least sigma_min upwards, a dot for each of {len(dots)} seeds"
    return Drawing(title, "η", "", _powers(across, _x), _powers(up, _y), dots=dots, bars=bars)


def fan(board: Sequence[cells.Cell]) -> Drawing | None:
    """Returns the losses of all seeds of the first cells: their median in a band from least to largest."""
    found = [(cell, losses) for cell in board[:CELLS] if (losses := _losses(cell))]
    values = [value for _, losses in found for _, *three in losses for value in three]
    if not values:
        return None
    across, steps = _steps(max(losses[-1][0] for _, losses in found))
    up = _logarithmic(values)
    lines = []
    for cell, losses in found:
        low, median, high = (
            [(_x(across(step)), _y(up(three[place]))) for step, *three in losses] for place in range(3)
        )
        band = "" if low == high else _path([*low, *reversed(high)]) + "Z"
        lines.append(Line(f"{cell.first.label}, {len(cell.ended)} seeds", _path(median), band))
    title = f"loss over the steps, {len(lines)} configurations: the median of all seeds in a band from least to largest"
    return Drawing(
        title,
        "step",
        "loss",
        steps,
        _powers(up, _y),
        lines=tuple(lines),
    )


def pareto(rows: Sequence[optimisers.Row]) -> Drawing | None:
    """Returns runtime over reference against margin, a dot for each optimiser and problem that it solved.

    A dot is full where no optimiser was both as fast on the same problem and as far from singular, better in one.
    """
    known: list[tuple[str, float, float, str]] = []
    for row in rows:
        for cell in row.tried:
            key, margin = cell.problem, cell.margin
            if margin is not None and margin > 0 and math.isfinite(row.ratios[key]):
                known.append((key, row.ratios[key], margin, f"{row.name}: {cell.spec}"))
    if len(known) < 2:
        return None
    across, up = _logarithmic([one[1] for one in known]), _logarithmic([one[2] for one in known])

    def beaten(key: str, ratio: float, margin: float) -> bool:
        mine = (-ratio, margin)
        others = [(-other[1], other[2]) for other in known if other[0] == key]
        return any(other != mine and other[0] >= mine[0] and other[1] >= mine[1] for other in others)

    dots = tuple(
        Dot(
            _x(across(ratio)),
            _y(up(margin)),
            f"{label}: {number.show(ratio)} times the reference, margin {number.show(margin)}",
            beaten(key, ratio, margin),
        )
        for key, ratio, margin, label in known
    )
    full = sum(not dot.hollow for dot in dots)
    axes = "runtime to target over reference across, least sigma_min upwards"
    title = f"{axes}; {full} of {len(dots)} dots are beaten by no other"
    return Drawing(
        title, "runtime to target / reference", "least margin", _powers(across, _x), _powers(up, _y), dots=dots
    )


def sharpness(swept: Sequence[minima.Swept]) -> Drawing | None:
    """Returns eta lambda_max at the start against that at the global minima that were reached, by gradient descent.

    A dot is the median of the seeds of a cell that reached one, a bar from the least to the largest of them. Full dots
    lie at most at 2. None where no seed did.
    """
    known = [(cell, spread) for cell in swept if cell.descent and (spread := minima.sharpness(cell)).median]
    if len(known) < 2:
        return None
    across = _logarithmic([cell.start for cell, _ in known])
    top = max(2.5, *(spread.values[-1] for _, spread in known))

    def up(value: float) -> float:
        return _y(value / top)

    dots = tuple(
        Dot(
            _x(across(cell.start)),
            up(spread.median or 0.0),
            f"{cell.network}, eta lambda_max {number.show(cell.start)} at the start: {number.show(spread.median)} at "
            f"the minima of {len(spread.values)} of {cell.ended} seeds",
            (spread.median or 0.0) > 2,
        )
        for cell, spread in known
    )
    bars = tuple(
        f"M{_x(across(cell.start))} {up(spread.values[0])}V{up(spread.values[-1])}"
        for cell, spread in known
        if len(spread.values) > 1
    )
    apart = 0.5 if top <= 4 else 2.0
    ticks = tuple(Tick(up(value), number.show(value)) for value in np.arange(0, top, apart))
    title = (
        f"eta lambda_max at the start across, at the global minimum upwards, a dot for each of {len(dots)} "
        f"configurations; {sum(dot.hollow for dot in dots)} medians are above 2"
    )
    levels = (Level(up(2), "2: linearly unstable above", LEFT + 6),)
    return Drawing(
        title,
        "η·λ_max at the start",
        "η·λ_max at the minimum",
        _powers(across, _x),
        ticks,
        dots=dots,
        bars=bars,
        levels=levels,
    )


def spectra(run: document.Run) -> Drawing | None:
    """Returns how the known eigenvalues lie around 1/eta and 2/eta at some steps; None where no spectrum was kept."""
    if not run.histograms:
        return None
    first = min(-2, *(one.first for one in run.histograms))
    last = max(28, *(one.first + len(one.counts) for one in run.histograms))
    most = max(max(one.counts) for one in run.histograms)

    def across(bins: float) -> float:
        return (bins - first) / (last - first)

    def up(count: float) -> float:
        return math.log1p(count) / math.log1p(max(most, 1))

    lines = []
    for one in run.histograms:
        points, level = [(_x(across(one.first)), _y(0))], 0
        for place, count in [*enumerate(one.counts, one.first), (one.first + len(one.counts), 0)]:
            points += [(_x(across(place)), _y(up(level))), (_x(across(place)), _y(up(count)))]
            level = count
        known = f"all {sum(one.counts):,}" if one.complete else f"{sum(one.counts):,} known of {run.parameters:,}"
        lines.append(Line(f"step {one.step:,}: {known} eigenvalues", _path(points)))
    values = [0.0, *(sign * 10.0**power for power in range(-2, 13, 2) for sign in (-1, 1))]
    ticks = [(value, at) for value in sorted(values) if first <= (at := _bins(value)) <= last]
    counts = [0, *(10**power for power in range(16) if 10**power <= most)]
    return Drawing(
        "how many eigenvalues lie where, in units of 1/eta; " + "; ".join(line.label for line in lines),
        "η·λ",
        "eigenvalues",
        tuple(Tick(_x(across(at)), number.show(value)) for value, at in ticks),
        tuple(Tick(_y(up(count)), f"{count:,}") for count in counts),
        marks=tuple(Tick(_x(across(_bins(level))), f"{level}/η") for level in (1, 2)),
        lines=tuple(lines),
    )


def flow(traced: tracing.Traced) -> Drawing:
    """Returns eta times each tracked eigenvalue over the steps, a circle where one comes to the other side of 1."""
    across, steps = _steps(traced.steps[-1])
    low, high = tracing.span([value for curve in traced.curves for value in curve.values if value is not None])

    def up(value: float) -> float:
        return _y(min(1.0, max(0.0, (value - low) / (high - low))))

    places = [_x(across(step)) for step in traced.steps]
    lines, dots = [], []
    for curve in traced.curves:
        known = [
            (x, value, error or 0.0)
            for x, value, error in zip(places, curve.values, curve.errors, strict=True)
            if value is not None
        ]
        upper, lower = ([(x, up(value + sign * error)) for x, value, error in known] for sign in (1, -1))
        seen = max((below - above for (_, above), (_, below) in zip(upper, lower, strict=True)), default=0) >= VISIBLE
        band = _path([*_simplified(upper), *reversed(_simplified(lower))]) + "Z" if seen else ""
        if known:
            path = _path(_simplified([(x, up(value)) for x, value, _ in known]))
            lines.append(Line(curve.label, path, band, curve.look))
        if curve.crosses:
            pairs = itertools.pairwise((x, value) for x, value, _ in known)
            dots += [_crossing(a, b, up(1)) for a, b in pairs if (a[1] > 1) != (b[1] > 1)]
    feet = tuple(f"M{x} {BOTTOM}v-10" for x, missed in zip(places, traced.missed, strict=True) if missed)
    ticks = tuple(Tick(up(value), number.show(value)) for value in np.arange(math.ceil(2 * low), 2 * high) / 2)
    title = f"eta times {len(lines)} tracked eigenvalues over the steps; {len(dots)} changes of side of 1"
    levels = tuple(Level(up(level), words, _x(across(1)) + 6) for level, words in tracing.LEVELS.items())
    return Drawing(title, "step", "η·λ", steps, ticks, dots=tuple(dots), lines=tuple(lines), bars=feet, levels=levels)


def _crossing(before: tuple[float, float], after: tuple[float, float], level: float) -> Dot:
    """Returns where the line between two points, each a place and a value, crosses 1."""
    (x, value), (then, other) = before, after
    return Dot(round(x + (then - x) * (1 - value) / (other - value), 1), level, "", hollow=True)


def losses(trace: document.Trace) -> Drawing | None:
    """Returns the loss that each step saw, on logarithmic axes; None where none is above 0."""
    known = [(step, loss) for step, loss in zip(trace.loss_steps, trace.losses, strict=True) if loss and loss > 0]
    if not known:
        return None
    across, steps = _steps(known[-1][0])
    up = _logarithmic([loss for _, loss in known])
    path = _path(_simplified([(_x(across(step)), _y(up(loss))) for step, loss in known]))
    return Drawing(
        "the loss that each step saw", "step", "loss", steps, _powers(up, _y), lines=(Line("loss", path, look="seen"),)
    )


def _steps(last: int) -> tuple[Callable[[float], float], tuple[Tick, ...]]:
    """Returns where a step lies, as a share, on an axis of log(1 + step), and the ticks below it."""

    def across(step: float) -> float:
        return math.log1p(step) / math.log1p(max(last, 1))

    steps = [0, *(10**power for power in range(20) if 10**power <= last)]
    return across, tuple(Tick(_x(across(step)), number.show(step)) for step in steps)


def _bins(product: float) -> float:
    return float(histogram.bins_from_zero(np.asarray(product)))


def _losses(cell: cells.Cell) -> list[tuple[int, float, float, float]]:
    """Returns step, least, median and largest loss at steps that all seeds that ended logged; at most KNOTS of them."""
    logged = [dict(zip(run.steps, run.curves.get("loss", ()), strict=False)) for run in cell.ended]
    steps = sorted(set.intersection(*map(set, logged))) if logged else []
    found = []
    for step in steps:
        values = [value for one in logged if (value := one[step]) is not None and value > 0]
        if len(values) == len(logged):
            found.append((step, min(values), statistics.median(values), max(values)))
    if len(found) > KNOTS:
        found = [found[round(place * (len(found) - 1) / (KNOTS - 1))] for place in range(KNOTS)]
    return found


def _x(share: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * share, 1)


def _y(share: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * share, 1)


def _path(points: Iterable[tuple[float, float]]) -> str:
    """Returns the path through some points, without those that lie where the one before does."""
    kept = [point for point, _ in itertools.groupby(points)]
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in kept)


def _simplified(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns the points of a line without those that lie within NEAR pixels of the line without them.

    By halving at the farthest point; Douglas & Peucker, Cartographica 1973.
    """
    kept, open_ends = {0, len(points) - 1}, [(0, len(points) - 1)]
    while open_ends:
        first, last = open_ends.pop()
        (x, y), (then_x, then_y) = points[first], points[last]
        length = math.hypot(then_x - x, then_y - y) or 1.0
        far, place = max(
            (
                (abs((then_x - x) * (points[at][1] - y) - (then_y - y) * (points[at][0] - x)) / length, at)
                for at in range(first + 1, last)
            ),
            default=(0.0, 0),
        )
        if far > NEAR:
            kept.add(place)
            open_ends += [(first, place), (place, last)]
    return [points[at] for at in sorted(kept)]


def _logarithmic(values: Sequence[float]) -> Callable[[float], float]:
    """Returns where a value lies, as a share, on a logarithmic axis that holds some values and a power of 10."""
    low, high = math.log10(min(values)), math.log10(max(values))
    low, high = min(low, math.floor(high)) - 0.05, max(high, math.floor(high)) + 0.05
    return lambda value: (math.log10(value) - low) / (high - low)


def _powers(axis: Callable[[float], float], pixel: Callable[[float], float]) -> tuple[Tick, ...]:
    """Returns at most 8 powers of 10 on an axis, and twice and five times them where there are less than two."""
    found: list[float] = []
    for factors in ((1,), (1, 2, 5)):
        values = [factor * 10.0**power for power in range(-320, 309) for factor in factors]
        found = [value for value in values if 0 < value < math.inf and 0 <= axis(value) <= 1]
        if len(found) > 1:
            break
    thinned = found[:: math.ceil(len(found) / 8)] if found else []
    return tuple(Tick(pixel(axis(value)), number.show(value)) for value in thinned)
