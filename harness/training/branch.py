# SPDX-License-Identifier: Apache-2.0
"""Branches: the state of another run from which a run begins, from its folder or from the bundle that it came in.

A branch with the seed, the rule and the step size of that run makes its steps again with the same bits (gradient
descent and SGD; momentum begins at 0, and a schedule anew). A branch that changes one of them shows what it does from
there on.
"""

from __future__ import annotations

import contextlib
import pathlib

import numpy as np

from harness import config, errors, workspace
from harness.records import run_folder


def theta(start: config.Branch, size: int) -> np.ndarray:
    """Returns the parameters (P,) of a run at a step, in the precision of its training.

    Args:
        start: Which run, and which step.
        size: P of the network that goes on from there.

    Raises:
        errors.InputError: If the run is not here, has no state at that step, or has other parameters.
    """
    known = _states(start.run)
    if known is None:
        raise errors.InputError(
            f"start.run: no run {start.run} is in {workspace.runs()}, nor in a bundle of {workspace.board()}; "
            "`gdzoo run` its spec first"
        )
    if start.step not in known:
        steps = ", ".join(map(str, sorted(known))) or "none"
        raise errors.InputError(f"start.step: {start.run} has no state at step {start.step}; it has some at {steps}")
    found = known[start.step]
    if found.shape != (size,):
        raise errors.InputError(
            f"start.run: {start.run} has {found.size:,} parameters; the network of this spec has {size:,}"
        )
    return found


def _states(run_id: str) -> dict[int, np.ndarray] | None:
    """Returns the parameters of a run by step; None where no such run is here."""
    for folder in sorted(workspace.runs().glob(f"*/{run_id}")):
        return {step: arrays["theta"] for step, arrays in run_folder.load_states(folder).items()}
    cell_id, _, seed = run_id.rpartition("-s")
    for file in sorted(workspace.board().glob(f"submissions/*/{cell_id}/seed-{seed}/states.safetensors")):
        return _bundled(file)
    return None


def _bundled(file: pathlib.Path) -> dict[int, np.ndarray]:
    import safetensors
    from safetensors import numpy as reader

    with contextlib.suppress(OSError, KeyError, safetensors.SafetensorError):
        arrays = reader.load_file(file)
        return {int(step): one for step, one in zip(arrays["step"], arrays["theta"], strict=True)}
    raise errors.InputError(f"{file}: its states cannot be read")
