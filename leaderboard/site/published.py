# SPDX-License-Identifier: Apache-2.0
"""The page *Published networks*: certificates of networks at their published size, without training."""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import zoo
from harness import specs, theory, workspace
from leaderboard.board import number, theorem
from leaderboard.bundles import certificate as certificates


class Row(NamedTuple):
    """One certificate, as the page prints it.

    Attributes:
        path: Where the certificate lies in the site.
        certificate: The certificate.
        setting: The setting of the zoo that it has the size of, and its source; empty where it has none.
        activation: Of the network.
        loss: Its name and decay.
        says: What its layers say, worked out here.
        layers: The step sizes that the layers certify, for all data.
        points: The step sizes that points certify on its images, in words; empty where there are none.
        asked: What was asked at the points.
    """

    path: str
    certificate: certificates.Certificate
    setting: str
    activation: str
    loss: str
    says: theory.Theory
    layers: str
    points: str
    asked: str

    @property
    def covered(self) -> str:
        """What covers the map."""
        return theorem.LABELS[self.says.covered]


class Network(NamedTuple):
    """The certificates of one spec."""

    title: str
    source: str
    parameters: tuple[int, ...]
    rows: Sequence[Row]


class Missing(NamedTuple):
    """A shipped spec of which certificates are missing: its name, its title, how many of how many."""

    spec: str
    title: str
    lacking: int
    total: int


def missing(found: Iterable[certificates.Certificate], suite: str = "published") -> list[Missing]:
    """Returns the shipped specs of a suite that do not have a certificate of each configuration."""
    there = {one.name for one in found}
    made = []
    for spec, title, cells in _shipped(suite):
        count = sum(f"{suite}/{cell_id}" not in there for cell_id in cells)
        made += [Missing(spec, title, count, len(cells))] if count else []
    return made


@functools.cache
def _shipped(suite: str) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Returns name, title and configurations of each shipped spec of a suite."""
    folder = workspace.CHECKOUT / "specs" / suite
    found = specs.read_all([folder]) if folder.is_dir() else []
    return tuple((one.name, one.cells[0].title, tuple(cell.cell_id for cell in one.cells)) for one in found)


def path(one: certificates.Certificate) -> str:
    """Returns where a certificate lies in the site."""
    return f"certificates/{one.suite}/{one.cell_id}.json"


def networks(found: Iterable[certificates.Certificate]) -> list[Network]:
    """Returns the networks of some certificates, the smallest first, each with its rows."""
    grouped: dict[tuple[str, str], list[Row]] = {}
    for one in found:
        grouped.setdefault((one.suite, one.spec), []).append(_row(one))
    made = [_network(rows) for rows in grouped.values()]
    return sorted(made, key=lambda network: (network.parameters, network.title))


def _network(rows: list[Row]) -> Network:
    first = rows[0].certificate
    sizes = sorted({row.certificate.parameters for row in rows})
    order = sorted(rows, key=lambda row: (row.certificate.parameters, row.loss, row.activation))
    return Network(first.title, first.source or "", tuple(sizes), order)


def _row(one: certificates.Certificate) -> Row:
    recipe = one.recipe()
    says = theory.of(recipe)
    decay = f", decay {number.show(recipe.loss.weight_decay)}" if recipe.loss.weight_decay else ""
    return Row(
        path(one),
        one,
        _setting(one),
        str(one.cell["model"].get("activation", "")) if isinstance(one.cell["model"], dict) else "",
        f"{recipe.loss.name.replace('_', ' ')}{decay}",
        says,
        _by_layers(says),
        _by_points(one),
        _asked(one),
    )


def _asked(one: certificates.Certificate) -> str:
    """Returns how many points were asked, by which method."""
    counts = collections.Counter(point.method for point in one.points)
    return "; ".join(f"{count} × {method}" for method, count in counts.items())


def _setting(one: certificates.Certificate) -> str:
    """Returns which published setting has the family and the size of a certificate's network."""
    family = one.cell["model"].get("family") if isinstance(one.cell["model"], dict) else None
    settings = zoo.FAMILIES[str(family)].settings if family in zoo.FAMILIES else {}
    return next((name for name, row in settings.items() if row.parameters == one.parameters), "")


def _by_layers(says: theory.Theory) -> str:
    """Returns the step sizes that the layers alone certify."""
    if says.possible is None:
        return ""
    left = [eta for bad in says.bad_steps for eta in bad.etas] + [one.eta for one in says.possible]
    return f"every η > 0 but {', '.join(f'{eta:.6g}' for eta in left)}" if left else "every η > 0"


def _by_points(one: certificates.Certificate) -> str:
    """Returns the step sizes that points certify."""
    if not one.points:
        return ""
    end = "η > 0" if one.range.below is None else f"0 < η < {one.range.below:.3g}"
    left = [f"{(low + high) / 2:.6g} ± {(high - low) / 2:.1g}" for low, high in one.range.but[:3]]
    more = f" and {len(one.range.but) - 3} more" if len(one.range.but) > 3 else ""
    return f"{end}, left over: {', '.join(left)}{more}" if left else f"{end}, none left over"
