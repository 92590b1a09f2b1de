# SPDX-License-Identifier: Apache-2.0
"""How far a submitted row was checked: the levels of the verifier, and what a row is called afterwards."""

from __future__ import annotations

from typing import Literal

Level = Literal["reported", "recomputed", "replayed"]
LEVELS: tuple[Level, ...] = ("reported", "recomputed", "replayed")
"""How far a bundle was checked, each level including those before."""

Label = Literal["reported", "recomputed", "replayed", "disputed"]
"""What a row is called after it was checked."""
