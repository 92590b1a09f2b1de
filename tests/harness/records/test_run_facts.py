# SPDX-License-Identifier: Apache-2.0
"""Facts of runs: what `run.json` holds comes back as it was, whichever version wrote it."""

from __future__ import annotations

import json
import pathlib

from harness import workspace
from harness.records import run_facts

SHIPPED = workspace.CHECKOUT / "leaderboard" / "submissions" / "quickstart"


def test_the_facts_of_shipped_runs_come_back_key_by_key() -> None:
    files = sorted(SHIPPED.glob("*/seed-0/run.json"))
    assert files
    for file in files:
        text = pathlib.Path(file).read_text(encoding="utf-8")
        plain = run_facts.of(json.loads(text)).plain()
        assert json.dumps(plain, indent=1, ensure_ascii=False) + "\n" == text, "order and values"


def test_keys_of_a_newer_version_are_kept_and_a_reason_stands_only_where_there_is_one() -> None:
    plain = run_facts.RunFacts(run_id="a-s0").plain()
    assert "reason" not in plain and "extra" not in plain
    assert run_facts.of({**plain, "newer": [1]}).replace(status="failed", reason="why").plain() == {
        **plain,
        "status": "failed",
        "reason": "why",
        "newer": [1],
    }


def test_an_older_file_has_defaults_and_its_verdict_in_todays_words() -> None:
    facts = run_facts.of({"status": "finished", "verdict": "certified", "seed": 3})
    assert (facts.status, facts.verdict, facts.group, facts.left_out) == ("finished", "invertible", (3,), {})
