# SPDX-License-Identifier: Apache-2.0
"""Statuses: how far a run has come. Read by specs, runs and the board alike, so it loads nothing."""

from __future__ import annotations

ENDED = ("finished", "diverged")
"""Of a run of which nothing is missing; divergence is a result."""

ALL = (*ENDED, "running", "interrupted", "failed", "missing")
"""All, in the order in which people are told of them."""
