# SPDX-License-Identifier: Apache-2.0
"""Pictures of spectra: every eigenvalue that is drawn stands where it belongs, and titles are only text."""

from __future__ import annotations

import io
import re

import numpy as np
import PIL.Image
import pytest

from harness.curvature import spectrum
from harness.tracking import spectrum_plot


def kept(*values: list[float]) -> list[tuple[int, spectrum.Spectrum]]:
    """Returns spectra at steps 0, 10, 20, ..."""
    arrays = [np.array(sorted(some)) for some in values]
    return [(10 * i, spectrum.Spectrum(a, np.full(len(a), 1e-3), True, len(a), 0)) for i, a in enumerate(arrays)]


def test_the_page_says_each_eigenvalue_with_its_error_bar_above_or_below_its_neighbours() -> None:
    page = spectrum_plot.page(kept([-1.0, 0.0, 2.0, 4.0], [3.0]), 0.5, "<script>x</script> & co")
    circles = re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="3"><title>step (\d+): λ = (\S+) ± (\S+), ηλ = ([^<]+)<', page)
    assert [(step, value, error, product) for _, _, step, value, error, product in circles] == [
        ("0", "-1", "0.001", "-0.5"),
        ("0", "0", "0.001", "0"),
        ("0", "2", "0.001", "1"),
        ("0", "4", "0.001", "2"),
        ("10", "3", "0.001", "1.5"),
    ]
    heights = [float(y) for _, y, *_ in circles[:4]]
    assert heights == sorted(heights, reverse=True)
    lines = dict(re.findall(r'y1="([\d.]+)"[^/]*/><text[^>]*>(\d)<', page))
    assert [lines[y] for _, y, *_ in circles[1:4]] == ["0", "1", "2"], "ηλ = 0, 1 and 2 stand on their lines"
    assert len({x for x, *_ in circles[:4]}) == 1 and float(circles[4][0]) > float(circles[0][0])
    assert "<script>" not in page and "&lt;script&gt;x&lt;/script&gt; &amp; co" in page
    assert "http" not in page and "src=" not in page, "it asks for nothing"


def test_the_outermost_are_all_drawn_and_the_others_thinned() -> None:
    chosen = list(spectrum_plot._chosen(5000))
    assert len(chosen) == spectrum_plot.MOST and chosen == sorted(set(chosen))
    assert chosen[:50] == list(range(50)) and chosen[-50:] == list(range(4950, 5000))
    assert list(spectrum_plot._chosen(3)) == [0, 1, 2]


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [-2.0, 1e9]])
def test_the_picture_is_a_png_of_its_size_and_the_same_bytes_twice(values: list[float]) -> None:
    once, again = (spectrum_plot.png(kept(values, values), 0.1, "a · η") for _ in range(2))
    assert once == again
    assert PIL.Image.open(io.BytesIO(once)).size == (990, 572)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (1.0, "1"), (-1.0, "−1"), (1e3, "10³"), (-1e-2, "−10⁻²"), (1e12, "10¹²"), (0.1, "10⁻¹")],
)
def test_powers_of_ten_read_as_they_are_printed(value: float, words: str) -> None:
    assert spectrum_plot.power(value) == words
