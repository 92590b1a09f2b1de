# SPDX-License-Identifier: Apache-2.0
"""Threads: one for LAPACK, in every process that computes spectra, unless the user set another number.

Its threads spin while they wait: on 2 cores beside other work a dense spectrum of 1,066 parameters took 0.6 to 15 s
with two of them and 0.4 s with one (by hand). One also gives the same last digits on every machine and by every
engine. XLA has threads of its own.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SETTINGS = {"OMP_NUM_THREADS": "1"}


def limit(environment: MutableMapping[str, str] = os.environ) -> None:
    """Puts the settings into an environment, before numpy is loaded in it."""
    for name, value in SETTINGS.items():
        environment.setdefault(name, value)
