# SPDX-License-Identifier: Apache-2.0
"""What records entitle a run to claim."""

from __future__ import annotations

from harness import records
from harness.records import run_facts, verdict


def run(*pairs: tuple[float, float], lower: float = 1e-10) -> list[records.Record]:
    return [
        records.Record(t, {"sigma_min": s, "sigma_min_error": e, "sigma_min_lower": lower})
        for t, (s, e) in enumerate(pairs)
    ]


def test_invertible_needs_a_lower_bound_and_every_checkpoint() -> None:
    assert verdict.verdict(run((0.3, 1e-12), (1e-9, 1e-12)), singular=False) == "invertible"
    assert verdict.verdict(run((0.3, 1e-12), lower=0.0), singular=False) == "undecided", "nothing excludes others"
    assert verdict.verdict(run((0.3, 1e-12), (0.99e-10, 1e-12)), singular=False) == "undecided", "within 100 error bars"
    assert verdict.verdict(run((0.3, 1e-12), (float("nan"), 1e-12)), singular=False) == "undecided"
    assert verdict.verdict([], singular=False) == "undecided"


def test_rounding_at_zero_is_undecided_never_singular() -> None:
    assert verdict.verdict(run((0.0, 1e-13)), singular=False) == "undecided"


def test_a_map_that_is_proven_needs_no_points() -> None:
    assert verdict.verdict(run((0.0, 1e-13)), singular=False, proven=True) == "invertible"
    assert verdict.verdict([], singular=True, proven=True) == "singular"


def test_a_step_size_known_to_be_bad_makes_the_map_singular_whatever_the_points() -> None:
    assert verdict.verdict(run((0.3, 1e-12)), singular=True) == "singular"


def lanczos(lower: float, error: float, sigma: float = 0.3) -> list[records.Record]:
    values = {"sigma_min": sigma, "sigma_min_error": 1e-3, "sigma_min_lower": lower, "sigma_min_lower_error": error}
    return [records.Record(0, {**values, "sigma_min_lower": 0.2}), records.Record(7, values)]


def test_a_lower_bound_holds_with_errors_a_hundred_times_as_large() -> None:
    assert verdict.verdict(lanczos(1.0e-2, 1e-4), singular=False) == "invertible"
    assert verdict.verdict(lanczos(0.98e-2, 1e-4), singular=False) == "undecided"
    assert verdict.verdict(lanczos(0.2, 0.0, sigma=0.01), singular=False) == "invertible", "unconverged values prove it"


def test_a_doubt_names_the_first_step_and_the_reason() -> None:
    assert verdict.doubt(lanczos(1e-2, 1e-4)) is None
    assert verdict.doubt(lanczos(1e-3, 1e-4)) == (7, "within error bars", 1)
    assert verdict.doubt(lanczos(0.0, 1e-4)) == (7, "nothing excluded", 1)
    assert verdict.doubt(lanczos(0.0, 1e-4, sigma=float("nan"))) == (0, "not finite", 2)
    assert verdict.doubt([records.Record(t, {"loss": 1.0}) for t in (0, 4)]) == (0, "not measured", 2)
    assert verdict.doubt([]) == (None, "nothing recorded", 0)
    found = verdict.doubt(lanczos(0.0, 1e-4))
    assert found is not None and found.words.startswith("at step 7: the lower bound of σ_min is 0")


def test_words_of_older_versions_are_read() -> None:
    assert [verdict.current(word) for word in ("certified", "undecided", None)] == ["invertible", "undecided", None]


def test_the_verdict_says_what_it_rests_on() -> None:
    plain = {"verdict": "certified"}
    assert run_facts.of(plain).verdict_in_words == "invertible"
    likely = run_facts.of({**plain, "failure_probability": 9e-12})
    assert likely.verdict_in_words == "invertible (false with probability 9e-12 at most)"
    bad = {"eta": 1.0, "step": 5, "distance": 0.0, "source": "F6, ours"}
    assert (
        run_facts.of({"verdict": "singular", "bad_step": bad}).verdict_in_words
        == "singular (η = 1 from step 5 on is bad (F6, ours))"
    )
    doubt = {"step": 3, "because": "within error bars", "steps": 2}
    near = run_facts.of(
        {"verdict": "undecided", "doubt": doubt, "bad_step": {**bad, "distance": 6e-17}}
    ).verdict_in_words
    assert near.startswith("undecided (at step 3, and 1 more: σ_min is within 100 error bars of 0; η = 1 from step 5")
    assert "within one rounding of a bad step size, |1 − ηλ| = 6e-17" in near
