# SPDX-License-Identifier: Apache-2.0
"""The export believes nothing: a real SQLite store goes in, checked runs come out, and a bad run is named."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from typer import testing

from harness import errors
from leaderboard.cli import commands
from leaderboard.export import document, from_store
from leaderboard.site import check

Json = dict[str, Any]
Put = Callable[..., str]


@pytest.fixture(scope="module")
def uri(ready_store: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of this module; `put` takes back what it put there."""
    file = tmp_path_factory.mktemp("export") / "mlflow.db"
    shutil.copyfile(ready_store, file)
    file.chmod(0o644)
    return f"sqlite:///{file}"


@pytest.fixture
def put(uri: str, sample: ModuleType, tmp_path: pathlib.Path) -> Iterator[Put]:
    """Returns a function that writes a run into the store as the harness does, through MLflow's client."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    made: list[str] = []

    def write(
        said: Json,
        *,
        files: dict[str, str | bytes | None] | None = None,
        tags: dict[str, str] | None = None,
        experiment: dict[str, str] | None = None,
        status: str = "FINISHED",
        start: int = 1000,
    ) -> str:
        about = experiment or {"gdzoo.suite": said["suite"], "mlflow.note.content": "# A suite\nWith a note."}
        name = f"gdzoo: {about.get('gdzoo.suite')}"
        found = client.get_experiment_by_name(name)
        key = found.experiment_id if found else client.create_experiment(name, (tmp_path / "artifacts").as_uri(), about)
        if key not in made:
            made.append(key)
        named = {"gdzoo.run_id": said["run_id"], "gdzoo.suite": said["suite"], "gdzoo.status": said["status"]}
        kept = {key: value for key, value in (named | (tags or {})).items() if value}
        run_id = client.create_run(key, start_time=start, tags=kept).info.run_id
        texts = {
            "run.json": json.dumps(said),
            "records.jsonl": sample.records(said),
            "cell.yaml": sample.cell_yaml(said),
        }
        for path, content in (texts | (files or {})).items():
            if content is not None:
                local = tmp_path / path
                local.write_bytes(content if isinstance(content, bytes) else content.encode())
                client.log_artifact(run_id, str(local))
        client.set_terminated(run_id, status)
        return str(run_id)

    yield write
    for key in made:
        client.rename_experiment(key, f"gone {key}")
        client.delete_experiment(key)


def test_streamed_to_a_file_it_has_the_same_bytes(
    uri: str, put: Put, sample: ModuleType, tmp_path: pathlib.Path
) -> None:
    for name, seed in (("b", 1), ("a", 0), ("a", 2)):
        put(sample.facts(name, seed, suite="zebra" if seed else "ant", label=f"{'z' if name == 'a' else 'y'}"))
    put(sample.facts("c", 1, suite="zebra", label="x"))
    done: list[None] = []
    from_store.write(from_store.opened(uri), file := tmp_path / "streamed.json", lambda: done.append(None))
    assert file.read_bytes() == from_store.dump(from_store.read(uri))
    assert len(done) == from_store.opened(uri).size == 4
    runs = from_store.load(file).runs
    assert [(run.suite, run.label) for run in runs] == [("ant", "z"), ("zebra", "x"), ("zebra", "y"), ("zebra", "z")]
    read = [run.label for run in from_store.opened(uri).runs if run.suite == "zebra"]
    assert read != sorted(read), "the store has them in another order"


def test_a_bad_run_leaves_the_file_as_it_was(uri: str, put: Put, sample: ModuleType, tmp_path: pathlib.Path) -> None:
    (file := tmp_path / "export.json").write_text("before", encoding="utf-8")
    put(sample.facts("a"))
    put(sample.facts("b"), files={"records.jsonl": "{"})
    with pytest.raises(errors.InputError, match="is malformed"):
        from_store.write(from_store.opened(uri), file)
    assert file.read_text(encoding="utf-8") == "before"
    assert not list(tmp_path.glob(".export*"))


def test_a_file_that_cannot_be_written_is_named(uri: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match="nowhere/x.json: cannot be written: No such file"):
        from_store.write(from_store.opened(uri), tmp_path / "nowhere" / "x.json")


def test_no_more_than_the_run_at_hand_is_kept_in_memory(
    uri: str, put: Put, sample: ModuleType, tmp_path: pathlib.Path
) -> None:
    for seed in range(3):
        put(sample.facts("a", seed))
    source = from_store.opened(uri)
    runs = list(source.runs)
    seen: list[weakref.ref[document.Run]] = []
    alive = []

    def one_by_one() -> Iterator[document.Run]:
        while runs:
            seen.append(weakref.ref(runs[-1]))
            yield runs.pop()
            alive.append(sum(run() is not None for run in seen))

    from_store.write(source._replace(runs=one_by_one()), tmp_path / "x.json")
    assert alive == [1, 1, 1]


def test_export_is_what_the_store_holds(uri: str, put: Put, sample: ModuleType) -> None:
    runs = [sample.facts(name, seed) for name in ("b", "a") for seed in (1, 0)]
    for said in runs:
        put(said)
    put(sample.facts("c", suite="zeta"))
    board = from_store.read(uri)
    assert [suite.name for suite in board.suites] == ["quickstart", "zeta"]
    assert {run.run_id for run in board.runs if run.suite == "quickstart"} == {said["run_id"] for said in runs}
    run = next(run for run in board.runs if run.run_id == runs[0]["run_id"])
    assert run.steps == sample.STEPS
    assert run.curves["loss"][0] == pytest.approx(0.452)
    assert board.snapshot == "2026-11-22T10:01:12Z"


def test_the_same_store_gives_the_same_bytes_and_they_read_back(
    uri: str, put: Put, sample: ModuleType, tmp_path: pathlib.Path
) -> None:
    put(sample.facts("a"))
    put(sample.facts("b"))
    first = from_store.dump(from_store.read(uri))
    assert from_store.dump(from_store.read(uri)) == first
    path = tmp_path / "export.json"
    path.write_bytes(first)
    assert from_store.dump(from_store.load(path)) == first
    for private in (str(tmp_path), "sqlite:", "artifacts", "mlflow.db"):
        assert private not in first.decode()


def test_a_board_links_its_runs_to_their_pages_in_mlflow(
    uri: str, put: Put, sample: ModuleType, tmp_path: pathlib.Path
) -> None:
    import mlflow

    put(sample.facts("relu"))
    arguments = ["board", "build", "--store", uri, "--output", str(tmp_path / "site")]
    arguments += ["--mlflow", "http://127.0.0.1:5000"]
    said = testing.CliRunner().invoke(commands.app, arguments, catch_exceptions=False)
    assert said.exit_code == 0
    (run,) = from_store.read(uri).runs
    page = (tmp_path / "site" / "run" / run.suite / f"{run.run_id}.html").read_text(encoding="utf-8")
    link = re.search(r'href="http://127\.0\.0\.1:5000/#/experiments/(\d+)/runs/([0-9a-f]{32})"', page)
    assert link is not None
    found = mlflow.MlflowClient(tracking_uri=uri).get_run(link[2])
    assert (found.info.experiment_id, found.data.tags["gdzoo.run_id"]) == (link[1], run.run_id)
    assert list(check.problems(tmp_path / "site")) == []
    assert b"127.0.0.1" not in (tmp_path / "site" / "export.json").read_bytes()


@pytest.mark.parametrize(
    "address",
    ["mlflow.db", "javascript:alert(1)", "https://", "https://me:secret@example.org", "https://x.org/?token=secret",
     "https://x.org/#/", "ftp://x.org", "https://[::1", "https://x .org", "http://x:99999"],
)  # fmt: skip
def test_an_address_of_mlflow_that_is_none_or_holds_a_secret_is_refused(address: str, home: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match="--mlflow: not the address of a server") as caught:
        testing.CliRunner().invoke(commands.app, ["board", "build", "--mlflow", address], catch_exceptions=False)
    assert "secret" not in str(caught.value)
    with pytest.raises(errors.InputError, match="--mlflow links the runs of a store"):
        testing.CliRunner().invoke(
            commands.app, ["board", "build", "--only-submitted", "--mlflow", "http://x"], catch_exceptions=False
        )


def test_of_two_attempts_the_last_that_ended_counts(uri: str, put: Put, sample: ModuleType) -> None:
    put(sample.facts("a", seconds=2.0), start=2000)
    put(sample.facts("a", seconds=1.0), start=1000)
    put(sample.facts("a", seconds=3.0, status="running"), start=3000, status="RUNNING")
    assert [run.seconds for run in from_store.read(uri).runs] == [2.0]


def test_every_outcome_but_running_is_a_result(uri: str, put: Put, sample: ModuleType) -> None:
    put(sample.facts("a", 0, status="diverged", diverged_at=7))
    put(sample.facts("a", 1, status="interrupted", verdict=None), status="KILLED")
    put(sample.facts("a", 2, status="failed", verdict=None, eta=None), status="FAILED", files={"records.jsonl": ""})
    assert [run.status for run in from_store.read(uri).runs] == ["diverged", "interrupted", "failed"]


def test_other_experiments_are_none_of_our_business(uri: str, put: Put, sample: ModuleType) -> None:
    put(sample.facts("a"), experiment={"owner": "somebody"}, files={"run.json": "nonsense"})
    assert from_store.read(uri).runs == ()


def test_values_that_are_not_finite_become_null(uri: str, put: Put, sample: ModuleType) -> None:
    lines = ['{"step": 0, "values": {"loss": "nan", "loss_gap": "inf", "sigma_min": 0.5}}']
    put(sample.facts("a"), files={"records.jsonl": "\n".join(lines)})
    assert from_store.read(uri).runs[0].curves == {"loss": (None,), "loss_gap": (None,), "sigma_min": (0.5,)}


def test_hostile_text_is_kept_as_harmless_text(uri: str, put: Put, sample: ModuleType) -> None:
    put(sample.facts("a", title=sample.HOSTILE, label=sample.HOSTILE, device=sample.HOSTILE, command=sample.HOSTILE))
    run = from_store.read(uri).runs[0]
    for value in (run.title, run.label, run.device, run.command):
        assert "</script><img src=x onerror=alert(1)>" in value
        assert not {"\u2028", "\u202e", "\x1b"} & set(value)
        assert "/home" not in value and value.endswith("secret.txt")


BAD_FACTS: dict[str, tuple[Json, str]] = {
    "a path for an id": ({"run_id": "../../etc/passwd"}, "run_id: String should match pattern"),
    "another cell's id": ({"cell_id": "0" * 12}, "is not cell_id 000000000000 with seed 0"),
    "a hash that is not the cell's": (
        {"spec_hash": "0" * 64, "cell_id": "0" * 12, "run_id": "0" * 12 + "-s0"},
        "the cell is not the one that spec_hash",
    ),
    "a suite with a slash": ({"suite": "../up"}, "suite: String should match pattern"),
    "a number for a title": ({"title": 7}, "title: Input should be a valid string"),
    "text for a number": ({"parameters": "1482"}, "parameters: Input should be a valid integer"),
    "a truth for a number": ({"seconds": True}, "seconds: Input should be a valid number"),
    "a step size of nought": ({"eta": 0.0}, "eta: Input should be greater than 0"),
    "an unknown status": ({"status": "great"}, "status: Input should be 'finished', 'diverged'"),
    "divergence without a step": ({"status": "diverged"}, "status diverged does not agree with diverged_at None"),
    "a seed too many": ({"seeds": 3, "seed": 3}, "is not cell_id"),
    "an unknown key": ({"winner": True}, "winner: Extra inputs are not permitted"),
    "an early schema": ({"schema": 0}, "run.json is not a mapping with schema 1"),
    "a huge title": ({"title": "x" * 5000}, "title: String should have at most 4000 characters"),
}


@pytest.mark.parametrize("name", BAD_FACTS)
def test_a_malformed_run_is_refused_by_name(uri: str, put: Put, sample: ModuleType, name: str) -> None:
    changes, message = BAD_FACTS[name]
    good = sample.facts("a")
    mlflow_id = put(good, files={"run.json": json.dumps(good | changes)})
    with pytest.raises(errors.InputError) as caught:
        from_store.read(uri)
    assert str(caught.value).startswith(f"run {good['run_id']} (MLflow run {mlflow_id}) in the store is malformed: ")
    assert message in str(caught.value)
    assert str(caught.value).endswith("; delete it in MLflow and say `gdzoo run` again")


BAD_FILES: dict[str, tuple[dict[str, str | bytes | None], str]] = {
    "missing": ({"cell.yaml": None}, "it has no artifact cell.yaml"),
    "not JSON": ({"run.json": "{"}, "run.json is not JSON"),
    "a key twice": ({"run.json": '{"schema": 1, "schema": 1}'}, "run.json has a key twice: 'schema'"),
    "NaN": ({"run.json": '{"eta": NaN}'}, "holds the number NaN"),
    "not UTF-8": ({"run.json": b"\xff"}, "'utf-8' codec can't decode"),
    "deep": ({"run.json": "[" * 100_000}, "run.json is nested too deeply"),
    "large": ({"run.json": " " * (1 << 19)}, "its artifact run.json is larger than 256 KiB"),
    "unknown metric": ({"records.jsonl": '{"step": 0, "values": {"sigma_mim": 1}}'}, "did you mean 'sigma_min'?"),
    "text for a value": ({"records.jsonl": '{"step": 0, "values": {"loss": "1"}}'}, "loss is not a number: '1'"),
    "a huge value": ({"records.jsonl": '{"step": 0, "values": {"loss": 1e999}}'}, "the number 1e999 is too large"),
    "half a record": ({"records.jsonl": '{"step": 0, "val'}, "records.jsonl line 1 is not JSON"),
    "steps that go back": (
        {"records.jsonl": '{"step": 1, "values": {}}\n{"step": 1, "values": {}}'},
        "the recorded steps do not increase",
    ),
    "a step and a half": ({"records.jsonl": '{"step": 1.5, "values": {}}'}, "a step that is not a whole number"),
    "another cell": ({"cell.yaml": "schema: 1\nsteps: 4\n"}, "cell.yaml is not the cell that run.json holds"),
    "a YAML bomb": ({"cell.yaml": "a: &a [1]\nb: *a\n"}, "cell.yaml:1"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_malformed_artifact_is_refused(uri: str, put: Put, sample: ModuleType, name: str) -> None:
    files, message = BAD_FILES[name]
    put(sample.facts("a"), files=files)
    with pytest.raises(errors.InputError) as caught:
        from_store.read(uri)
    assert message in str(caught.value)


def test_what_cannot_be_shown_is_left_out_and_named_and_the_rest_is_shown(
    uri: str, put: Put, sample: ModuleType, tmp_path: pathlib.Path
) -> None:
    good, bad = sample.facts("a"), sample.facts("b")
    put(good)
    named = []
    for seed, (files, _) in enumerate(BAD_FILES.values(), 7):
        named.append(put(bad | {"run_id": f"{bad['cell_id']}-s{seed}"}, files=files))
    named += [put(sample.facts("c"), tags={"gdzoo.run_id": ""})]
    put(sample.facts("a", suite="other"), experiment={"gdzoo.suite": "../up"})
    left: list[str] = []
    made = from_store.shelved(from_store.opened(uri, left.append), folder=tmp_path)
    assert [run.run_id for run in made.export().runs] == [good["run_id"]]
    assert len(left) == len(named) + 1 and all(any(name in reason for reason in left) for name in named)
    assert any("'gdzoo: ../up'" in reason for reason in left)


def test_a_step_size_whose_inverse_is_infinite_cannot_be_shown(uri: str, put: Put, sample: ModuleType) -> None:
    put(sample.facts("a"), files={"run.json": json.dumps(sample.facts("a") | {"eta": 1e-310})})
    with pytest.raises(errors.InputError, match="its step size is 1e-310, and 2/η is beyond what numbers hold"):
        from_store.read(uri)


def test_a_run_in_anothers_name_is_refused(uri: str, put: Put, sample: ModuleType) -> None:
    put(sample.facts("a"), tags={"gdzoo.run_id": sample.facts("b")["run_id"]})
    with pytest.raises(errors.InputError, match=r"the tag gdzoo\.run_id says"):
        from_store.read(uri)


def test_a_stray_run_is_named_not_skipped(uri: str, put: Put, sample: ModuleType) -> None:
    mlflow_id = put(sample.facts("a"), tags={"gdzoo.run_id": ""})
    with pytest.raises(errors.InputError, match=rf"MLflow run {mlflow_id} in the store is not one of gdzoo's"):
        from_store.read(uri)


def test_an_experiment_with_a_bad_suite_is_refused(uri: str, put: Put, sample: ModuleType) -> None:
    put(sample.facts("a"), experiment={"gdzoo.suite": "../up"})
    with pytest.raises(errors.InputError, match=r"experiment 'gdzoo: ../up' in the store: name: String should match"):
        from_store.read(uri)


def test_a_store_that_is_not_there_is_not_made(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "nowhere" / "mlflow.db"
    with pytest.raises(errors.InputError) as caught:
        from_store.read(f"sqlite:///{file}")
    assert str(caught.value) == (
        f"the store sqlite:///{file} cannot be read: there is no database yet; `gdzoo store init` makes one, "
        "`gdzoo run specs/quickstart` fills it"
    )
    assert not file.parent.exists()


def test_an_empty_file_and_a_foreign_database_stay_as_they_are(tmp_path: pathlib.Path) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    for file, message in ((empty, "the database is empty|no database yet"), (foreign, "not one of MLflow")):
        before = file.read_bytes()
        with pytest.raises(errors.InputError, match=message):
            from_store.read(f"sqlite:///{file}")
        assert file.read_bytes() == before


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(errors.InputError, match="name a store with --store: sqlite:///FILE"):
        from_store.read("mlruns")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not an export of gdzoo: export.json is not JSON"),
        ('{"schema": 2, "snapshot": "", "suites": [], "runs": []}', "schema: Input should be 1"),
        ('{"schema": 1, "snapshot": "", "suites": []}', "runs: Field required"),
    ],
)
def test_a_file_that_is_no_export_is_refused(tmp_path: pathlib.Path, content: str, message: str) -> None:
    path = tmp_path / "export.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(errors.InputError, match=message):
        from_store.load(path)


def test_a_missing_export_says_what_makes_one(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match="`gdzoo board build` writes one"):
        from_store.load(tmp_path / "export.json")


def test_two_suites_may_hold_the_same_cell(sample: ModuleType) -> None:
    runs = [sample.run("a"), sample.run("a", suite="other")]
    suites = [document.Suite(name=name, note="") for name in ("other", "quickstart")]
    assert len(document.compose(suites, runs).runs) == 2
    with pytest.raises(ValueError, match="a run stands twice in a suite"):
        document.compose(suites, [*runs, runs[0]])
