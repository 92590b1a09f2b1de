# SPDX-License-Identifier: Apache-2.0
"""`gdzoo bench device`: whether the device that is there agrees with a CPU, and how it does at full width.

The reference is a process of its own on this machine's CPU, whose bits are those of a run with `--device cpu`; on a CPU
the comparison is of two processes. It ends within SECONDS: a part is begun while there is time for one as long as the
longest of its kind, and what does not fit says how long it would take.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from harness import config as configs
from harness import errors, specs, workspace
from harness.bench import observation, problems, products, row, steps, timing, twins
from harness.bench.curvature import NAMES, Unit
from harness.curvature import exclusion, lanczos, logdet, operators, rounding, survey, tracked
from harness.risk import objective
from harness.runtime import sharding
from zoo import layer, model

SECONDS = 480.0
"""Wall seconds that the bench may take."""

SHORTEST = 45.0
"""Wall seconds that must be left for any part to be begun."""

GROUP = "against this machine's CPU, float64"
"""The group of rows that compare the device with a CPU."""

WITHIN = row.Target(1.0)
"""How far spectra may be apart, in the sum of their error bars."""

ALIKE = row.Target(4.0)
"""How far training in float32 may end from the CPU's in float64, beside how far the CPU's own float32 ends from it."""

ROUNDING = 2.0**-29
"""What float64 rounds, beside what float32 does."""

DRIFT = row.Target(100.0)
"""How far training in float64 may end from the CPU's, beside ROUNDING of how far the CPU's float32 ends from it."""

WIDE = {"VGG-11": "vgg11", "ViT-Ti": "vit-ti"}
"""The specs of specs/gpu whose networks are surveyed, on random images of 32x32x3."""

SIDE, CHANNELS, CLASSES = 32, 3, 10

AT_ONCE = 512
"""Examples at once that a product at full width is tried with, beside what runs take."""

FEW = 12
"""Products that tell the largest eigenvalue well enough to choose a step size."""

ALL_PRODUCTS = math.ceil(
    FEW
    + survey.PRODUCTS
    + exclusion.STEPS
    + logdet.PROBES * logdet.STEPS
    + 2 * rounding.PROBES * rounding.GRADIENTS / products.GRADIENTS.bound
)
"""Products that a survey costs at most, with what its step size and its rounding cost."""

TOP = 8
"""Eigenvalues of a trace."""

POINTS = 2
"""Trace points that are timed."""

TRACE_PRODUCTS = 150
"""Products of a trace's first point and of those that are timed, about."""


class Part(NamedTuple):
    """A part that was measured: its title, wall seconds, and wall seconds of each program that it compiled."""

    title: str
    seconds: float
    compiled: list[float]


@dataclasses.dataclass
class Session:
    """How much of the time is spent, and on what.

    Attributes:
        quick: Whether all networks are small, and no part is left out.
        began: When, by time.monotonic.
        parts: What was measured.
    """

    quick: bool
    began: float | None = None
    parts: list[Part] = dataclasses.field(default_factory=list)

    @property
    def size(self) -> problems.Size:
        """Which networks of problems.NETWORKS train and are timed."""
        return "small" if self.quick else "full"

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return SECONDS - (time.monotonic() - (self.began or time.monotonic()))

    def unit(self, title: str, rows: Callable[[], list[row.Row]]) -> Unit:
        """Returns a part of the bench that is left out where time is short, and whose failure is a row."""
        return Unit(title, functools.partial(self._measure, title, rows))

    def _measure(self, title: str, rows: Callable[[], list[row.Row]]) -> list[row.Row]:
        if self.began is None:
            self.began = time.monotonic()
            jax.config.update("jax_enable_compilation_cache", False)  # what a program takes to compile is told
        kind = title.partition(",")[0]
        longest = max([SHORTEST, *(part.seconds for part in self.parts if part.title.partition(",")[0] == kind)])
        if not self.quick and self.left < longest:
            left = f"{self.left:.0f} s were left of {SECONDS / 60:g} min"
            told = f"not begun: {left}, and such a part may take {longest:.0f}"
            return [row.absent("left out", title, told)]
        began = time.monotonic()
        with timing.compilations() as compiled:
            try:
                found = rows()
            except Exception as error:  # whatever a device answers with is an answer
                refused = isinstance(error, twins.Disagreement)
                told = f"{type(error).__name__}: {errors.first_line(error)[:160]}"
                found = [row.Row("left out", title, math.nan, note=told, refused=refused)]
        self.parts.append(Part(title, time.monotonic() - began, list(compiled)))
        return found

    def told(self) -> list[row.Row]:
        """Returns what the device holds at its peak, and what each part took to compile."""
        made = [memory()]
        for title, seconds, compiled in self.parts:
            note = f"{len(compiled)} programs, of {seconds:.3g} s in all"
            made.append(row.Row("compilation, wall seconds", title, sum(compiled), note=note))
        return made


def units(quick: bool) -> list[Unit]:
    """Returns the parts of the bench; `quick` for small networks, one round, and no limit of time."""
    session = Session(quick)
    rounds = 1 if quick else 3
    found = [session.unit(f"agreement, {name}", functools.partial(agreement, name, session)) for name in NAMES]
    for name in NAMES:
        found.append(session.unit(f"a step, {name}", functools.partial(steps.rows, name, session.size, rounds)))
    for name in NAMES:
        measure = functools.partial(products.one, name, session.size, "float32", rounds)
        found.append(session.unit(f"a product, {name}", measure))
    for name in WIDE:
        found.append(session.unit(f"full width, {name}", functools.partial(wide_rows, name, session)))
    return [*found, Unit("memory and compilation", session.told)]


def would_take(seconds: float) -> str:
    """Returns why something is not measured."""
    minutes = seconds / 60
    shown = f"{minutes:,.0f}" if minutes >= 10 else f"{minutes:.2g}"
    return f"would take ~{shown} min here, longer than is left of {SECONDS / 60:g} min"


def agreement(name: str, session: Session) -> list[row.Row]:
    """Compares what this process finds with what a process on the CPU does, and with one more on the same device."""
    at, here = observation.points(name, session.size), jax.default_backend()
    with tempfile.TemporaryDirectory() as folder:
        others = {
            choice: observation.Elsewhere(choice, at, pathlib.Path(folder)) for choice in dict.fromkeys(("cpu", here))
        }
        own = observation.observe(at)
        answers = {choice: process.found(session.left) for choice, process in others.items()}
    return [*against(at, own, answers["cpu"]), *again(name, own, answers[here]), *on_host(name, own)]


def against(at: observation.Points, own: observation.Found, cpu: observation.Found | str) -> list[row.Row]:
    """Returns how far spectrum, survey, verdict and training of a network are from those of the CPU."""
    if isinstance(cpu, str):
        return [row.absent(GROUP, at.name, cpu)]

    def one(what: str, value: float, target: row.Target, note: str = "") -> row.Row:
        return row.Row(GROUP, f"{at.name}: {what}", value, None, target, note)

    apart, largest = np.abs(own["eigenvalues"] - cpu["eigenvalues"]), np.abs(cpu["eigenvalues"]).max()
    told = f"{len(apart):,} eigenvalues, at most {apart.max() / largest:.1e} of the largest apart"
    made = [one("dense spectrum / error bars", float((apart / (own["errors"] + cpu["errors"])).max()), WITHIN, told)]
    seen, known = own["survey"], cpu["survey"]
    told = f"λ_max {seen[0]:.9g} against {known[0]:.9g}, σ_min {seen[1]:.9g} against {known[1]:.9g}"
    ends = np.abs(seen - known) / (own["survey_errors"] + cpu["survey_errors"])
    made.append(one("survey by Lanczos / error bars", float(ends[:2].max()), WITHIN, told))
    words = ["invertible" if found["decided"] else "undecided" for found in (own, cpu)]
    told = f"{words[0]}, and {words[1]} on the CPU"
    made.append(one("the same verdict", float(words[0] == words[1]), row.Target(1.0, most=False), told))
    exact = cpu["float64"]
    way = np.linalg.norm(exact - at.start)
    theirs = float(np.linalg.norm(cpu["float32"] - exact))
    for precision, share, beside, target in (
        ("float32", 1.0, "the CPU's own float32's", ALIKE),
        ("float64", ROUNDING, "2^-29 of the CPU's float32's", DRIFT),
    ):
        what = f"{observation.STEPS} steps in {precision}, distance / {beside}"
        if precision not in own:
            made.append(row.absent(GROUP, f"{at.name}: {what}", f"{jax.default_backend()} has no {precision}"))
            continue
        drift = float(np.linalg.norm(own[precision] - exact))
        made.append(one(what, drift / (share * theirs), target, f"{drift / way:.1e} of the way they went"))
    return made


def again(name: str, own: observation.Found, other: observation.Found | str) -> list[row.Row]:
    """Returns how many of a network's arrays another process on the same device gives with other bits."""
    group, what = "from process to process, on the device", f"{name}: arrays with other bits"
    if isinstance(other, str):
        return [row.absent(group, what, other)]
    asked = [key for key in own if key != "seconds"]
    differ = [key for key in asked if own[key].tobytes() != other[key].tobytes()]
    return [row.Row(group, what, len(differ), None, row.Target(0), ", ".join(differ) or f"of {', '.join(asked)}")]


def on_host(name: str, own: observation.Found) -> list[row.Row]:
    """Returns what is not computed on the device."""
    group, (matrix, solver) = "on the host", own["seconds"]
    told = f"LAPACK's {solver:.3g} s, after {matrix:.3g} s of products; P = {len(own['eigenvalues']):,}"
    share = row.Row(group, f"{name}: solver of a dense spectrum, share", solver / (matrix + solver), note=told)
    (place,) = sharding.exact(jnp.zeros(1, "float32")).devices()
    elsewhere = float(place.platform != jax.default_backend())
    return [share, row.Row(group, f"{name}: float64 leaves the device", elsewhere, note=f"computed on {place}")]


def memory() -> row.Row:
    """Returns the most that was held: of the device where it tells, else of this process."""
    facts = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in facts:
        there = facts.get("bytes_limit", 0) / 2**30
        return row.Row("memory", "peak of the device, GiB", facts["peak_bytes_in_use"] / 2**30, note=f"of {there:.3g}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return row.Row("memory", "peak of the process, GiB", peak / 2**30, note="the device does not tell")


class Wide(NamedTuple):
    """A network at full width with its data.

    Attributes:
        title: `VGG-11, P = 9,231,114, N = 5,000`.
        model: The network as two functions.
        loss: The `loss` part of its spec.
        goal: The objective, with the examples at once that runs have.
        arrays: Random images (N, H, W, C), classes in turn (N, K), and weights (N,).
    """

    title: str
    model: model.Model
    loss: configs.Loss
    goal: objective.Objective
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray]

    def batch(self, examples: int | None = None) -> objective.Batch:
        """Returns the first examples in float64, where that is computed."""
        return objective.Batch(*(sharding.place(array[:examples], "float64") for array in self.arrays))

    def theta(self) -> jax.Array:
        """Returns the start (P,) in float64."""
        return sharding.exact(self.goal.init(jax.random.key(0)))


def wide(name: str, quick: bool) -> Wide:
    """Returns the network of a spec in specs/gpu at its N; `quick` for the small one of its family on 32 images."""
    cell = specs.read(workspace.CHECKOUT / "specs" / "gpu" / f"{WIDE[name]}.yaml").cells[0]
    config: Any = cell.model
    shape, examples = (SIDE, SIDE, CHANNELS), int(getattr(cell.data, "examples", 0) or 0)
    if quick:
        config = zoo.FAMILIES[config.family].config.model_validate(problems.NETWORKS["small"][name[:3]].fields)
        shape, examples = (8, 8, 1), 32
    network = zoo.build(config.family, config, inputs=shape, outputs=CLASSES)
    activity = layer.activity(zoo.FAMILIES[config.family].layers(config, shape, CLASSES), shape)
    goal = objective.fitting(network, cell.loss, activity, examples)
    x = np.random.default_rng(0).normal(size=(examples, *shape)).astype("float32")
    arrays = (x, np.eye(CLASSES, dtype="float32")[np.arange(examples) % CLASSES], np.ones(examples, "float32"))
    return Wide(f"{name}, P = {goal.size:,}, N = {examples:,}", network, cell.loss, goal, arrays)


def wide_rows(name: str, session: Session) -> list[row.Row]:
    """Times a product at full width, with what runs take at once and with more; makes a survey if time allows."""
    made = wide(name, session.quick)
    group, count = f"{made.title}, float64, wall seconds", len(made.arrays[0])
    own = min(made.goal.chunk, count)
    apiece = seconds_of(made, made.goal, own) / own
    found = [row.Row(group, f"a product, {own} examples of {own} at once", apiece * own)]
    best, goal = own, made.goal
    if own < AT_ONCE < count and 3 * apiece * AT_ONCE < session.left / 4:
        larger = objective.objective(made.model, made.loss, chunk=AT_ONCE)
        other = seconds_of(made, larger, AT_ONCE) / AT_ONCE
        told = f"{1e3 * other:.3g} ms an example against {1e3 * apiece:.3g} ms with the {own} that runs take"
        found.append(row.Row(group, f"an example, {AT_ONCE} at once / as runs do it", other / apiece, note=told))
        if other < apiece:
            best, goal, apiece = AT_ONCE, larger, other
    elif own < AT_ONCE < count:
        found.append(
            row.absent(group, f"an example, {AT_ONCE} at once / as runs do it", would_take(3 * apiece * AT_ONCE))
        )
    what, asked = f"a product, {best} at once", apiece * count
    if 2 * asked > session.left / 2 and not session.quick:
        found.append(row.absent(group, what, would_take(2 * asked)))
    else:
        asked = seconds_of(made, goal, count)
        found.append(row.Row(group, what, asked))
    what = f"a survey, {best} at once"
    if ALL_PRODUCTS * asked > session.left and not session.quick:
        why = f"{would_take(ALL_PRODUCTS * asked)}; at most {ALL_PRODUCTS} products of {asked:.3g} s"
        found.append(row.absent(group, what, why))
    else:
        found.append(surveyed(made, goal, group, what))
    what = f"a trace point of {TOP} eigenvalues, {best} at once"
    if TRACE_PRODUCTS * asked > session.left and not session.quick:
        why = f"{would_take(TRACE_PRODUCTS * asked)}; about {TRACE_PRODUCTS} products of {asked:.3g} s"
        found.append(row.absent(group, what, why))
    else:
        found.append(traced(made, goal, group, what))
    return found


def traced(made: Wide, goal: objective.Objective, group: str, what: str) -> row.Row:
    """Returns the row of a trace point that follows others, after short steps of descent; the mean of the last ones."""
    tracking = tracked.tracker(operators.hessian(goal.risk), goal.size, TOP)
    gradient, batch, theta = jax.jit(jax.grad(goal.risk)), made.batch(), made.theta()
    began = time.perf_counter()
    last = jax.block_until_ready(tracking.begin((theta, batch), jax.random.key(7)))
    cold, products = time.perf_counter() - began, int(last.products)
    eta = problems.ETA_LAMBDA / float(last.values[0])
    seconds, spent = [], []
    for _ in range(1 + POINTS):  # the first compiles
        slope = gradient(theta, batch)
        theta = theta - eta * slope
        began = time.perf_counter()
        last = jax.block_until_ready(tracking.follow((theta, batch), last.basis, slope[None]))
        seconds.append(time.perf_counter() - began)
        spent.append(int(last.products))
    told = (
        f"{np.mean(spent[1:]):.3g} products each; the first one {products} and {cold:.3g} s, compilation included; "
        f"η·λ_max = {eta * float(last.values[0]):.4g} ± {eta * float(last.errors[0]):.1g}"
    )
    return row.Row(group, what, float(np.mean(seconds[1:])), note=told)


def seconds_of(made: Wide, goal: objective.Objective, examples: int) -> float:
    """Returns the wall seconds of one compiled product with the Hessian of the first examples."""
    point = (made.theta(), made.batch(examples))
    v = jnp.ones_like(point[0]) / math.sqrt(goal.size)
    product = products.alone(goal.risk, point, v)
    jax.block_until_ready(product())
    began = time.perf_counter()
    jax.block_until_ready(product())
    return time.perf_counter() - began


def surveyed(made: Wide, goal: objective.Objective, group: str, what: str) -> row.Row:
    """Returns the row of a survey as runs make it, at a step size of ETA_LAMBDA over the largest eigenvalue."""
    surveyor = survey.surveyor(operators.hessian(goal.risk), goal.size, "lanczos")
    assert surveyor.program is not None
    point, key = (made.theta(), made.batch()), jax.random.key(7)
    began = time.perf_counter()
    known, _, _ = lanczos.run(
        surveyor.program, surveyor.program.at(point), key, lambda seen: seen.products >= FEW, limit=FEW
    )
    eta = problems.ETA_LAMBDA / float(known.values[-1])
    found = surveyor.survey(point, eta, key)
    took = time.perf_counter() - began
    spent = FEW + found.spectrum.products + found.log_det.products
    top, bar = float(found.spectrum.values[-1]), float(found.spectrum.errors[-1])
    told = (
        f"{spent} products, compilation included; λ_max = {top:.6g} ± {bar:.1g}, log|det| = {found.log_det.value:.6g}"
    )
    return row.Row(group, what, took, note=told)
