# SPDX-License-Identifier: Apache-2.0
"""The process that computes a bundle again (`harness/jobs/recompute.py`): what it is asked, its limits, what it says.

It is alone with a folder of its own: no environment but where programs, data and compiled code are, bounded CPU time,
memory and files. It writes a JSON message in a line for each thing that it computed.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from harness import errors, workspace
from harness.jobs import task
from harness.records import verdict
from harness.runtime import compilation_cache, lapack, provenance
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import challenge as challenges
from leaderboard.export import document, labels

SECONDS = 3600
"""CPU seconds that a recomputation may take, unless told otherwise."""

MEMORY = 8 << 30
"""Bytes of data that the process may hold."""

FILE_BYTES = 1 << 30
"""Bytes of a file that the process may write."""

DECISIVE = ("jax", "jaxlib", "numpy", "scipy")
"""Packages whose versions bits depend on."""

Message = dict[str, Any]
"""One line of the process; `found` says of what it is."""

Tell = Callable[[str, int, int], None]
"""`(what, done, of)`: how far a recomputation is."""


class Request(NamedTuple):
    """What is to be computed again.

    Attributes:
        level: How far to go.
        challenge: What segments and starts of Lanczos are drawn with.
        segments: Where steps are made again.
        seconds: CPU seconds that it may take.
        bits: Whether bits are to be compared where they can be.
    """

    level: labels.Level
    challenge: str = ""
    segments: challenges.Segments = ()
    seconds: int = SECONDS
    bits: bool = True


class Recomputation(NamedTuple):
    """What the process computed.

    Attributes:
        problem: What the data set and the network are.
        machine: Profile and canary of the process, and whether its bits are those of the bundle's machine.
        messages: Its other messages.
        seconds: The CPU seconds that it took.
    """

    problem: Message
    machine: Message
    messages: list[Message]
    seconds: float

    @property
    def exact(self) -> bool:
        """Whether bits are compared, the machine being like the bundle's."""
        return bool(self.machine["exact"])


class Ended(NamedTuple):
    """How the process ended: its messages by what they are of, exit code, CPU seconds, last line of its errors."""

    messages: dict[str, list[Message]]
    code: int
    seconds: float
    error: str


def recompute(bundle: bundles.Bundle, request: Request, tell: Tell = lambda what, done, of: None) -> Recomputation:
    """Returns what a process of its own computes again of a bundle.

    Args:
        bundle: The bundle.
        request: What is to be computed.
        tell: Called with how far it is.

    Raises:
        errors.InputError: It cannot be computed here, as where a data set cannot be had.
        errors.Rejected: It refused, died, or took more than it may.
    """
    with tempfile.TemporaryDirectory(prefix="gdzoo-verify-") as name:
        folder = pathlib.Path(name)
        _write(folder, bundle, request)
        ended = run(folder, lambda done, of: tell(bundle.manifest.label, done, of))
    messages = ended.messages
    if "unable" in messages:
        raise errors.InputError(f"{bundle.name}: cannot be checked here: {messages['unable'][0]['unable']}")
    if "refused" in messages:
        raise errors.Rejected(f"{bundle.name}: rejected: {messages['refused'][0]['refused']}")
    if ended.code or not {"problem", "place"} <= set(messages):
        late = ended.seconds >= request.seconds - 1
        why = f"took more than {request.seconds} CPU seconds" if late else f"died: {ended.error[:200]}"
        raise errors.Rejected(f"{bundle.name}: rejected: its recomputation {why}")
    (problem,), (machine,) = messages.pop("problem"), messages.pop("place")
    messages.pop("", None)
    return Recomputation(problem, machine, [one for several in messages.values() for one in several], ended.seconds)


def environment(folder: pathlib.Path) -> dict[str, str]:
    """Returns the environment of the process: nothing of this one but where programs, data and compiled code are."""
    settled = lapack.settings()
    kept = ("PATH", "LD_LIBRARY_PATH", "NPROC", "PJRT_NPROC", "XLA_FLAGS", "LANG", *settled)
    return {
        **settled,
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(folder),
        "GDZOO_HOME": str(folder),
        "TFDS_DATA_DIR": str(workspace.data()),
        "JAX_COMPILATION_CACHE_DIR": str(compilation_cache.folder()),
    }


def run(folder: pathlib.Path, step: Callable[[int, int], None], program: str = "harness.jobs.recompute") -> Ended:
    """Runs the process on what was written to a folder, and returns how it ended."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    messages: dict[str, list[Message]] = {}
    with (
        open(folder / "stderr", "wb") as noise,
        subprocess.Popen(
            [sys.executable, "-m", program, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=noise,
            env=environment(folder),
            cwd=workspace.CODE,
        ) as process,
    ):
        try:
            for message in _messages(process):
                if "done" in message:
                    step(message["done"], message["of"])
                kind = next((word for word in ("refused", "unable") if word in message), message.get("found", ""))
                messages.setdefault(kind, []).append(message)
        finally:
            process.kill()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    lines = (folder / "stderr").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return Ended(messages, process.returncode, seconds, " ".join(lines[-1:]))


def _messages(process: subprocess.Popen[bytes]) -> Iterator[Message]:
    """Yields what the process says, and then gives it ten seconds to end."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)
    for _ in range(100):
        if process.poll() is not None:
            return
        time.sleep(0.1)


def _write(folder: pathlib.Path, bundle: bundles.Bundle, request: Request) -> None:
    """Writes what the process is asked, and the states that it reads."""
    from safetensors import numpy as writer

    cell = task.Task(bundle.cell, tuple(range(bundle.manifest.seeds)), "gdzoo verify")
    plain = {
        "task": cell.dump(),
        "runs": [_asked_of(bundle, run, request.challenge) for run in bundle.runs],
        "whole": request.level == "replayed",
        "segments": request.segments,
        "canary": bundle.manifest.canary if request.bits and _same_versions(bundle) else None,
        "profiles": list(bundle.profiles.values()),
        "drawn": challenges.lanczos_key(bundle, request.challenge),
        "limits": {"RLIMIT_CPU": request.seconds, "RLIMIT_DATA": MEMORY, "RLIMIT_FSIZE": FILE_BYTES, "RLIMIT_CORE": 0},
    }
    (folder / "request.json").write_text(json.dumps(plain), encoding="utf-8")
    for seed, states in bundle.states.items():
        if states:
            (folder / f"seed-{seed}.safetensors").write_bytes(writer.save(bundles.stacked(states)))


def _asked_of(bundle: bundles.Bundle, run: document.Run, challenge: str) -> dict[str, Any]:
    """Returns what the process is told of one run."""
    return {
        "seed": run.seed,
        "eta": run.eta,
        "together": bundle.together[run.seed],
        "steps": run.steps,
        "traced": challenges.traced_steps(bundle, run.seed, challenge),
        "proven": _proven_steps(bundle, run),
        "reached": run.reached_at is not None,
        "diverged": run.status == "diverged",
    }


def _proven_steps(bundle: bundles.Bundle, run: document.Run) -> list[int]:
    """Returns the steps of the first and the last record of a run, where Lanczos proved a lower bound there."""
    recorded = bundle.recorded[run.seed]
    if run.curvature != "lanczos":
        return []
    return sorted({one.step for one in (*recorded[:1], *recorded[-1:]) if verdict.undecided(one.values) is None})


def _same_versions(bundle: bundles.Bundle) -> bool:
    """Says whether the runs were made, each from its beginning, with the versions that bits depend on and are here."""
    versions = provenance.versions()
    same = all(run.versions.get(name) == versions[name] for run in bundle.runs for name in DECISIVE)
    return same and not any(run.mixed for run in bundle.runs)
