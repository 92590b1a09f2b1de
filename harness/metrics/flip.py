# SPDX-License-Identifier: Apache-2.0
"""The group `flip`: what becomes of the oscillation along the top eigenvector that begins at 2/eta."""

from __future__ import annotations

from harness.metrics.metric import Metric

FAILURE = (
    "A statement about small oscillations around a fixed point, taken at an iterate that is none; derivatives say "
    "nothing of what lies farther off. Where other directions are flat, their answer is that of 48 steps, not of all."
)
"""How these numbers can mislead."""

KUZNETSOV = "Kuznetsov, Elements of Applied Bifurcation Theory, section 5.4; mathematics D16."
COEFFICIENT_UNIT = "1 per squared parameter unit"

ROWS: dict[str, Metric] = {
    "flip_coefficient": Metric(
        label="coefficient of the flip at 2/η",
        group="flip",
        unit=COEFFICIENT_UNIT,
        direction="none",
        definition="c of the normal form ξ → −ξ + cξ³ of G along the eigenvector v of λ_max: (eta/6)(3 t'H⁻¹t − "
        "D⁴L[v,v,v,v]) with t = D³L[v,v,·]. Above 0 the oscillation beyond 2/eta is stable (supercritical), below 0 it "
        "is not. NaN where eta λ_max is not within 0.2 of 2, or v is not known to 1e-2.",
        estimator="Nested directional derivatives in float64; off v, H⁻¹ is what 48 steps answer, eta times the sum "
        "of (I − eta H)^k, by 24 Lanczos products, exact for such a polynomial.",
        source=KUZNETSOV,
        error="flip_coefficient_error",
    ),
    "flip_coefficient_error": Metric(
        label="error of the coefficient of the flip",
        group="flip",
        unit=COEFFICIENT_UNIT,
        direction="lower",
        definition="What changes if 24 steps answer instead of 48, and what the angle of v and the error of λ_max may "
        "do.",
        estimator="First order in the angle of v.",
        source="Davis & Kahan, SIAM J. Numer. Anal. 1970, for the angle.",
        bar="modelled",
    ),
    "flip_line": Metric(
        label="coefficient of the flip along v alone",
        group="flip",
        unit=COEFFICIENT_UNIT,
        direction="none",
        definition="(eta/6)(3 D³L[v,v,v]²/λ_max − D⁴L[v,v,v,v]): the coefficient of the risk on the line along v.",
        estimator="Nested directional derivatives in float64.",
        source="Chen & Bruna, ICML 2023, arXiv 2206.04172; mathematics D16.",
        error="flip_line_error",
    ),
    "flip_line_error": Metric(
        label="error of that coefficient",
        group="flip",
        unit=COEFFICIENT_UNIT,
        direction="lower",
        definition="What the angle of v and the error of λ_max may do.",
        estimator="First order in the angle of v.",
        source="Davis & Kahan, SIAM J. Numer. Anal. 1970, for the angle.",
        bar="modelled",
    ),
    "flip_flat": Metric(
        label="flat share of the gradient of λ_max",
        group="flip",
        unit="fraction",
        direction="none",
        definition="Share of |t|², t = D³L[v,v,·] off v, which is the gradient of λ_max there, on directions with eta "
        "λ_i < 1/48: there the iterates drift to lower λ_max for as long as they oscillate.",
        estimator="From the nodes and weights of the 24 Lanczos products from t.",
        source="Damian, Nichani & Lee, ICLR 2023, arXiv 2209.15594; mathematics D16.",
        bound="≈",
    ),
    "flip_amplitude": Metric(
        label="distance of the cycle of two points",
        group="flip",
        unit="parameter units",
        direction="none",
        definition="√((eta λ_max − 2)/c): how far along v the two points of the cycle are from the fixed point between "
        "them: a stable cycle where c > 0, an unstable one where c < 0. NaN where there is none.",
        estimator="From the coefficient; leading order in eta λ_max − 2.",
        source=KUZNETSOV,
    ),
}
