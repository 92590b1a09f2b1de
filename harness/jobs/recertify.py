# SPDX-License-Identifier: Apache-2.0
"""A certificate, computed again: the process that does it, `python -m harness.jobs.recertify FOLDER`.

It is told what to do by `request.json` in the folder, {"cell": ..., "points": n, "limits": {...}}, and prints one JSON
object: {"found": "certificate", ...} as harness/theory/written.py writes it, with the eigenvalues of its points within
their own error bars; {"refused": "..."} or {"unable": "..."} where there is none. The sandbox is that of recompute.py.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import sys

from harness import config, data, errors
from harness.jobs import recompute
from harness.runtime import device as devices
from harness.theory import certify, written


def main() -> int:
    """Does what the request in a folder says; returns the exit code."""
    folder = pathlib.Path(sys.argv[1])
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print goes to stderr
    code, said = errors.EXIT_DONE, {}
    try:
        plain = json.loads((folder / "request.json").read_text(encoding="utf-8"))
        for name, most in plain["limits"].items():
            resource.setrlimit(getattr(resource, name), (most, most))
        devices.configure("cpu")
        cell = config.Cell.model_validate_json(json.dumps(plain["cell"]))
        data.load(cell.data)  # a set that needs no network is prepared on first use
        recompute.alone(folder)
        made = certify.certify(cell, plain["points"])
        said = {"found": "certificate", **written.plain(made, plain["points"], margin=1.0)}
    except (errors.InputError, errors.OutOfMemory, ValueError) as error:
        word = "unable" if isinstance(error, errors.InputError) else "refused"
        code, said = errors.EXIT_REJECTED, {word: errors.first_line(error)[:300]}
    replies.write(json.dumps(said) + "\n")
    replies.flush()
    return code


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)
