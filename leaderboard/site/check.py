# SPDX-License-Identifier: Apache-2.0
"""`gdzoo board check`: is a built site whole, and within its budgets?

Looks at files alone: checksums, links and the ids they lead to, the policy of every page, and sizes as a server would
send them (gzip 6). What only a browser can tell (time, elements after scripts) is in tests/browser.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import html.parser
import pathlib
import re
import urllib.parse
from collections.abc import Callable, Iterator
from typing import NamedTuple

from harness import errors
from leaderboard import folder
from leaderboard.board.table import VIEWS
from leaderboard.export import from_store
from leaderboard.site import pages as site_pages
from leaderboard.site import rows

KB = 1000
BLOCK = re.compile(r"-\d+\.js$")
"""What the name of a script of some rows ends with."""

LOCAL = ("127.0.0.1", "::1", "localhost")
"""Hosts that may be linked without TLS: a board for this machine links to the MLflow on it."""

MANY = 1000
"""Runs from which on the size of the site for each run has a budget: before, what does not grow with them counts."""

PARSED = 256
"""Pages whose ids are kept at a time: runs lead to the page of their configuration, and lie beside each other."""

SOME = 50
"""Files that a size is taken of, at most: runs are alike."""

POLICY = "default-src 'none'; script-src 'self'; style-src 'self';"


class Figure(NamedTuple):
    """A size against its budget, both in the same unit."""

    name: str
    value: float
    budget: float
    unit: str = "kB"

    @property
    def holds(self) -> bool:
        """Whether it is within the budget."""
        return self.value <= self.budget


class Page(html.parser.HTMLParser):
    """What a page links to, the ids it has, and how many elements it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.elements = 0
        self.inline = False
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes note of an element."""
        found = dict(attrs)
        self.elements += 1
        self.links += [value for key in ("href", "src") if (value := found.get(key))]
        self.ids |= {value for key in ("id",) if (value := found.get(key))}
        self.inline |= "style" in found or tag == "style" or (tag == "script" and "src" not in found)
        self.inline |= any(name.startswith("on") for name in found)
        if tag == "meta" and found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found.get("content") or ""


def problems(output: pathlib.Path, step: Callable[[str], None] = lambda path: None) -> Iterator[str]:
    """Yields what is wrong with a site, a line each: files against SHA256SUMS, links, ids, policies.

    Raises:
        errors.InputError: The folder is no site of gdzoo.
    """
    sums = checksums(output)
    for path, known in sums.items():
        if not (output / path).is_file():
            yield f"{path}: missing"
        elif hashlib.sha256((output / path).read_bytes()).hexdigest() != known:
            yield f"{path}: changed since it was built"

    @functools.lru_cache(maxsize=PARSED)
    def ids(path: str) -> set[str] | None:
        return _parsed(output / path).ids if (output / path).is_file() else None

    for path in sums:
        if not path.endswith(".html") or not (output / path).is_file():
            continue
        page = _parsed(output / path)
        step(path)
        if not page.policy.startswith(POLICY):
            yield f"{path}: no strict content security policy"
        if page.inline:
            yield f"{path}: an inline script, style or handler"
        for link in page.links:
            if wrong := _wrong(path, link, sums, ids):
                yield f"{path}: {wrong}"


def figures(output: pathlib.Path) -> list[Figure]:
    """Returns the sizes that have a budget.

    Raises:
        errors.InputError: The folder is no site of gdzoo.
    """
    sums = checksums(output)
    own = [path for path in sums if path.startswith("a/") and path.endswith((".js", ".css"))]
    runs = [path for path in sums if path.startswith("run/")]
    table = [path for path in sums if path.startswith(("data/cells/", "data/runs/")) and path.endswith(".js")]
    blocks = [path for path in table if BLOCK.search(path)]
    first = [path for path in blocks if path == f"data/runs/{next(iter(VIEWS))}-0.js"]
    found = [
        Figure("first view, compressed", _sent(output, _loaded(output, "index.html")), 120),
        Figure("all runs, compressed", _sent(output, [*_loaded(output, "runs.html"), *first]), 120),
        Figure("own scripts and styles, compressed", _sent(output, own), 40),
        Figure("elements of the index as it is sent", _parsed(output / "index.html").elements, 3000, "elements"),
    ]
    if table:
        size = max((_sent(output, [path]) for path in table if path not in blocks), default=0.0)
        found.append(Figure("what a filter, a sort or a search loads, compressed (the largest)", size, 400))
        size = max((_sent(output, [path]) for path in _some(blocks)), default=0.0)
        found.append(Figure(f"{rows.BLOCK} rows of a view, compressed (the largest)", size, 16))
    if runs:
        sizes = {path: _sent(output, _loaded(output, path)) for path in _some(runs)}
        traced = {path for path in sizes if f"data/trace/{path.removesuffix('.html')}.js" in sums}
        for kind, some, budget in (("", set(sizes) - traced, 21), (" with a trace", traced, 40)):
            if some:
                name = f"a run page{kind} and all it loads, compressed (largest of {len(some)})"
                found.append(Figure(name, max(sizes[path] for path in some), budget))
        eight = _sent(output, _loaded(output, "compare.html"))
        eight += sum(sorted(_sent(output, [f"data/{path.removesuffix('.html')}.js"]) for path in sizes)[-8:])
        found.append(Figure("compare with eight runs, compressed", eight, 60))
        data = [(output / f"data/{path.removesuffix('.html')}.js").stat().st_size / KB for path in sizes]
        found.append(Figure("data of a run, as a file", max(data), 16))
        served = sum((output / path).stat().st_size for path in sums if path != from_store.FILE) / KB
        if len(runs) >= MANY:
            found.append(Figure(f"all files but {from_store.FILE}, for each run", served / len(runs), 24))
    return found


def _some(paths: list[str]) -> list[str]:
    """Returns some of the files that are alike, evenly taken."""
    return paths[:: max(1, len(paths) // SOME)]


def checksums(output: pathlib.Path) -> dict[str, str]:
    """Returns the SHA-256 of each file of a site, by its path, as SHA256SUMS says.

    Raises:
        errors.InputError: There is no such list.
    """
    try:
        lines = (output / site_pages.SUMS).read_text(encoding="utf-8").splitlines()
    except OSError:
        raise errors.InputError(
            f"{output}: no site of gdzoo (it has no {site_pages.SUMS}); `gdzoo board build` makes one"
        ) from None
    return {match["path"]: line[:64] for line in lines if (match := folder.LINE.fullmatch(line))}


def _wrong(path: str, link: str, sums: dict[str, str], ids: Callable[[str], set[str] | None]) -> str:
    """Returns what is wrong with a link of a page, empty if nothing is; `ids` are those of a page, if that is there."""
    parts = urllib.parse.urlsplit(link)
    if parts.scheme or parts.netloc:
        local = parts.scheme == "http" and parts.hostname in LOCAL
        return "" if parts.scheme == "https" or local else f"a link to {link[:80]}"
    here = pathlib.PurePosixPath("/") / pathlib.PurePosixPath(path).parent
    target = path if not parts.path else _normal(here / urllib.parse.unquote(parts.path))
    if target not in sums and target != site_pages.SUMS:
        return f"a link to {link[:80]}, which is not there"
    fragment = urllib.parse.unquote(parts.fragment)
    if not fragment or "=" in fragment or not target.endswith(".html"):
        return ""
    known = ids(target)
    if known is not None and fragment not in known:
        return f"a link to {link[:80]}, where no element has this id"
    return ""


def _normal(path: pathlib.PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts[1:]:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/".join(parts)


def _parsed(path: pathlib.Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _loaded(output: pathlib.Path, page: str) -> list[str]:
    """Returns a page and the files that a browser loads with it."""
    here = pathlib.PurePosixPath("/") / pathlib.PurePosixPath(page).parent
    links = [urllib.parse.unquote(link) for link in _parsed(output / page).links]
    return [page, *dict.fromkeys(_normal(here / link) for link in links if link.endswith((".js", ".css", ".svg")))]


def _sent(output: pathlib.Path, paths: list[str]) -> float:
    """Returns how many kB some files are, each compressed by itself."""
    return sum(len(gzip.compress((output / path).read_bytes(), 6)) for path in paths) / KB
