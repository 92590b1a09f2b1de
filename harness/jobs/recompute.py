# SPDX-License-Identifier: Apache-2.0
"""What a bundle claims, computed again: the process that does it, `python -m harness.jobs.recompute FOLDER`.

It is told what to do by `request.json` in the folder and prints one JSON object a line on stdout, each a number or a
word found here. What is claimed it sees only where a distance is asked for; who compares is
leaderboard/bundles/verify.py.

    {"found": "problem", "parameters": P, "examples": N, "curvature": ..., "dataset": sha256, "layout": [...]}
    {"found": "place", "profile": {...}, "canary": ..., "exact": whether bits are expected to come again}
    {"found": "start", "seed": s, "eta": ...}
    {"found": "record", "seed": s, "step": t, "values": {...}, "whole": bool}     null values: not finite there
    {"found": "state", "seed": s, "from": a, "step": b, "distance": d, "same": bool}
        both with `shaken` where bits are other: what a rounding error at the beginning of these steps has become
    {"found": "excluded", "seed": s, "step": t, "lower": ..., "error": ..., "upper": ...}
        sigma_min there by Lanczos, from a start that is drawn here and that who made the run could not know
    {"found": "divergence", "seed": s, "step": t}         null where it did not diverge
    {"found": "run", "seed": s, ...}                      how a run ended that was repeated from its seed
    {"done": n, "of": m}                                  how far it is
    {"refused": "..."}                                    what was handed in is wrong, or takes too much
    {"unable": "..."}                                     it cannot be computed here, as where a data set is missing

The sandbox is this process: an empty environment, a folder of its own as its workspace, limits on CPU time, memory and
file sizes, and once the data set is there no connection and no other program (leaderboard/bundles/verify.py sets what
the operating system can hold, `_alone` the rest). Nothing of a bundle is ever run: a cell is typed values.
"""

from __future__ import annotations

import functools
import json
import math
import os
import pathlib
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness import config, errors
from harness.curvature import spectrum as spectra
from harness.jobs import task
from harness.records import run_folder, statuses, tensors, verdict
from harness.risk import layout
from harness.runs import events, keys, lanes, measure, outline
from harness.runs import run as seed_runs
from harness.runtime import canary
from harness.runtime import device as devices
from harness.training import problem as problems

TRIES = 3
"""Random starts of Lanczos from which a lower bound may be proven again; the first does nearly always."""

FIRST = 10
"""Steps from the start within which the first checkpoint steps are walked to again."""

Say = Callable[[dict[str, Any]], None]
States = dict[int, dict[int, dict[str, np.ndarray]]]


class Run(NamedTuple):
    """What is claimed of one run, as far as it is needed to compute it again.

    Attributes:
        seed: Its seed.
        eta: Its step size.
        together: The seeds that it ran beside, itself among them.
        steps: The checkpoint steps that it recorded.
        proven: Those among the first and the last of them at which Lanczos proved a lower bound of sigma_min.
        reached: Whether the last of them was at its target.
        diverged: Whether it diverged.
    """

    seed: int
    eta: float
    together: tuple[int, ...]
    steps: tuple[int, ...]
    proven: tuple[int, ...]
    reached: bool
    diverged: bool


class Request(NamedTuple):
    """What is to be done.

    Attributes:
        cell: The cell.
        runs: By seed.
        states: By seed and step the arrays that were handed in.
        whole: Whether runs are repeated from their seeds.
        segments: Pairs of steps with a state between which the steps are made again.
        canary: The bundle's.
        profiles: Those of its runs.
        drawn: A number that random keys are made from which the runs did not use.
        exact: Whether bits are expected to come again here.
    """

    cell: config.Cell
    runs: dict[int, Run]
    states: States
    whole: bool
    segments: tuple[tuple[int, int], ...]
    canary: str | None
    profiles: list[dict[str, Any]]
    drawn: int
    exact: bool = False


def main() -> int:
    """Does what the request in a folder says; returns the exit code."""
    folder = pathlib.Path(sys.argv[1])
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print goes to stderr

    def say(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    try:
        plain = json.loads((folder / "request.json").read_text(encoding="utf-8"))
        for name, most in plain["limits"].items():
            resource.setrlimit(getattr(resource, name), (most, most))
        devices.configure("cpu")
        asked = read(folder, plain)
        ready = problems.problem(asked.cell)
        _alone(folder)
        answer(asked, ready, say)
    except (errors.InputError, errors.OutOfMemory, ValueError) as error:
        word = "unable" if isinstance(error, errors.InputError) else "refused"
        say({word: errors.first_line(error)[:300]})
        return errors.EXIT_REJECTED
    return errors.EXIT_DONE


def read(folder: pathlib.Path, plain: dict[str, Any]) -> Request:
    """Returns the request that `request.json` holds, with the states of `seed-N.safetensors` beside it.

    Raises:
        ValueError: An array is not one of a run of this cell.
    """
    cell = task.load(plain["task"]).cell
    lists = ("together", "steps", "proven")
    runs = {one["seed"]: Run(**{**one, **{name: tuple(one[name]) for name in lists}}) for one in plain["runs"]}
    states: States = {}
    for seed in runs:
        file = folder / f"seed-{seed}.safetensors"
        if file.exists():
            name = f"seed-{seed}/states.safetensors"
            states[seed] = tensors.states(tensors.load(file.read_bytes(), name), name)
    segments = tuple((a, b) for a, b in plain["segments"])
    return Request(cell, runs, states, plain["whole"], segments, plain["canary"], plain["profiles"], plain["drawn"])


def answer(asked: Request, ready: problems.Problem, say: Say) -> None:
    """Computes again what is asked for and says what is found.

    Cost: for each seed the survey of two points, by Lanczos with a further exclusion at each, the first FIRST steps and
    the segments; with `whole` the runs.

    Raises:
        ValueError: A state is not one of this cell's.
    """
    for states in asked.states.values():
        _check(states, ready)
    method, examples = ready.surveyor.method, len(ready.arrays.x)
    problem = {"parameters": ready.objective.size, "examples": examples, "curvature": method}
    places = layout.plain(ready.objective.layout)
    say({"found": "problem", **problem, "dataset": ready.arrays.sha256, "layout": places})
    profile, here = devices.profile(), canary.sha256()
    alike = all(one.items() <= profile.items() for one in asked.profiles)  # older runs recorded less
    exact = asked.canary == here and bool(profile["exact"]) and alike
    asked = asked._replace(exact=exact)
    say({"found": "place", "profile": profile, "canary": here, "exact": exact})
    parts = [] if exact and asked.whole else list(_parts(asked, ready, say))
    work = [*parts, *(_whole(asked, say) if asked.whole else ()), *_exclusions(asked, ready, say)]
    for done, part in enumerate(work):
        say({"done": done, "of": len(work)})
        part()
    say({"done": len(work), "of": len(work)})


def _parts(asked: Request, ready: problems.Problem, say: Say) -> Iterator[Callable[[], None]]:
    """Yields the parts of what is computed again short of whole runs."""
    for group in dict.fromkeys(run.together for run in asked.runs.values()):
        runs = [asked.runs[seed] for seed in group if seed in asked.runs]
        yield functools.partial(_beginning, asked, runs, group, ready, say)
        for between in asked.segments:
            there = [run for run in runs if set(between) <= set(asked.states.get(run.seed, ()))]
            if there:
                yield functools.partial(_segment, asked, there, group, between, ready, say)
        for run in runs:
            yield functools.partial(_last, asked, run, ready, say)
            if run.diverged:
                yield functools.partial(_divergence, asked, run, group, ready, say)


def _beginning(asked: Request, runs: Sequence[Run], group: tuple[int, ...], ready: problems.Problem, say: Say) -> None:
    """The start, its record, and the checkpoint steps within FIRST steps of it, by their fit."""
    cell, asked_for = asked.cell, outline.plan(asked.cell, ready.objective.size)
    own = {}
    for run in runs:
        own_keys = keys.of_run(run.seed)
        theta = np.asarray(problems.start(cell, ready, own_keys.start), ready.batch.x.dtype)
        eta = problems.step_size(cell, ready, jnp.asarray(theta), own_keys.top)
        say({"found": "start", "seed": run.seed, "eta": eta})
        own[run.seed] = lanes.Lane(0, theta, None, eta, own_keys)
        if run.steps:
            at = measure.Checkpoint(0, theta, None, eta, run.reached and run.steps[-1] == 0)
            _say_record(run, 0, measure.record_at(cell, ready, asked_for, own_keys, at), say, whole=True)
    early = [step for step in cell.checkpoint_steps if 0 < step <= FIRST]
    for step, thetas, shaken in _walks(asked, own, group, ready, early):
        for run in runs:
            values = _fit(ready, run, step, thetas[run.seed])
            if step in run.steps and values is not None:
                other = _fit(ready, run, step, shaken.get(run.seed))
                _say_record(run, step, values, say, whole=False, shaken=other)


def _segment(
    asked: Request,
    runs: Sequence[Run],
    group: tuple[int, ...],
    between: tuple[int, int],
    ready: problems.Problem,
    say: Say,
) -> None:
    """The steps from one state that was handed in to another."""
    first, last = between
    own = {run.seed: _lane(asked.states[run.seed][first], run, first) for run in runs}
    for _, thetas, shaken in _walks(asked, own, group, ready, [last]):
        for run in runs:
            theirs = asked.states[run.seed][last]["theta"]
            _say_state(run, between, thetas[run.seed], theirs, say, shaken.get(run.seed))


def _last(asked: Request, run: Run, ready: problems.Problem, say: Say) -> None:
    """The last record, at the state of its step, where that and the one before were handed in."""
    states, asked_for = asked.states.get(run.seed, {}), outline.plan(asked.cell, ready.objective.size)
    if len(run.steps) < 2 or not {*run.steps[-2:]} <= set(states):
        return
    before, last = run.steps[-2:]
    at = measure.Checkpoint(last, states[last]["theta"], states[before]["theta"], run.eta, run.reached)
    if "changes" in asked_for.taken:
        at = at._replace(above=_above(asked, run, before, states[before]["theta"], ready))
    values = measure.record_at(asked.cell, ready, asked_for, keys.of_run(run.seed), at)
    _say_record(run, last, values, say, whole=True)


def _above(asked: Request, run: Run, step: int, theta: np.ndarray, ready: problems.Problem) -> float | None:
    """Returns how many eigenvalues a run counted above 1/eta at a step, by the same survey from the same key."""
    key = keys.at_step(asked.cell, keys.of_run(run.seed), step)
    found = measure.measure(ready, jnp.asarray(theta), _rate(ready, run, step), key, names=("singularity",))
    return None if found is None else found["n_above_inv_eta"]


def _exclusions(asked: Request, ready: problems.Problem, say: Say) -> Iterator[Callable[[], None]]:
    """Yields the first and the last record whose lower bound Lanczos proved, each to be proven again."""
    for run in asked.runs.values():
        for step in run.proven:
            if step == 0 or step in asked.states.get(run.seed, {}):
                yield functools.partial(_excluded, asked, run, step, ready, say)


def _excluded(asked: Request, run: Run, step: int, ready: problems.Problem, say: Say) -> None:
    """A lower bound of sigma_min, proven again from a start of the verifier's own."""
    held = asked.states.get(run.seed, {}).get(step)
    start = problems.start(asked.cell, ready, keys.of_run(run.seed).start) if held is None else held["theta"]
    theta = jnp.asarray(start, ready.batch.x.dtype).astype("float64")
    eta, drawn = _rate(ready, run, step), jax.random.fold_in(jax.random.key(asked.drawn), run.seed)
    upper = lower = error = math.inf
    for attempt in range(TRIES):
        key = jax.random.fold_in(jax.random.fold_in(drawn, step), attempt)
        known = ready.surveyor.spectrum((theta, ready.exact), eta, key)
        upper = min(upper, sum(spectra.distance_from_one(known, eta)))
        lower, error = spectra.lower_bound(known, eta), spectra.lower_error(known, eta)
        if verdict.apart(lower, error):
            break
    found = {"lower": lower, "error": error, "upper": upper}
    say({"found": "excluded", "seed": run.seed, "step": step, **(_plain(found) or {})})


def _divergence(asked: Request, run: Run, group: tuple[int, ...], ready: problems.Problem, say: Say) -> None:
    """The steps from the last state to where the loss or its gradient is not finite, if that was handed in."""
    cell, states = asked.cell, asked.states.get(run.seed, {})
    later = [step for step in cell.checkpoint_steps if step > run.steps[-1]]
    if run.steps[-1] not in states or not later:
        return
    lane = _lane(states[run.steps[-1]], run, run.steps[-1])
    state, etas, batch_keys = lanes.stack({group.index(run.seed): lane}, len(group), ready)
    state = jax.block_until_ready(ready.trainer.advance(state, etas, batch_keys, ready.batch, later[0], None))
    mine = group.index(run.seed)
    ended = int(np.array(state.step)[mine])
    if bool(np.array(state.live)[mine]):  # its loss is finite in the training precision; is it in float64?
        at = measure.Checkpoint(ended, np.array(state.theta)[mine], lane.theta, run.eta)
        asked_for = outline.plan(cell, ready.objective.size)
        ended = ended if measure.record_at(cell, ready, asked_for, lane.keys, at) is None else -1
    say({"found": "divergence", "seed": run.seed, "step": None if ended < 0 else ended})


Thetas = dict[int, np.ndarray | None]
"""By seed the parameters at a step; None where a run has ended before it."""


def _walks(
    asked: Request,
    own: dict[int, lanes.Lane],
    group: tuple[int, ...],
    ready: problems.Problem,
    steps: Sequence[int],
) -> Iterator[tuple[int, Thetas, Thetas]]:
    """Yields at each of some steps the parameters, and where bits are other those of the shaken lanes."""
    walk = _walk(own, group, ready, steps)
    if asked.exact:
        yield from ((step, thetas, {}) for step, thetas in walk)
        return
    for (step, thetas), (_, shaken) in zip(walk, _walk(_shaken(own), group, ready, steps), strict=True):
        yield step, thetas, shaken


def _walk(
    own: dict[int, lanes.Lane], group: tuple[int, ...], ready: problems.Problem, steps: Sequence[int]
) -> Iterator[tuple[int, Thetas]]:
    """Yields the parameters of some runs, in the lanes of their group, at each of some steps."""
    if not steps:
        return
    state, etas, batch_keys = lanes.stack({group.index(seed): lane for seed, lane in own.items()}, len(group), ready)
    for step in steps:
        state = jax.block_until_ready(ready.trainer.advance(state, etas, batch_keys, ready.batch, step, None))
        at, thetas = np.array(state.step), np.array(state.theta)
        found = {seed: (thetas[i] if at[i] == step else None) for seed in own for i in [group.index(seed)]}
        yield step, found


def _shaken(own: dict[int, lanes.Lane]) -> dict[int, lanes.Lane]:
    """Returns lanes whose parameters are off by one rounding error each, up or down."""

    def off(theta: np.ndarray) -> np.ndarray:
        signs = np.random.default_rng(0).choice([-1, 1], theta.shape)
        return (theta * (1 + signs * np.finfo(theta.dtype).eps)).astype(theta.dtype)

    return {seed: lane._replace(theta=off(lane.theta)) for seed, lane in own.items()}


def _fit(ready: problems.Problem, run: Run, step: int, theta: np.ndarray | None) -> dict[str, float] | None:
    """Returns loss, gradient norm and what follows from them at a point; None where there is none."""
    if theta is None:
        return None
    key = keys.of_run(run.seed).probes
    return measure.measure(ready, jnp.asarray(theta), _rate(ready, run, step), key, names=("fit",))


def _whole(asked: Request, say: Say) -> Iterator[Callable[[], None]]:
    """Yields the groups of seeds, each repeated whole in this process's own workspace."""
    for group in dict.fromkeys(run.together for run in asked.runs.values()):
        yield functools.partial(_repeated, asked, group, say)


def _repeated(asked: Request, group: Sequence[int], say: Say) -> None:
    """A group of seeds from their start to their ends."""

    def tell(event: events.Event) -> None:
        if event.kind in ("step", "record"):
            say({"step": event.step, "of_steps": asked.cell.steps})

    for folder, seed in zip(
        seed_runs.run_seeds(asked.cell, group, device="verifier", command="gdzoo verify", tell=tell), group, strict=True
    ):
        if (run := asked.runs.get(seed)) is None:
            continue
        facts, recorded = run_folder.read(folder), run_folder.read_records(folder)
        if facts is None or facts.status not in statuses.ENDED:
            raise ValueError(f"seed {seed} did not end here")
        tell_of = functools.partial(_marked, say)
        say({"found": "start", "seed": seed, "eta": facts.eta})
        for record in recorded:
            _say_record(run, record.step, record.values, tell_of, whole=True)
        mine = run_folder.load_states(folder)
        for step, arrays in asked.states.get(seed, {}).items():
            if step in mine:
                _say_state(run, (0, step), mine[step]["theta"], arrays["theta"], tell_of)
        words = {name: getattr(facts, name) for name in ("status", "diverged_at", "reached_at", "verdict", "left_out")}
        say({"found": "run", "seed": seed, "steps": [record.step for record in recorded], **words, "end": facts.end})


def _marked(say: Say, message: dict[str, Any]) -> None:
    """Says something of a run that was repeated from its seed."""
    say({**message, "repeated": True})


def _lane(arrays: dict[str, np.ndarray], run: Run, step: int) -> lanes.Lane:
    return lanes.Lane(step, arrays["theta"], lanes.optimizer_leaves(arrays), run.eta, keys.of_run(run.seed))


def _rate(ready: problems.Problem, run: Run, step: int) -> float:
    return measure.step_size_at(ready, run.eta, step)


def _say_record(
    run: Run,
    step: int,
    values: dict[str, float] | None,
    say: Say,
    *,
    whole: bool,
    shaken: dict[str, float] | None = None,
) -> None:
    said = {"values": _plain(values), "whole": whole, "shaken": _plain(shaken)}
    say({"found": "record", "seed": run.seed, "step": step, **said})


def _plain(values: dict[str, float] | None) -> dict[str, Any] | None:
    return None if values is None else {k: v if math.isfinite(v) else str(float(v)) for k, v in values.items()}


def _say_state(
    run: Run,
    between: tuple[int, int],
    mine: np.ndarray | None,
    theirs: np.ndarray,
    say: Say,
    shaken: np.ndarray | None = None,
) -> None:
    """The distance of two parameter vectors, relative to how long they are."""

    def apart(other: np.ndarray | None) -> float | str:
        if mine is None or other is None:
            return "inf"
        long = float(np.linalg.norm(other.astype("f8")))
        found = float(np.linalg.norm(mine.astype("f8") - other.astype("f8"))) / (long or 1.0)
        return found if math.isfinite(found) else "inf"

    same = mine is not None and bool(np.array_equal(mine, theirs))
    found = {"distance": apart(theirs), "same": same, "shaken": 0.0 if shaken is None else apart(shaken)}
    say({"found": "state", "seed": run.seed, "from": between[0], "step": between[1], **found})


def _check(states: dict[int, dict[str, np.ndarray]], ready: problems.Problem) -> None:
    """Makes sure that states are of this problem: names, types and shapes.

    Raises:
        ValueError: They are not.
    """
    theta = np.zeros((1, ready.objective.size), ready.batch.x.dtype)
    begun = ready.trainer.begin(jnp.asarray(theta), jnp.ones(1, theta.dtype), jnp.zeros(1, int))
    wanted = {"theta": theta[0]}
    for place, leaf in enumerate(jax.tree.leaves(begun.optimizer)):
        wanted[f"optimizer_{place}"] = np.array(leaf)[0]
    for step, arrays in states.items():
        if set(arrays) != set(wanted):
            raise ValueError(
                f"the state at step {step} holds {sorted(arrays)}, and one of this configuration {sorted(wanted)}"
            )
        for name, like in wanted.items():
            if (arrays[name].dtype, arrays[name].shape) != (like.dtype, like.shape):
                raise ValueError(
                    f"the state at step {step} has {name} of type {arrays[name].dtype} and shape {arrays[name].shape}; "
                    f"allowed: {like.dtype}, {like.shape}"
                )


FORBIDDEN = ("socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")


def _alone(folder: pathlib.Path) -> None:
    """Refuses from now on connections, other programs, and files written outside a folder."""
    places = (str(folder.resolve()), os.environ.get("JAX_COMPILATION_CACHE_DIR"))
    inside = tuple(os.path.join(os.path.realpath(place), "") for place in places if place)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            raise PermissionError(f"the verifier's process may not {event}")
        if event == "open" and isinstance(arguments[0], str | bytes) and arguments[2]:
            writes = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if writes and not path.startswith(inside) and path != os.devnull:
                raise PermissionError("the verifier's process may not write outside its folder")

    sys.addaudithook(watch)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)
