# SPDX-License-Identifier: Apache-2.0
"""gdzoo: how far the gradient-descent map of a network is from singular, with error bars.

From a network in a notebook to a certified answer:

    import gdzoo

    net = gdzoo.network(apply, params, (x, y), loss="half_mse")
    gdzoo.survey(net, eta=0.1)

`network` takes any jax function of a tree of parameters, a flax module, or the path of a spec; `survey` says sharpness,
sigma_min with its lower bound, log|det| and counts, with error bars, and whether that is certain; `trace` follows the
largest eigenvalues along a training; `certify`, `run` and `runs` do what the commands of these names do; `plot.flow`
and `plot.spectrum` draw. docs/python.md has all of it. `gdzoo` and `python gdzoo.py` are the command line.

Importing this module loads neither jax nor anything else that is slow; asking for a name does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.errors import InputError
    from harness.face import plot
    from harness.face.certificates import Certificates, certify
    from harness.face.network import Network, network
    from harness.face.runs import Run, Runs, run, runs
    from harness.face.survey import Survey, survey
    from harness.face.trace import Trace, trace

__all__ = [
    "Certificates",
    "InputError",
    "Network",
    "Run",
    "Runs",
    "Survey",
    "Trace",
    "certify",
    "network",
    "plot",
    "run",
    "runs",
    "survey",
    "trace",
]

_PLACES = {
    "InputError": "harness.errors",
    "plot": "harness.face.plot",
    **dict.fromkeys(("Certificates", "certify"), "harness.face.certificates"),
    **dict.fromkeys(("Network", "network"), "harness.face.network"),
    **dict.fromkeys(("Run", "Runs", "run", "runs"), "harness.face.runs"),
    **dict.fromkeys(("Survey", "survey"), "harness.face.survey"),
    **dict.fromkeys(("Trace", "trace"), "harness.face.trace"),
}
"""Where each name stands; a module stands for itself."""


def __getattr__(name: str) -> Any:
    """Returns a name of the face, and loads what it needs."""
    if name not in _PLACES:
        raise AttributeError(f"gdzoo has no {name!r}; it has {', '.join(__all__)}")
    module = importlib.import_module(_PLACES[name])
    return module if name == "plot" else getattr(module, name)


def __dir__() -> list[str]:
    """Returns the names of the face."""
    return sorted(__all__)


def main() -> None:
    """Runs the command line."""
    from harness.runtime import lapack

    lapack.limit()  # before anything loads numpy
    from leaderboard.cli import door

    door.main()


if __name__ == "__main__":
    main()
