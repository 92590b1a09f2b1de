# SPDX-License-Identifier: Apache-2.0
"""The leaderboard's commands. Everything slow to import is imported in the command that needs it."""

from __future__ import annotations

import contextlib
import pathlib
import textwrap
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from harness import errors, workspace
from harness.cli import commands as harness_cli
from leaderboard.export import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import rich.console
    import rich.table

    from leaderboard.board import table as tables
    from leaderboard.bundles import verify as verify_
    from leaderboard.export import document, from_store

Result = TypeVar("Result")

app = typer.Typer()
board_app = typer.Typer(help="The static site.", no_args_is_help=True)
app.add_typer(board_app, name="board")


@board_app.command("build")
def board_build(
    store: harness_cli.Store = None,
    output: Annotated[
        pathlib.Path | None, typer.Option("--output", help="Folder of the site. Default: site/ in the workspace.")
    ] = None,
    source: Annotated[
        pathlib.Path | None, typer.Option("--from", help="Build from an export.json instead of a store.")
    ] = None,
    only: Annotated[
        bool, typer.Option("--only-submitted", help="Leave the store out: the public board, of bundles alone.")
    ] = False,
    mlflow: Annotated[
        str | None,
        typer.Option("--mlflow", help="Link the runs of the store to their pages in the MLflow at this address."),
    ] = None,
) -> None:
    """Read the store and what was submitted, write export.json and the pages, and say where they are.

    A cell that the store holds is shown with the store's runs; `leaderboard/submissions/` gives the others.
    """
    if sum(map(bool, (store, source, only))) > 1:
        raise errors.InputError(
            "--store, --from and --only-submitted exclude each other: one is read instead of the others"
        )
    if mlflow and (source or only):
        raise errors.InputError("--mlflow links the runs of a store; --from and --only-submitted read none")
    from leaderboard.export import document, from_store

    board = from_store.load(source) if source else document.compose([], []) if only else None
    output, out = output or workspace.site(), harness_cli.console()
    server = _server(mlflow) if mlflow else None
    build_board(workspace.store(store), output, out, board=board, submitted=source is None, server=server)


@board_app.command("export")
def board_export(
    file: Annotated[pathlib.Path, typer.Argument(help="The file to write; replaced when it is whole.")] = (
        pathlib.Path("export.json")
    ),
    store: harness_cli.Store = None,
) -> None:
    """Write all runs of the store to one JSON file, in bulk: memory does not grow with the number of runs' points.

    It is what `gdzoo board build --from FILE` builds from, on this machine or another.
    """
    from leaderboard.export import from_store

    _read(workspace.store(store), lambda source, step: from_store.write(source, file, step))
    harness_cli.console().print(f"export: {file}", highlight=False, soft_wrap=True, markup=False)


Site = Annotated[
    pathlib.Path | None, typer.Argument(help="Folder of the site. Default: site/ in the workspace.", metavar="FOLDER")
]


@board_app.command("check")
def board_check(site: Site = None) -> None:
    """Check a built site: checksums, links, ids, content policies, and sizes against their budgets.

    Exit code 1 where something is wrong or too large.
    """
    from harness.jobs import progress
    from leaderboard.site import check

    output, out = site or workspace.site(), harness_cli.console()
    pages = [path for path in check.checksums(output) if path.endswith(".html")]
    with progress.bar(harness_cli.console(stderr=True), len(pages)) as bar:
        wrong = list(check.problems(output, lambda path: bar.end()))
    for line in wrong[:50]:
        out.print(line, highlight=False, soft_wrap=True, markup=False)
    if len(wrong) > 50:
        out.print(f"... and {len(wrong) - 50} more", highlight=False)
    large = 0
    for figure in check.figures(output):
        large += not figure.holds
        verdict = "within" if figure.holds else "OVER"
        out.print(f"{figure.name}: {figure.value:,.1f} {figure.unit}, {verdict} {figure.budget:,.0f}", highlight=False)
    out.print(f"{len(pages)} pages; {len(wrong)} problems, {large} sizes over their budget", highlight=False)
    if wrong or large:
        raise typer.Exit(errors.EXIT_FAILED)


@board_app.command("serve")
def board_serve(
    site: Site = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8000,
) -> None:
    """Serve a built site on this machine alone, until Ctrl-C. A convenience: the pages open from disk as well."""
    import functools
    import http.server

    from leaderboard.site import check

    output, out = site or workspace.site(), harness_cli.console()
    check.checksums(output)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(output))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise errors.InputError(
            f"port {port} is taken ({error.strerror}); name another with --port, 0 for any"
        ) from None
    with server:
        out.print(
            f"http://127.0.0.1:{server.server_port}/ serves {output}; Ctrl-C ends it", highlight=False, soft_wrap=True
        )
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            out.print("ended")


@harness_cli.store_app.command("import")
def store_import(
    folders: Annotated[
        list[pathlib.Path],
        typer.Argument(
            help="A run folder, a suite's, the runs/ of a workspace, or a workspace.",
            metavar="FOLDER...",
            exists=True,
            file_okay=False,
        ),
    ],
    store: harness_cli.Store = None,
) -> None:
    """Take run folders from a machine that has no store (`gdzoo run --no-store`) and send them to the store here.

    Each is checked like a stranger's: a run whose files disagree is refused, the others are taken. A run that is here
    already stays as it is. Exit code 1 where a run was not taken or waits for the store.
    """
    from harness.jobs import progress
    from harness.tracking import client
    from leaderboard.export import incoming

    opened = client.open_store(workspace.store(store))
    sources = incoming.run_folders(folders)
    if not sources:
        raise errors.InputError(
            f"{folders[0]}: no run folder here or below (one holds run.json, records.jsonl, cell.yaml)"
        )
    taken = []
    with progress.bar(harness_cli.console(stderr=True), len(sources)) as bar:
        for source in sources:
            bar.begin(source.name, 1)
            taken.append(incoming.take(source))
            bar.end()
    out = harness_cli.console()
    words = [one.word for one in taken]
    refused = words.count("other") + words.count("refused")
    for one in taken:
        if one.why:
            out.print(f"not taken: {one.source}: {one.why}", highlight=False, soft_wrap=True, markup=False)
    out.print(
        f"{words.count('taken')} runs taken, {words.count('there')} there already, {refused} not taken",
        highlight=False,
    )
    harness_cli.bring([one.folder for one in taken if one.folder is not None], opened)
    if refused:
        raise typer.Exit(errors.EXIT_FAILED)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(help="run_ids, cell_ids (all seeds of one), or the beginning of either.", metavar="RUN..."),
    ],
    store: harness_cli.Store = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print settings and all curves as JSON, and nothing else.")
    ] = False,
) -> None:
    """Show runs side by side: the settings in which they differ, where they ended, their curves in a line each.

    A run is shown with the error bars of its numbers, a cell with the median and [least–greatest] of its seeds. Curves
    (of a cell: those of its first seed) share one scale in each row. `gdzoo ui` draws them.
    """
    from leaderboard.board import compare as compared

    out = harness_cli.console()
    with harness_cli.console(stderr=True).status("reading the runs"):
        columns = compared.columns_of(runs, workspace.store(store))
    if json:
        print(compared.as_json(columns))
        return
    for heading, rows in (
        ("settings that differ", compared.settings(columns)),
        ("at the last checkpoint step", compared.ends(columns)),
        ("over the checkpoint steps", compared.curves(columns)),
    ):
        out.print(_side_by_side(heading, list(map(compared.title, columns)), rows))
        out.print()


Level = Annotated[
    str, typer.Option("--to", help="How far: reported (free), recomputed (parts again), replayed (every run again).")
]
Limit = Annotated[int, typer.Option("--seconds", min=1, help="CPU seconds that the recomputation of a cell may take.")]


@app.command()
def submit(
    specs: harness_cli.Specs,
    store: harness_cli.Store = None,
    device: harness_cli.Device = "auto",
    to: Level = "recomputed",
    seconds: Limit = 3600,
    pack: Annotated[
        pathlib.Path | None, typer.Option("--zip", help="Folder that gets each bundle as one zip too, for transport.")
    ] = None,
    open_pr: Annotated[
        bool, typer.Option("--open-pr", help="Commit, push and open a pull request with `gh`, if it is installed.")
    ] = False,
) -> None:
    """Check specs, make the missing runs, write a verified bundle of each cell, rebuild the board, say what to commit.

    A bundle is all that a stranger needs to check a cell again: leaderboard/submissions/<suite>/<cell_id>/. Exit code 3
    where a claim is not confirmed; such a bundle is not written.
    """
    from harness.jobs import engines
    from leaderboard.bundles import submit as submitting

    level, out = _level(to), harness_cli.console()
    found = harness_cli.check_specs(specs, device=device)
    outcome = harness_cli.run_specs(specs, store=store, options=engines.Options(device=device))
    harness_cli.finish(outcome, out)
    cells = [cell for spec in found for cell in spec.cells]
    with _progress(0 if level == "reported" else len(cells)) as tell:
        made = submitting.bundles_of(cells, level, seconds=seconds, tell=tell, pack=pack)
    for one in made:
        _say(one.outcome, out)
    build_board(workspace.store(store), workspace.site(), out, submitted=True)
    paths = submitting.to_commit(made, [pathlib.Path(spec.file) for spec in found])
    if paths:
        submitting.offer(paths, made, out, open_pr=open_pr)
    if any(not one.outcome.confirmed for one in made):
        raise typer.Exit(errors.EXIT_REJECTED)


@app.command()
def verify(
    bundles: Annotated[
        list[pathlib.Path],
        typer.Argument(help="Bundles (folders or zips), or folders of them.", metavar="BUNDLE...", show_default=False),
    ],
    to: Level = "recomputed",
    challenge: Annotated[
        str,
        typer.Option(
            "--challenge",
            help="What segments are drawn with: a public value younger than the bundle. Default: drawn and recorded.",
        ),
    ] = "",
    seconds: Limit = 3600,
    missing: Annotated[
        bool,
        typer.Option("--missing", help="Pass over submissions that have a verdict of this level, or a further one."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON lines, and nothing else.")] = False,
    write: Annotated[
        bool,
        typer.Option("--write/--no-write", help="Write leaderboard/verdicts/ for bundles of leaderboard/submissions/."),
    ] = True,
) -> None:
    """Compute again what bundles claim, and say claimed | found | tolerance | verdict for everything that was compared.

    The label (reported, recomputed, replayed, disputed) is what this program found, never what a bundle says. Bits are
    compared where this machine's canary and profile are those of the runs, else numbers within tolerances. Exit code 3
    where a bundle is rejected or a claim not confirmed.
    """
    from leaderboard.bundles import reading, submissions, trust
    from leaderboard.bundles import verify as verifier

    level, out = _level(to), harness_cli.console()
    folders = [one for path in bundles for one in submissions.bundles_in(path)]
    if missing:
        folders = [folder for folder in folders if not submissions.has_verdict(folder, level)]
        if not folders and not json:
            out.print("nothing to verify: every bundle has its verdict", highlight=False)
    code, err = errors.EXIT_DONE, harness_cli.console(stderr=True)
    with _progress(0 if level == "reported" else len(folders)) as tell:
        for folder in folders:
            try:
                read = reading.read(folder)
                outcome = verifier.verify(read, level, challenge=challenge, seconds=seconds, tell=tell)
            except (errors.Rejected, errors.InputError) as error:  # the others are looked at all the same
                code = max(code, errors.EXIT_REJECTED if isinstance(error, errors.Rejected) else errors.EXIT_INPUT)
                err.print(str(error), highlight=False, soft_wrap=True, markup=False)
                continue
            code = code if outcome.confirmed else errors.EXIT_REJECTED
            if json:
                print(trust.dump(outcome.verdict, indent=None).decode(), end="")
            else:
                _say(outcome, out, whole=True)
            if write and folder.resolve() == submissions.path_of("submissions", *read.name.split("/")):
                if submissions.goes_further(folder.resolve(), outcome.verdict):
                    words = "verdict: the one that is there goes further, and stays"
                else:
                    words = f"verdict: {submissions.write_statement(outcome.verdict)}"
                if not json:
                    out.print(words, highlight=False, soft_wrap=True, markup=False)
    if code:
        raise typer.Exit(code)


@app.command()
def dispute(
    bundle: Annotated[pathlib.Path, typer.Argument(help="A bundle of leaderboard/submissions/.", metavar="BUNDLE")],
    reason: Annotated[str, typer.Option("--reason", help="What is wrong, in words.")],
    found: Annotated[
        list[str] | None,
        typer.Option("--found", metavar="NAME=NUMBER", help="A number that you found; may be repeated."),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Who says it.")] = "",
) -> None:
    """Write a counter-result: the row then shows `disputed` with the reason, and both numbers stay.

    It is a file, leaderboard/disputes/<suite>/<cell_id>.json, that a pull request brings; people decide about it.
    """
    from leaderboard.bundles import reading, submissions, trust

    said = trust.dispute(reading.read(bundle), reason, found or [], by)
    file = submissions.write_statement(said)
    out = harness_cli.console()
    out.print(f"dispute: {file}", highlight=False, soft_wrap=True, markup=False)
    out.print("next: commit it, with what repeats your number, and open a pull request", highlight=False)


def _level(word: str) -> labels.Level:

    if word not in labels.LEVELS:
        allowed = ", ".join(labels.LEVELS)
        raise errors.InputError(
            f"--to: {word!r} is not allowed; allowed: {allowed}{errors.nearest(word, labels.LEVELS)}"
        )
    return word


@contextlib.contextmanager
def _progress(count: int) -> Iterator[Callable[[str, int, int], None]]:
    """Shows how far recomputations are: a bar over bundles, each in parts; nothing where there is none."""
    from harness.jobs import progress

    if not count:
        yield lambda name, done, of: None
        return
    with progress.bar(harness_cli.console(stderr=True), count) as bar:
        begun: set[str] = set()

        def tell(name: str, done: int, of: int) -> None:
            if name not in begun:
                begun.add(name)
                bar.begin(name, max(of, 1))
            bar.step(done) if done < of else bar.end()

        yield tell


def _say(outcome: verify_.Outcome, out: rich.console.Console, *, whole: bool = False) -> None:
    """Prints what was found of a bundle: everything, or what does not hold, and the label."""
    from leaderboard.bundles import claim

    lines = [line for line in claim.lines(outcome.checks) if whole or line.failed]
    if lines:
        out.print("verdict  level       the worst of n, where: claimed | found | tolerance", highlight=False)
    for line in lines:
        worst, word = line.worst, "FALSE" if line.failed else "holds"
        pair = " | ".join((worst.claimed[:60], worst.found[:60], worst.tolerance))
        row = f"{word}    {worst.level:<10}  {worst.what} ({line.checks}), {worst.where}: {pair}"
        out.print(row, highlight=False, markup=False, soft_wrap=True)
    verdict = outcome.verdict
    how = (
        "bits compared" if verdict.bits else "numbers within tolerances" if verdict.level != "reported" else "for free"
    )
    out.print(
        f"{outcome.bundle.manifest.label}: {verdict.label}; {len(outcome.checks)} comparisons, {how}, "
        f"{verdict.seconds:.0f} CPU s{'; ' if verdict.note else ''}{verdict.note}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def build_board(
    store: str,
    output: pathlib.Path,
    out: rich.console.Console,
    *,
    board: document.Export | None = None,
    submitted: bool = False,
    server: str | None = None,
) -> pathlib.Path:
    """Builds the site and prints the cells of the store and where the first page is.

    Args:
        store: URI of the store to read.
        output: Folder of the site.
        out: Where to print.
        board: The export to show instead of what the store holds.
        submitted: Whether what was submitted is shown too.
        server: Address of the MLflow that serves the store, with a slash at its end; its runs are linked to it.

    Returns:
        The path of the first page.

    Raises:
        errors.InputError: The store cannot be read, a run in it is malformed, or the folder cannot be written. The
            old site then stays as it was.
        errors.Rejected: A submitted bundle is none.
    """
    from leaderboard import folder
    from leaderboard.board import cell as cells
    from leaderboard.board import scope, table, tally
    from leaderboard.bundles import submissions
    from leaderboard.export import from_store
    from leaderboard.site import pages as site_pages

    pages: dict[str, str] = {}

    def gathered(source: from_store.Source, step: Callable[[], None]) -> document.Export:
        pages.update({key: f"{server}{page}" for key, page in source.pages.items()} if server else {})
        return from_store.gathered(source, step)

    held = shown = board or _read(store, gathered)
    if submitted:
        with out.status("reading what was submitted"):
            shown = submissions.merged(held, list(submissions.rows()))
    with out.status("building the pages"):
        own = _own(shown)
        written = folder.write(site_pages.render(shown, own, pages), output, site_pages.SUMS)
    page = (output / "index.html").resolve()
    if held.runs:
        rows = cells.cells(held)
        out.print(scope.sentences(rows), highlight=False)
        out.print(_table(table.summary(held)))
        for one in tally.tallies(rows):
            out.print(f"{one.heading}: {one.shown}", highlight=False)
    elif not shown.runs:
        out.print("there is no run in the store yet; `gdzoo run specs/quickstart` makes some", highlight=False)
    more = len(shown.runs) - len(held.runs)
    words = f"{len(shown.runs)} runs, {more} of them submitted" if more else f"{len(shown.runs)} runs"
    out.print(
        f"{words}; {written.written} files written, {written.unchanged} unchanged, {written.removed} removed",
        highlight=False,
    )
    if own:
        out.print(f"{len(own)} of the cells were run here and are marked: index.html#show=mine", highlight=False)
    out.print(f"page: {page}", highlight=False, soft_wrap=True, markup=False)
    return page


def _server(address: str) -> str:
    """Returns the address of an MLflow server as links begin with it.

    Raises:
        errors.InputError: It is none, or holds what a public page must not.
    """
    import urllib.parse

    try:
        parts = urllib.parse.urlsplit(address)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or "@" in parts.netloc or parts.query or parts.fragment or any(map(str.isspace, address)):
        raise errors.InputError(
            "--mlflow: not the address of a server as its users open it, without a password, for example "
            "https://mlflow.example.org or http://127.0.0.1:5000"
        )
    return address.rstrip("/") + "/"


def _own(board: document.Export) -> set[str]:
    """Returns the `suite/cell_id` of the cells that were run in this workspace, unless all were."""
    every = {f"{run.suite}/{run.cell_id}" for run in board.runs}
    here = {f"{run.suite}/{run.cell_id}" for run in board.runs if (workspace.runs() / run.suite / run.run_id).is_dir()}
    return here if here != every else set()


def _side_by_side(heading: str, titles: list[str], rows: dict[str, list[str]]) -> rich.table.Table:
    """Returns a table with a column for each run, with text from runs kept as text."""
    import rich.table
    import rich.text

    drawn = rich.table.Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    drawn.add_column(heading, overflow="fold")
    for title in titles:
        drawn.add_column(rich.text.Text(title), overflow="fold")
    for name, entries in rows.items():
        drawn.add_row(rich.text.Text(name), *map(rich.text.Text, entries))
    if not rows:
        drawn.add_row("none")
    return drawn


def _read(uri: str, use: Callable[[from_store.Source, Callable[[], None]], Result]) -> Result:
    """Opens a store and has it read, with a bar over its runs."""
    from harness.jobs import progress
    from leaderboard.export import from_store

    out = harness_cli.console(stderr=True)
    with out.status("asking the store what it holds"):
        source = from_store.opened(uri)
    with progress.bar(out, source.size) as bar:
        return use(source, bar.end)


def _table(summary: tables.Summary) -> rich.table.Table:
    """Returns the summary as a table that a terminal of any width folds, with text from runs kept as text."""
    import rich.table
    import rich.text

    from leaderboard.board import table

    drawn = rich.table.Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    shown = [column for column in table.COLUMNS.values() if column.terminal]
    for column, entries in zip(shown, zip(*summary.rows, strict=True), strict=True):
        if column.numeric:
            width = max(8, *map(len, (*column.label.split(), *entries)))
            drawn.add_column("\n".join(textwrap.wrap(column.label, width)), justify="right", no_wrap=True)
        else:
            drawn.add_column(column.label, overflow="fold")
    for row in summary.rows:
        drawn.add_row(*(rich.text.Text(entry) for entry in row))
    return drawn
