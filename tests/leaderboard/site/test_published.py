# SPDX-License-Identifier: Apache-2.0
"""The page *Published networks*: what it says of a certificate follows from it, and a stranger's words are text."""

from __future__ import annotations

import json

from harness import specs, workspace
from leaderboard import folder
from leaderboard.bundles import certificate
from leaderboard.export import document, shelf
from leaderboard.site import pages, published
from tests.harness.specs.test_published import SPECS
from tests.leaderboard.bundles import test_certificate


def _page(*found: certificate.Certificate) -> tuple[str, dict[str, bytes]]:
    """Returns the page of some certificates on a board without runs, and all files of the site."""
    target = folder.Memory()
    pages.build(shelf.of(document.compose([], [])), target, certificates=found)
    return target.files["published.html"].decode(), target.files


def _read(name: str, **changes: str) -> certificate.Certificate:
    return test_certificate.parse({**test_certificate.plain(name), **changes})


def test_the_page_says_what_layers_and_points_certify_and_links_the_certificate() -> None:
    found = _read("pooled"), _read("relu"), _read("tanh")
    page, files = _page(*found)
    assert page.count('<tr><th scope="row">') == 3
    assert "every η &gt; 0 but 4</" not in page and "every η &gt; 0 but 4<br>" in page, "1/w may be bad"
    assert "every η &gt; 0 but 0.8, 4<br>" in page, "of the relu network, for half_mse with decay 1/4"
    assert "left over: 4 ± " in page and "none left over" in page and page.count("no point<br>") == 1
    for one in found:
        assert f'href="{published.path(one)}"' in page
        assert certificate.parse(files[published.path(one)]) == one


def test_words_of_strangers_are_text() -> None:
    page, _ = _page(_read("tanh", title="<img src=x>", source="<script>", label="<b>"))
    assert "<img src=x>" not in page and "&lt;img src=x&gt;" in page and "&lt;script&gt;" in page


def test_networks_without_a_certificate_are_said() -> None:
    first = specs.read_all([workspace.CHECKOUT / "specs" / "published"])[0]
    page, _ = _page(_read("tanh"))
    assert f"{first.cells[0].title}: {len(first.cells)} of {len(first.cells)} configurations" in page
    one = _read("tanh")
    whole = [one.model_copy(update={"suite": "published", "cell_id": cell.cell_id}) for cell in first.cells]
    assert {row.spec for row in published.missing(whole)} == set(SPECS) - {first.name}
    assert [row.lacking for row in published.missing(whole[1:]) if row.spec == first.name] == [1]


def test_a_board_without_certificates_says_how_to_make_some() -> None:
    assert "gdzoo certify specs/published --write" in _page()[0]


def test_shipped_certificates_are_of_shipped_specs_and_made_on_clean_checkouts() -> None:
    found = {one.name: one for one in certificate.shipped()}
    assert found, "some are shipped"
    cells = [cell for one in specs.read_all([workspace.CHECKOUT / "specs" / "published"]) for cell in one.cells]
    named = {f"{cell.suite}/{cell.cell_id}": cell for cell in cells}
    assert set(found) <= set(named)
    for name, one in found.items():
        assert (one.verdict, one.made.dirty) == ("certified", False)
        assert json.loads(json.dumps(one.cell)) == named[name].resolved()
