# SPDX-License-Identifier: Apache-2.0
"""Results that no run has are found without computing anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import consistency, reading

IMPOSSIBLE: dict[str, Callable[[dict[str, Any]], None]] = {
    "loss below its infimum": lambda v: v.update(loss=-0.1, loss_gap=-0.1),
    "a loss that is not finite": lambda v: v.update(loss="nan"),
    "accuracy above 1": lambda v: v.update(train_accuracy=1.5),
    "more eigenvalues than parameters": lambda v: v.update(n_above_inv_eta=10**9),
    "half an eigenvalue": lambda v: v.update(n_negative=0.5),
    "a distance that the eigenvalues refute": lambda v: v.update(sigma_min=5.0, sigma_min_lower=5.0),
    "a lower bound above the value": lambda v: v.update(sigma_min_lower=v["sigma_min"] * 2),
    "a negative error bar": lambda v: v.update(sigma_min_error=-1.0),
    "least above largest": lambda v: v.update(lambda_min=v["sharpness"] + 1),
    "no eigenvalue above, yet sharp": lambda v: v.update(n_above_inv_eta=0, eta_sharpness=3.0),
    "another step size": lambda v: v.update(eta=v["eta"] * 2),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_results_that_no_run_has_are_found_for_nothing(name: str, files: dict[str, bytes]) -> None:
    path = "seed-0/records.jsonl"
    lines = [json.loads(line) for line in files[path].splitlines()]
    IMPOSSIBLE[name](lines[-1]["values"])
    manifest = {key: value for key, value in json.loads(files["bundle.json"]).items() if key != "files"}
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    mutated = bundles.with_manifest({**files, path: content}, manifest)
    assert [check for check in consistency.checks(reading.parse(mutated)) if not check.holds], name
    assert all(check.holds for check in consistency.checks(reading.parse(files)))
