# SPDX-License-Identifier: Apache-2.0
"""The harness's commands. Everything slow to import is imported in the command that needs it."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from typing import TYPE_CHECKING, Annotated

import typer

from harness import errors, workspace
from harness.cli import data as data_commands
from harness.cli import store as store_commands
from harness.cli.options import Device, Devices, Specs, Store, console
from harness.runtime import signals

if TYPE_CHECKING:
    from collections.abc import Sequence

    import rich.console

    from harness import specs
    from harness.jobs import engines, schedule

app = typer.Typer()
app.add_typer(store_commands.app, name="store")
app.add_typer(data_commands.app, name="data")


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help="What to list; without it, what there is to list.")] = "") -> None:
    """Show what exists: families, activations, datasets, losses, optimizers, starts, diagnostics, metrics, specs."""
    from harness.cli import catalogue

    catalogue.show(what, console())


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the spec.")],
    family: Annotated[str, typer.Option("--family", help="A family of `gdzoo list families`.")],
    setting: Annotated[
        str, typer.Option("--setting", help="One of the family's settings, as `gdzoo list families` names them.")
    ] = "tiny",
    suite: Annotated[str, typer.Option("--suite", help="Its suite: the folder under specs/.")] = "mine",
) -> None:
    """Write a commented spec to start from, specs/SUITE/NAME.yaml."""
    from harness import specs

    text = specs.template(name, family, setting)
    path = pathlib.Path("specs") / suite / f"{name}.yaml"
    if not specs.NAME.fullmatch(suite):
        raise errors.InputError(f"--suite: {suite!r} is not allowed; allowed: letters, digits, '.', '_' and '-'")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise errors.InputError(f"{path} exists already; choose another name, or delete it first") from error
    out = console()
    out.print(f"wrote {path}", highlight=False)
    out.print(f"next: edit it, then `gdzoo check {path}` and `gdzoo run {path}`", highlight=False, soft_wrap=True)


@app.command()
def check(specs: Specs, device: Device = "auto") -> None:
    """Validate specs without training: shapes, sizes, what the theorem says, one step of each one's first network.

    The column `bad η` lists the step sizes at which the map is singular: `exactly {1}`, `none`, what is possible, `?`.
    The statements behind it (F1 to F14) are ours and not peer-reviewed; docs/theorems.md has their proofs.

    `curvature: dense` is refused beyond 5,000 parameters on a CPU, 20,000 on an accelerator.
    """
    check_specs(specs, device=device)


@app.command()
def certify(
    specs: Specs,
    points: Annotated[int, typer.Option("--points", min=1, max=100, help="How many points to ask.")] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, and nothing else.")] = False,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Write each certificate to leaderboard/certificates/, where `gdzoo verify` checks it again."
        ),
    ] = False,
    device: Device = "auto",
) -> None:
    """Say what is certain of the map before any training: at this step size, and for a whole range of them.

    Networks of one analytic piece: from closed-form points at any size, else from whole Hessians up to 5,000 parameters
    (20,000 on an accelerator), else from Lanczos: 128 products with the Hessian for each point, false with a stated
    probability. Others: the pieces on which runs begin, up to that size. Where all bad step sizes are known from the
    layers alone, the whole map. Statements F1 to F14 are ours and not peer-reviewed: docs/theorems.md.
    """
    from harness import specs as spec_module
    from harness.cli import certificates
    from harness.runtime import device as devices

    found = spec_module.read_all(specs)
    devices.configure(device)
    cells = [cell for spec in found for cell in spec.cells]
    certificates.show(cells, points, console(), as_json=json, write=write)


@app.command()
def bench(
    what: Annotated[
        str,
        typer.Argument(
            help="curvature, training, start, scaling, store, crossover, device: whatever is there against a CPU, or "
            "large: VGG-16 at full width.",
            metavar="[WHAT]",
        ),
    ] = ("curvature"),
    quick: Annotated[bool, typer.Option("--quick", help="Small networks, few rounds: minutes.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, and nothing else.")] = False,
    device: Device = "auto",
) -> None:
    """Measure speed again, of curvature or training, against other programs, and say which targets are met.

    One table of ratios from one run: medians over interleaved rounds of this process's CPU seconds, on one core. Peers
    that are not installed have a row that says so; `pip install -e '.[bench]'` brings them. A missed target is a
    result: exit code 0. A peer that disagrees with us about the same network has no number: exit code 1.

    `gdzoo bench --quick` takes minutes, `gdzoo bench` the better part of an hour, `gdzoo bench device` 8 minutes.
    """
    from harness import bench as benches
    from harness.runtime import device as devices

    if benches.find(what).one_core and device in ("auto", "cpu"):
        benches.timing.keep_to_one_core()
    words = devices.configure(device)
    with signals.handled():
        agreed = benches.show(what, quick, words, console(), as_json=json)
    if not agreed:
        raise typer.Exit(errors.EXIT_FAILED)


@app.command()
def run(
    specs: Specs,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, max=1000, help="Number of seeds, instead of the specs' own.")
    ] = None,
    store: Store = None,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Keep the records in run folders only: `gdzoo store import` takes them.")
    ] = False,
    device: Device = "auto",
    devices: Devices = 1,
    engine: Annotated[
        str, typer.Option("--engine", help="local (worker processes here) or ray (a cluster).")
    ] = "local",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            max=1000,
            help="Tasks at once. Default: one for each core, as memory has room; 1 on an accelerator; a cluster's room",
        ),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Make share I of N only, for array jobs; seeds that train side by side stay together.",
        ),
    ] = "1/1",
    first: Annotated[
        bool, typer.Option("--first", help="Make the first seed of every configuration before any second one.")
    ] = False,
    page: Annotated[
        bool,
        typer.Option("--page", help="Build the page as soon as a run is there, again as more are, and when all are."),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line for each event, and nothing else.")
    ] = False,
    gpus_per_task: Annotated[float, typer.Option("--gpus-per-task", min=0, help="GPUs that a task takes (ray).")] = 0,
    cpus_per_task: Annotated[float, typer.Option("--cpus-per-task", min=0, help="Cores that a task takes (ray).")] = 1,
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", help="The cluster. Default: RAY_ADDRESS, else this machine alone.")
    ] = None,
    coordinator: Annotated[
        str | None,
        typer.Option("--coordinator", help="HOST:PORT of process 0, or auto under SLURM: one run on several machines."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="How many processes train one run.")
    ] = None,
    process: Annotated[int | None, typer.Option("--process", min=0, help="Which of them this is.")] = None,
) -> None:
    """Make the missing runs exist; go on with what was cut off. A diverged run is a result.

    A task is a group of seeds of one configuration. Training is done in other processes: one that dies is begun again
    where it was. Ctrl-C or SIGTERM: the current units are finished and written, exit code 75; twice: at once.
    """
    from harness.jobs import engines
    from harness.runtime import distributed

    if store and no_store:
        raise errors.InputError("--store and --no-store exclude each other")
    if page and (no_store or json):
        raise errors.InputError("--page shows people what a store holds: neither --no-store nor --json goes with it")
    together = distributed.of(coordinator, processes, process)
    options = engines.Options(device, devices, jobs, gpus_per_task, cpus_per_task, ray_address, together)
    if together is not None:
        engine = engines.TOGETHER
    outcome = run_specs(specs, Wanted(seeds, store, no_store, engine, options, shard, json, first, page))
    if outcome is None:
        return
    out = console(stderr=json)
    agree = compare(specs, seeds, out)
    finish(outcome, out)
    show_left_out(specs, seeds, out)
    if not agree:
        raise typer.Exit(errors.EXIT_FAILED)
    if no_store:
        words = f"next: bring {workspace.runs()} to where a store is, and say there: gdzoo store import FOLDER"
        out.print(words, highlight=False, soft_wrap=True)
        return
    if page:
        from harness.jobs import page as pages

        raise typer.Exit(pages.build(workspace.store(store)))
    out.print("next: `gdzoo board build` makes the page, `gdzoo ui` opens the runs in MLflow", highlight=False)


@app.command()
def status(
    specs: Annotated[
        list[pathlib.Path] | None, typer.Argument(help="Spec files or folders; default: all of specs/.")
    ] = None,
    shards: Annotated[
        int, typer.Option("--shards", min=0, max=10_000, help="Say it of each of so many shares (`run --shard`) too.")
    ] = 0,
) -> None:
    """Say how many runs of each configuration are finished, diverged, running, interrupted, failed or missing.

    With --shards N also which shares are done, of the same specs: a share that is not is said again with --shard I/N.
    Seeds that train side by side are made by the share of the first of them.
    """
    from harness import specs as spec_module
    from harness.cli import overview

    overview.show(spec_module.read_all(specs or [workspace.CHECKOUT / "specs"]), console(), shards)


@app.command()
def ui(
    store: Store = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on this machine.")] = 5000,
    browser: Annotated[bool, typer.Option("--open", help="Open the first suite in a browser.")] = False,
) -> None:
    """Start MLflow's own UI on the store, for this machine only, and print a link to each suite; Ctrl-C ends it.

    A link opens a prepared comparison: loss, eta*lambda_max and sigma_min over steps, one line for each configuration,
    the mean over its seeds with their range. Click the eyes in the list to choose what is drawn; "Table: ..." under the
    name of the view has the end values.
    """
    import webbrowser

    from harness.tracking import client
    from harness.tracking import store as stores
    from harness.tracking import ui as uis

    uri, out = workspace.store(store), console()
    served = uri.startswith(("http://", "https://"))
    address = stores.shown(uri) if served else f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as ending:
        server = None
        log = ending.enter_context(tempfile.TemporaryFile())
        if not served:
            command, environment = uis.command(uri, port)
            server = ending.enter_context(uis.serving(command, environment, log))
        try:
            with out.status("MLflow's server is starting"):
                found = uis.suites(client.open_store(uri), address)
                if server is not None:
                    uis.answering(address, server, log)
            for line in uis.lines(found, address):
                out.print(line, highlight=False, soft_wrap=True)
            if browser:
                webbrowser.open(found[0].link if found else uis.link(address))
            if server is not None:
                out.print("Ctrl-C ends it")
                raise typer.Exit(server.wait())
        except KeyboardInterrupt:
            raise typer.Exit(errors.EXIT_DONE) from None


def check_specs(paths: Sequence[pathlib.Path], *, device: str = "auto") -> list[specs.Spec]:
    """Checks specs and prints what would be run, what the theorem says, the loss across one step, and what it takes.

    Raises:
        errors.InputError: If a spec is wrong, or its data set cannot be had.
        errors.OutOfMemory: If cells of it do not fit into memory.
    """
    from harness import specs as spec_module
    from harness.cli import overview
    from harness.runtime import device as devices

    found = spec_module.read_all(paths)
    devices.configure(device)
    overview.check(found, console())
    return found


@dataclasses.dataclass(frozen=True)
class Wanted:
    """How the runs of specs are to be made.

    Attributes:
        seeds: How many seeds of each cell; None for as many as its spec asks for.
        store: URI of the store; None for the default.
        no_store: Whether there is to be none.
        engine: Who trains: a name in ENGINES.
        options: What the engine is told.
        shard: Which share of the runs: `I/N`.
        as_json: Whether events are printed as JSON.
        first: Whether the first seed of every cell is made before any second one.
        page: Whether the page is built while runs are made.
    """

    seeds: int | None = None
    store: str | None = None
    no_store: bool = False
    engine: str = "local"
    options: engines.Options | None = None
    shard: str = "1/1"
    as_json: bool = False
    first: bool = False
    page: bool = False


def run_specs(paths: Sequence[pathlib.Path], wanted: Wanted) -> schedule.Outcome | None:
    """Makes the missing runs of specs exist, in their folders and (unless there is to be none) in the store.

    The workers are started first: they load their libraries while this process loads MLflow. Of processes that train
    together only the first opens the store and knows an outcome; None in the others.

    Raises:
        errors.InputError: If a spec is wrong, a data set cannot be had, or the store or the engine cannot be opened.
        errors.Stopped: On Ctrl-C or SIGTERM.
    """
    from harness import specs as spec_module
    from harness.jobs import engines, progress, schedule, task
    from harness.jobs import page as pages
    from harness.tracking import client

    part = task.shard(wanted.shard)
    found = spec_module.read_all(paths)
    files = {(spec.suite, spec.name): _shown(spec.file) for spec in found}
    cells = [cell for spec in found for cell in spec.cells]
    portions = schedule.wanted(cells, wanted.seeds, part, lambda cell: f"gdzoo run {files[cell.suite, cell.spec]}")
    if wanted.first:
        portions = schedule.first_seeds(portions)
    options = wanted.options or engines.Options()
    if options.together is not None and not options.together.leads:
        from harness.jobs.engines import together

        together.follow(portions, options)
        return None
    if wanted.engine == "local" and not wanted.as_json and (said := at_once(options)):
        console().print(said, highlight=False)
    try:
        with (
            signals.handled(),
            engines.opened(wanted.engine, options, schedule.open_tasks(portions)) as workers,
            progress.shown(console(stderr=wanted.as_json), as_json=wanted.as_json) as display,
            pages.kept(workspace.store(wanted.store), display.line) as page,
        ):
            opened = None if wanted.no_store else client.open_store(workspace.store(wanted.store))
            return schedule.work(portions, opened, workers, display, page.sent if wanted.page else None)
    except KeyboardInterrupt:
        raise errors.Stopped("stopped; what was recorded is kept: say the same command again to go on") from None


def at_once(options: engines.Options) -> str:
    """Returns how many tasks are run at once, in a line, where nobody said so and it is more than one."""
    from harness.jobs.engines import local

    count = local.tasks_at_once(options)
    if options.jobs is not None or count == 1:
        return ""
    return f"{count} tasks at once, one for each core as memory has room (--jobs 1: one after the other)"


def compare(paths: Sequence[pathlib.Path], seeds: int | None, out: rich.console.Console) -> bool:
    """Prints what runs from planted points show, and what specs expect of their runs; says whether that agrees."""
    from harness import specs as spec_module
    from harness.cli import controls, planted

    cells = [cell for spec in spec_module.read_all(paths) for cell in spec.cells]
    planted.show(cells, seeds, out)
    return not controls.show(cells, seeds, out).disagree


def show_left_out(paths: Sequence[pathlib.Path], seeds: int | None, out: rich.console.Console) -> None:
    """Prints what measuring the runs of specs cost, what traces found, where eigenvectors live, what was left out."""
    from harness import specs as spec_module
    from harness.cli import overview

    cells = [cell for spec in spec_module.read_all(paths) for cell in spec.cells]
    said = (
        overview.cost(cells, seeds),
        overview.traced(cells, seeds),
        overview.lived(cells, seeds),
        overview.left_out(cells, seeds),
    )
    for line in filter(None, said):
        out.print(line, highlight=False)


def finish(outcome: schedule.Outcome | None, out: rich.console.Console) -> None:
    """Prints the outcome of a list of runs, if this process knows it; exits with 1 where something is left to do."""
    if outcome is None:
        return
    words = f"{len(outcome.ran)} runs made, {len(outcome.kept)} there already"
    for run_ids, what in (
        (outcome.failed, "failed"),
        (outcome.waiting, "wait for the store"),
        (outcome.busy, "run elsewhere"),
        (outcome.others, "in groups of seeds that another share makes"),
    ):
        words += f", {len(run_ids)} {what}" if run_ids else ""
    out.print(words, highlight=False)
    if outcome.waiting:
        out.print("the store did not take everything; nothing is lost: `gdzoo store sync` sends it", highlight=False)
    if outcome.failed or outcome.waiting:
        raise typer.Exit(errors.EXIT_FAILED)


def _shown(file: str) -> str:
    """Returns a spec's path relative to the checkout where it lies in it, as a command for others to repeat."""
    path = pathlib.Path(file).resolve()
    return str(path.relative_to(workspace.CHECKOUT)) if path.is_relative_to(workspace.CHECKOUT) else path.name
