# SPDX-License-Identifier: Apache-2.0
"""Instructions: rows made once more where PyTorch is held to AVX2.

Its convolutions (oneDNN) take AVX-512 where a CPU has it; XLA's on a CPU are no faster with it, whatever
`--xla_cpu_max_isa` says. These rows tell how much of a lead that is. What PyTorch may take it reads when it
is loaded: so this is done in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable

from harness import workspace
from harness.bench import products, row, steps, timing
from harness.runtime import device

HELD = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}

UNITS: dict[str, Callable[..., list[row.Row]]] = {"steps": steps.rows, "kept graph": products.against_torch}


def again(unit: str, *arguments: object) -> list[row.Row]:
    """Makes the rows of one of UNITS with HELD, in a process of its own.

    Raises:
        RuntimeError: If that process fails; its last line is in the message.
    """
    group = f"{unit}, PyTorch held to AVX2"
    if importlib.util.find_spec("torch") is None:
        return [row.absent(group, unit, "torch is not installed (pip install -e '.[bench]')")]
    if platform.machine() not in device.X86:
        return [row.absent(group, unit, f"{platform.machine()} has other instructions")]
    command = [sys.executable, "-m", "harness.bench.instructions", unit, json.dumps(arguments)]
    environment = {**os.environ, **HELD}
    done = subprocess.run(command, cwd=workspace.CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no output"])[-1])
    return [_row(**each) for each in json.loads(done.stdout.strip().splitlines()[-1])]


def _row(group: str, target: tuple[float, bool] | None, **rest: object) -> row.Row:
    held = f"{group}; PyTorch held to AVX2"
    return row.Row(held, target=None if target is None else row.Target(*target), **rest)  # type: ignore[arg-type]


if __name__ == "__main__":
    timing.keep_to_one_core()
    device.configure("cpu")
    print(json.dumps([made._asdict() for made in UNITS[sys.argv[1]](*json.loads(sys.argv[2]))]))
