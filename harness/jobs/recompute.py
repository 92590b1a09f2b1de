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
    {"found": "trace", "seed": s, "step": t, "loss": ..., "grad_norm": ..., "values": [...], "errors": [...], ...}
        the least eigenvalue of the Hessian there and the largest, ascending, `whole` if they are all; in float64
    {"found": "divergence", "seed": s, "step": t}         null where it did not diverge
    {"found": "run", "seed": s, ...}                      how a run ended that was repeated from its seed
    {"done": n, "of": m}                                  how far it is
    {"refused": "..."}                                    what was handed in is wrong, or takes too much
    {"unable": "..."}                                     it cannot be computed here, as where a data set is missing

The sandbox is this process: an empty environment, a folder of its own as its workspace, limits on CPU time, memory and
file sizes, and once the data set is there no connection and no other program (leaderboard/bundles/process.py sets what
the operating system can hold, `alone` the rest). Nothing of a bundle is ever run: a cell is typed values.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import pathlib
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness import errors
from harness.curvature import spectrum as spectra
from harness.jobs import request
from harness.jobs.request import ClaimedRun, Request
from harness.records import run_folder, statuses, traces, verdict
from harness.risk import layout
from harness.runs import events, keys, lanes, measure, outline
from harness.runs import run as seed_runs
from harness.runtime import canary
from harness.runtime import device as devices
from harness.training import problem

TRIES = 3
"""Random starts of Lanczos from which a lower bound may be proven again; the first does nearly always."""

FIRST = 10
"""Steps from the start within which the first checkpoint steps are walked to again."""

Say = Callable[[dict[str, Any]], None]
Values = dict[str, float] | None
"""A record's values; None where something is not finite."""

Thetas = dict[int, np.ndarray | None]
"""By seed the parameters at a step; None where a run has ended before it."""


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
        asked = request.read(folder, plain)
        ready = problem.problem(asked.cell)
        alone(folder)
        answer(asked, ready, say)
    except (errors.InputError, errors.OutOfMemory, ValueError) as error:
        word = "unable" if isinstance(error, errors.InputError) else "refused"
        say({word: errors.first_line(error)[:300]})
        return errors.EXIT_REJECTED
    return errors.EXIT_DONE


def answer(asked: Request, ready: problem.Problem, say: Say) -> None:
    """Computes again what is asked for and says what is found.

    Cost: for each seed the survey of two points, by Lanczos with a further exclusion at each, the first FIRST steps and
    the segments; with `whole` the runs.

    Raises:
        ValueError: A state is not one of this cell's.
    """
    for states in asked.states.values():
        request.check_states(states, ready)
    method, examples = ready.surveyor.method, len(ready.arrays.x)
    known = {"parameters": ready.objective.size, "examples": examples, "curvature": method}
    places = layout.plain(ready.objective.layout)
    say({"found": "problem", **known, "dataset": ready.arrays.sha256, "layout": places})
    profile, here = devices.profile(), canary.sha256()
    alike = all(one.items() <= profile.items() for one in asked.profiles)  # older runs recorded less
    exact = asked.canary == here and bool(profile["exact"]) and alike
    say({"found": "place", "profile": profile, "canary": here, "exact": exact})
    tasks = _Recomputation(asked._replace(exact=exact), ready, say).tasks()
    for done, perform in enumerate(tasks):
        say({"done": done, "of": len(tasks)})
        perform()
    say({"done": len(tasks), "of": len(tasks)})


class _Recomputation:
    """What is computed again, one method for each kind of task; each says what it finds."""

    def __init__(self, asked: Request, ready: problem.Problem, say: Say) -> None:
        self.asked, self.ready, self.say = asked, ready, say
        self.plan = outline.plan(asked.cell, ready.objective.size)
        self.groups = list(dict.fromkeys(run.together for run in asked.runs.values()))

    def tasks(self) -> list[Callable[[], None]]:
        """Returns the tasks, in their order."""
        tasks: list[Callable[[], None]] = []
        if not (self.asked.exact and self.asked.whole):
            tasks += self._parts()
        if self.asked.whole:
            tasks += [functools.partial(self.repeat, group) for group in self.groups]
        for run in self.asked.runs.values():
            for step in run.proven:
                if step == 0 or step in self.states(run):
                    tasks.append(functools.partial(self.exclude_again, run, step))
            tasks += [functools.partial(self.look_again, run, step) for step in run.traced]
        return tasks

    def _parts(self) -> Iterator[Callable[[], None]]:
        """Yields the tasks short of whole runs."""
        for group in self.groups:
            runs = [self.asked.runs[seed] for seed in group if seed in self.asked.runs]
            yield functools.partial(self.begin, runs, group)
            for segment in self.asked.segments:
                having = [run for run in runs if set(segment) <= set(self.states(run))]
                if having:
                    yield functools.partial(self.walk_segment, having, group, segment)
            for run in runs:
                yield functools.partial(self.measure_last, run)
                if run.diverged:
                    yield functools.partial(self.diverge, run, group)

    def states(self, run: ClaimedRun) -> dict[int, dict[str, np.ndarray]]:
        """Returns the states of a run that were handed in, by step."""
        return self.asked.states.get(run.seed, {})

    def begin(self, runs: Sequence[ClaimedRun], group: tuple[int, ...]) -> None:
        """The start, its record, and the checkpoint steps within FIRST steps of it, by their fit."""
        cell, ready = self.asked.cell, self.ready
        starts = {}
        for run in runs:
            own_keys = keys.of_run(run.seed)
            theta = np.asarray(problem.start(cell, ready, own_keys.start), ready.batch.x.dtype)
            eta = problem.step_size(cell, ready, jnp.asarray(theta), own_keys.top)
            self.say({"found": "start", "seed": run.seed, "eta": eta})
            starts[run.seed] = lanes.Lane(0, theta, None, eta, own_keys)
            if run.steps:
                at = measure.Checkpoint(0, theta, None, eta, run.reached and run.steps[-1] == 0)
                values = measure.record_at(self._measured(run), at)
                self.say(_record(run, 0, values, whole=True))
        early = [step for step in cell.checkpoint_steps if 0 < step <= FIRST]
        for step, thetas, shaken in self._walk_twice(starts, group, early):
            for run in runs:
                values = self._fit(run, step, thetas[run.seed])
                if step in run.steps and values is not None:
                    other = self._fit(run, step, shaken.get(run.seed))
                    self.say(_record(run, step, values, whole=False, shaken=other))

    def walk_segment(self, runs: Sequence[ClaimedRun], group: tuple[int, ...], segment: tuple[int, int]) -> None:
        """The steps from one state that was handed in to another."""
        first, last = segment
        starts = {run.seed: self._lane(run, first) for run in runs}
        for _, thetas, shaken in self._walk_twice(starts, group, [last]):
            for run in runs:
                theirs = self.states(run)[last]["theta"]
                self.say(_distance(run, segment, thetas[run.seed], theirs, shaken.get(run.seed)))

    def measure_last(self, run: ClaimedRun) -> None:
        """The last record, at the state of its step, where that and the one before were handed in."""
        states = self.states(run)
        if len(run.steps) < 2 or not {*run.steps[-2:]} <= set(states):
            return
        before, last = run.steps[-2:]
        at = measure.Checkpoint(last, states[last]["theta"], states[before]["theta"], run.eta, run.reached)
        if "changes" in self.plan.taken:
            at = at._replace(above=self._count_above(run, before, states[before]["theta"]))
        values = measure.record_at(self._measured(run), at)
        self.say(_record(run, last, values, whole=True))

    def exclude_again(self, run: ClaimedRun, step: int) -> None:
        """A lower bound of sigma_min, proven again from a start of the verifier's own."""
        cell, ready = self.asked.cell, self.ready
        held = self.states(run).get(step)
        start = problem.start(cell, ready, keys.of_run(run.seed).start) if held is None else held["theta"]
        theta = jnp.asarray(start, ready.batch.x.dtype).astype("float64")
        eta, drawn = self._step_size(run, step), jax.random.fold_in(jax.random.key(self.asked.drawn), run.seed)
        upper = lower = error = math.inf
        for attempt in range(TRIES):
            key = jax.random.fold_in(jax.random.fold_in(drawn, step), attempt)
            known = ready.surveyor.spectrum((theta, ready.exact), eta, key)
            upper = min(upper, sum(spectra.distance_from_one(known, eta)))
            lower, error = spectra.lower_bound(known, eta), spectra.lower_error(known, eta)
            if verdict.apart(lower, error):
                break
        bounds = {"lower": lower, "error": error, "upper": upper}
        self.say({"found": "excluded", "seed": run.seed, "step": step, **(_plain(bounds) or {})})

    def look_again(self, run: ClaimedRun, step: int) -> None:
        """What a trace point claims of a state that was handed in, in float64: by a survey, which follows nothing."""
        theta = jnp.asarray(self.states(run)[step]["theta"]).astype("float64")
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.asked.drawn), run.seed), step)
        found = self.ready.surveyor.survey((theta, self.ready.exact), self._step_size(run, step), key).spectrum
        loss, norm, _ = jax.block_until_ready(self.ready.evaluate(theta, self.ready.exact))
        assert self.asked.cell.trace is not None, "who asks for a trace point has a trace"
        some = {0, *range(max(len(found.values) - 2 * self.asked.cell.trace.top, 0), len(found.values))}
        self.say(
            {
                "found": "trace",
                "seed": run.seed,
                "step": step,
                "loss": float(loss),
                "grad_norm": float(norm),
                "values": [float(found.values[place]) for place in sorted(some)],
                "errors": [float(found.errors[place]) for place in sorted(some)],
                "whole": len(some) == found.size,
            }
        )

    def diverge(self, run: ClaimedRun, group: tuple[int, ...]) -> None:
        """The steps from the last state to where the loss or its gradient is not finite, if that was handed in."""
        cell, ready = self.asked.cell, self.ready
        later = [step for step in cell.checkpoint_steps if step > run.steps[-1]]
        if run.steps[-1] not in self.states(run) or not later:
            return
        lane, index = self._lane(run, run.steps[-1]), group.index(run.seed)
        state, etas, batch_keys = lanes.stack({index: lane}, len(group), ready)
        state = jax.block_until_ready(ready.trainer.advance(state, etas, batch_keys, ready.batch, later[0], None))
        ended = int(np.array(state.step)[index])
        if bool(np.array(state.live)[index]):  # its loss is finite in the training precision; is it in float64?
            at = measure.Checkpoint(ended, np.array(state.theta)[index], lane.theta, run.eta)
            ended = ended if measure.record_at(self._measured(run), at) is None else -1
        self.say({"found": "divergence", "seed": run.seed, "step": None if ended < 0 else ended})

    def repeat(self, group: Sequence[int]) -> None:
        """A group of seeds from their start to their ends, in this process's own workspace."""

        def tell(event: events.Event) -> None:
            if event.kind in ("step", "record"):
                self.say({"step": event.step, "of_steps": self.asked.cell.steps})

        def say(message: dict[str, Any]) -> None:
            self.say({**message, "repeated": True})

        folders = seed_runs.run_seeds(self.asked.cell, group, device="verifier", command="gdzoo verify", tell=tell)
        for folder, seed in zip(folders, group, strict=True):
            if (run := self.asked.runs.get(seed)) is None:
                continue
            facts, recorded = run_folder.read(folder), run_folder.read_records(folder)
            if facts is None or facts.status not in statuses.ENDED:
                raise ValueError(f"seed {seed} did not end here")
            self.say({"found": "start", "seed": seed, "eta": facts.eta})
            for record in recorded:
                say(_record(run, record.step, record.values, whole=True))
            mine = run_folder.load_states(folder)
            for step, arrays in self.states(run).items():
                if step in mine:
                    say(_distance(run, (0, step), mine[step]["theta"], arrays["theta"]))
            names = ("status", "diverged_at", "reached_at", "verdict", "left_out")
            words = {name: getattr(facts, name) for name in names}
            steps = [record.step for record in recorded]
            trace = hashlib.sha256(traces.fitting(run_folder.read_trace(folder)).encode()).hexdigest()
            self.say({"found": "run", "seed": seed, "steps": steps, **words, "end": facts.end, "trace": trace})

    def _walk_twice(
        self, starts: dict[int, lanes.Lane], group: tuple[int, ...], steps: Sequence[int]
    ) -> Iterator[tuple[int, Thetas, Thetas]]:
        """Yields at each of some steps the parameters, and where bits are other those from shaken starts."""
        walk = self._walk(starts, group, steps)
        if self.asked.exact:
            yield from ((step, thetas, {}) for step, thetas in walk)
            return
        for (step, thetas), (_, shaken) in zip(walk, self._walk(_shaken(starts), group, steps), strict=True):
            yield step, thetas, shaken

    def _walk(
        self, starts: dict[int, lanes.Lane], group: tuple[int, ...], steps: Sequence[int]
    ) -> Iterator[tuple[int, Thetas]]:
        """Yields the parameters of some runs, in the lanes of their group, at each of some steps."""
        if not steps:
            return
        ready, index = self.ready, {seed: group.index(seed) for seed in starts}
        stacked = lanes.stack({index[seed]: lane for seed, lane in starts.items()}, len(group), ready)
        state, etas, batch_keys = stacked
        for step in steps:
            state = jax.block_until_ready(ready.trainer.advance(state, etas, batch_keys, ready.batch, step, None))
            at, thetas = np.array(state.step), np.array(state.theta)
            yield step, {seed: (thetas[i] if at[i] == step else None) for seed, i in index.items()}

    def _fit(self, run: ClaimedRun, step: int, theta: np.ndarray | None) -> Values:
        """Returns loss, gradient norm and what follows from them at a point; None where there is none."""
        if theta is None:
            return None
        key, eta = keys.of_run(run.seed).probes, self._step_size(run, step)
        return measure.measure(self.ready, measure.Where(jnp.asarray(theta), eta, key), ("fit",))

    def _count_above(self, run: ClaimedRun, step: int, theta: np.ndarray) -> float | None:
        """Returns how many eigenvalues a run counted above 1/eta at a step, by the same survey from the same key."""
        key, eta = keys.at_step(self.asked.cell, keys.of_run(run.seed), step), self._step_size(run, step)
        values = measure.measure(self.ready, measure.Where(jnp.asarray(theta), eta, key), ("singularity",))
        return None if values is None else values["n_above_inv_eta"]

    def _measured(self, run: ClaimedRun) -> measure.Measured:
        """Returns what the records of a run follow from."""
        return measure.Measured(self.asked.cell, self.ready, self.plan, keys.of_run(run.seed))

    def _lane(self, run: ClaimedRun, step: int) -> lanes.Lane:
        """Returns the lane of a run at a submitted state."""
        arrays = self.states(run)[step]
        return lanes.Lane(step, arrays["theta"], lanes.optimizer_leaves(arrays), run.eta, keys.of_run(run.seed))

    def _step_size(self, run: ClaimedRun, step: int) -> float:
        """Returns the step size of a run at a step."""
        return measure.step_size_at(self.ready, run.eta, step)


def _shaken(own: dict[int, lanes.Lane]) -> dict[int, lanes.Lane]:
    """Returns lanes whose parameters are off by one rounding error each, up or down."""

    def off(theta: np.ndarray) -> np.ndarray:
        signs = np.random.default_rng(0).choice([-1, 1], theta.shape)
        return (theta * (1 + signs * np.finfo(theta.dtype).eps)).astype(theta.dtype)

    return {seed: lane._replace(theta=off(lane.theta)) for seed, lane in own.items()}


def _record(run: ClaimedRun, step: int, values: Values, *, whole: bool, shaken: Values = None) -> dict[str, Any]:
    """Returns the message of a record."""
    said = {"values": _plain(values), "whole": whole, "shaken": _plain(shaken)}
    return {"found": "record", "seed": run.seed, "step": step, **said}


def _plain(values: Values) -> dict[str, Any] | None:
    return None if values is None else {k: v if math.isfinite(v) else str(float(v)) for k, v in values.items()}


def _distance(
    run: ClaimedRun,
    segment: tuple[int, int],
    mine: np.ndarray | None,
    theirs: np.ndarray,
    shaken: np.ndarray | None = None,
) -> dict[str, Any]:
    """Returns the message of the distance of two parameter vectors, relative to how long they are."""

    def apart(other: np.ndarray | None) -> float | str:
        if mine is None or other is None:
            return "inf"
        length = float(np.linalg.norm(other.astype("f8")))
        distance = float(np.linalg.norm(mine.astype("f8") - other.astype("f8"))) / (length or 1.0)
        return distance if math.isfinite(distance) else "inf"

    same = mine is not None and bool(np.array_equal(mine, theirs))
    found = {"distance": apart(theirs), "same": same, "shaken": 0.0 if shaken is None else apart(shaken)}
    return {"found": "state", "seed": run.seed, "from": segment[0], "step": segment[1], **found}


FORBIDDEN = ("socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")


def alone(folder: pathlib.Path) -> None:
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
