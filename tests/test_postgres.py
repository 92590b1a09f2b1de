# SPDX-License-Identifier: Apache-2.0
"""A team's store: a real PostgreSQL, alone and behind an MLflow server with logins."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy
import typer.testing
import yaml
from packaging import requirements

from harness import errors, workspace
from harness.tracking import client, points, queue, store, upload
from leaderboard.cli import door
from leaderboard.export import from_store
from tests import builders

HERE = workspace.CHECKOUT / "mlflow.db-init"
INIT = [sys.executable, str(HERE / "init_db.py")]
TEAM = [sys.executable, str(HERE / "team.py")]

command_line = typer.testing.CliRunner()


def ask(uri: str, text: str) -> Any:
    """Returns the one value that a statement gives."""
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.begin() as connection:
            return connection.execute(sqlalchemy.text(text)).scalar()
    finally:
        engine.dispose()


def curve(uri: str, run_id: str) -> list[tuple[int, int, float]]:
    """Returns step, timestamp and value of each point of a run's loss."""
    opened = client.open_store(uri)
    (run,) = opened.client.search_runs(
        [client.experiment_id(opened, "quickstart")], f"tags.`gdzoo.run_id` = '{run_id}'"
    )
    return [(p.step, p.timestamp, p.value) for p in opened.client.get_metric_history(run.info.run_id, "train/loss")]


@pytest.fixture
def cold_uri(home: pathlib.Path, postgres: Any) -> Iterator[str]:
    """An empty database, before anything made a table in it."""
    with postgres.database("template0") as uri:
        yield uri


def arrive(uri: str, count: int) -> None:
    """Starts many initialisers of one cold store at once."""
    several = [
        subprocess.Popen([*INIT, "init", uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(count)
    ]
    said = [program.communicate() for program in several]
    assert [program.returncode for program in several] == [0] * count, said
    assert sorted(out.split()[-1] for out, _ in said) == [b"made"] + [b"ready"] * (count - 1)
    assert b"tester:tester" not in b"".join(out for out, _ in said)


@pytest.mark.parametrize("count", builders.tiers([2, 4], quick=[2]))
def test_a_cold_database_is_missing_then_made_once_by_all_who_arrive(count: int, cold_uri: str) -> None:
    assert store.check(cold_uri) == ("missing", "the database is empty")
    with pytest.raises(errors.InputError, match="the database is empty; make it with: gdzoo store init --store"):
        client.open_store(cold_uri)
    arrive(cold_uri, count)
    assert store.check(cold_uri).word == "ready"
    names = {run.name for run in client.open_store(cold_uri).client.search_experiments()}
    assert {"gdzoo: quickstart", "gdzoo: planted", "gdzoo: literature"} <= names


@pytest.mark.slow
def test_sixty_four_that_arrive_at_a_cold_database_at_once_all_succeed(cold_uri: str) -> None:
    arrive(cold_uri, 64)


def test_older_and_newer_schemas_are_told_apart_and_an_older_one_is_upgraded_when_said(cold_uri: str) -> None:
    from alembic import command
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels import initial_models

    parents = store._maker().schema.revisions()
    (head,) = set(parents) - {below for known in parents.values() for below in known}
    engine = sqlalchemy.create_engine(cold_uri)
    initial_models.Base.metadata.create_all(engine)
    config = utils._get_alembic_config(cold_uri)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, parents[head][0])
    engine.dispose()
    with pytest.raises(
        errors.InputError, match="from an earlier MLflow; bring it up to date with: gdzoo store upgrade"
    ):
        client.open_store(cold_uri)
    with pytest.raises(errors.InputError, match="gdzoo store upgrade"):
        store.init(cold_uri)
    said = command_line.invoke(door.app, ["store", "upgrade", "--store", cold_uri])
    assert said.exit_code == 0 and said.stdout.endswith(": upgraded\n"), said.output
    assert store.check(cold_uri).word == "ready" and store.upgrade(cold_uri) == "ready"
    ask(cold_uri, "UPDATE alembic_version SET version_num = 'ffffffffffff' RETURNING 1")
    for use in (client.open_store, store.init, store.upgrade):
        with pytest.raises(errors.InputError, match="from a later MLflow"):
            use(cold_uri)


def test_a_database_of_somebody_else_is_never_touched(cold_uri: str) -> None:
    engine = sqlalchemy.create_engine(cold_uri)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE mine (x int)"))
    engine.dispose()
    for use in (client.open_store, store.init, store.upgrade):
        with pytest.raises(errors.InputError, match="it is a database, but not one of MLflow"):
            use(cold_uri)
    assert ask(cold_uri, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'") == 1


def test_a_database_that_is_not_there_says_so_without_the_password(postgres: Any, home: pathlib.Path) -> None:
    nowhere = postgres.uri("nowhere")
    for uri in (nowhere, nowhere.replace("tester@", "wrong@"), nowhere.replace(str(postgres.port), "1")):
        with pytest.raises(errors.InputError) as refused:
            client.open_store(uri)
        assert "cannot be opened: " in str(refused.value) and "tester:***@" in str(refused.value)
        with pytest.raises(errors.InputError, match="cannot use the store"):
            store.init(uri)


def test_check_says_what_the_store_is_and_holds(postgres_uri: str, home: pathlib.Path, sample: ModuleType) -> None:
    upload.upload(client.open_store(postgres_uri), sample.folder(home / "runs"))
    said = command_line.invoke(door.app, ["store", "check", "--store", postgres_uri])
    facts = {line[:18].strip(): line[18:].strip() for line in said.stdout.splitlines()}
    assert said.exit_code == 0
    assert (facts["state"], facts["runs"], facts["experiments"]) == ("ready", "1", "2")
    assert facts["store"].startswith("postgresql+psycopg://tester:***@") and facts["server"].startswith("15.")


def test_it_gives_the_export_that_sqlite_gives(
    postgres_uri: str, store_uri: str, home: pathlib.Path, sample: ModuleType
) -> None:
    folders = [sample.folder(home / "runs", seed=seed) for seed in range(3)]
    for uri in (postgres_uri, store_uri):
        opened = client.open_store(uri)
        for _ in range(2):  # twice is once
            for folder in folders:
                upload.upload(opened, folder)
    assert from_store.dump(from_store.read(postgres_uri)) == from_store.dump(from_store.read(store_uri))
    assert ask(postgres_uri, "SELECT count(*) FROM metrics") == ask(store_uri, "SELECT count(*) FROM metrics")


@pytest.mark.parametrize(
    "count", [2, pytest.param(4, marks=pytest.mark.thorough), pytest.param(64, marks=pytest.mark.slow)]
)
def test_writers_at_once_lose_nothing_and_double_nothing(
    count: int, postgres_uri: str, home: pathlib.Path, sample: ModuleType
) -> None:
    sample.write_at_once(postgres_uri, home / "runs", count)


def test_a_writer_killed_between_commit_and_acknowledgement_has_written_once(
    postgres_uri: str, home: pathlib.Path, sample: ModuleType
) -> None:
    folder = sample.folder(home / "runs")
    sample.write_and_be_killed(postgres_uri, folder, 2)
    assert from_store.read(postgres_uri).runs == (), "the board does not show half a run"
    said = command_line.invoke(door.app, ["store", "sync", "--store", postgres_uri])
    assert said.stdout == "1 runs sent, 0 there already\n"
    assert [step for step, _, _ in curve(postgres_uri, folder.name)] == list(sample.STEPS)


def test_a_server_that_stops_in_the_middle_of_a_run_and_starts_again_has_every_point_once(
    postgres_uri: str, postgres: Any, home: pathlib.Path, sample: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sample.folder(home / "runs")
    opened = client.open_store(postgres_uri)
    real = points.write

    def write(*arguments: Any) -> None:
        real(*arguments)
        postgres.stop()  # after the points, before the run is closed

    try:
        with monkeypatch.context() as patch, queue.beside(opened) as sending:
            patch.setattr(points, "write", write)
            sending.put(folder)
            assert sending.finish() == [folder], "it waits; nothing is raised"
    finally:
        postgres.start()
    said = command_line.invoke(door.app, ["store", "sync", "--store", postgres_uri])
    assert said.stdout == "1 runs sent, 0 there already\n"
    assert [step for step, _, _ in curve(postgres_uri, folder.name)] == list(sample.STEPS)
    assert len(from_store.read(postgres_uri).runs) == 1


def test_a_store_moves_from_sqlite_to_postgresql_and_back(
    cold_uri: str, store_uri: str, home: pathlib.Path, sample: ModuleType
) -> None:
    opened = client.open_store(store_uri)
    folders = [sample.folder(home / "runs", seed=seed) for seed in range(3)]
    (folders[0] / "records.jsonl").write_text(
        json.dumps({"step": 0, "values": {"loss": "nan", "grad_norm": "inf", "sigma_min": 0.1 + 0.2}}) + "\n"
    )
    ids = [upload.upload(opened, folder) for folder in folders]
    opened.client.delete_run(ids[0])
    ask(store_uri, "INSERT INTO mcp_servers (name, created_at, last_updated_at) VALUES ('a', 1, 1) RETURNING 1")
    copied = command_line.invoke(door.app, ["store", "copy", cold_uri])
    rows = ask(store_uri, "SELECT count(*) FROM metrics")
    assert (copied.exit_code, copied.stdout.split(" in ")[0]) == (0, f"3 runs with {rows:,} points"), copied.output
    assert from_store.dump(from_store.read(cold_uri)) == from_store.dump(from_store.read(store_uri))
    assert curve(cold_uri, folders[2].name) == curve(store_uri, folders[2].name)
    assert ask(cold_uri, "SELECT count(*) FROM runs WHERE lifecycle_stage = 'deleted'") == 1
    assert ask(cold_uri, "SELECT count(*) FROM mcp_servers WHERE icons IS NULL") == 1, "NULL is not JSON's null"
    moved = client.open_store(cold_uri)
    assert moved.client.create_experiment("another"), "the sequences go on behind what was copied"
    assert upload.upload(moved, folders[1]) in ids, "it is found again"
    back = f"sqlite:///{home / 'back.db'}"
    store.copy(cold_uri, back, lambda table, rows: None)
    assert from_store.dump(from_store.read(back)) == from_store.dump(from_store.read(cold_uri))
    with pytest.raises(errors.InputError, match="the target holds 3 runs; name an empty or a new store"):
        store.copy(store_uri, cold_uri, lambda table, rows: None)


def test_a_copy_that_fails_leaves_the_target_empty(
    postgres_uri: str, store_uri: str, home: pathlib.Path, sample: ModuleType
) -> None:
    upload.upload(client.open_store(store_uri), sample.folder(home / "runs"))

    def fail(table: str, _rows: int) -> None:
        if table == "metrics":
            raise RuntimeError("the line was cut")

    with pytest.raises(errors.InputError, match="nothing was copied: the line was cut"):
        store.copy(store_uri, postgres_uri, fail)
    assert ask(postgres_uri, "SELECT count(*) FROM runs") == 0
    assert ask(postgres_uri, "SELECT count(*) FROM experiments") == 1, "as it was made"


def test_a_table_that_does_not_arrive_whole_undoes_the_copy(
    postgres_uri: str, store_uri: str, home: pathlib.Path, sample: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload.upload(client.open_store(store_uri), sample.folder(home / "runs"))
    copying = store._maker().copying
    real = copying._count

    def one_less(connection: Any, table: Any) -> int:
        found = int(real(connection, table))
        return found - (connection.dialect.name == "postgresql" and table.name == "tags" and found > 0)

    monkeypatch.setattr(copying, "_count", one_less)
    with pytest.raises(errors.InputError, match="nothing was copied: of .* rows of the table tags .* arrived"):
        store.copy(store_uri, postgres_uri, lambda table, rows: None)
    assert ask(postgres_uri, "SELECT count(*) FROM runs") == 0


def test_pg_dump_and_pg_restore_bring_everything_back(
    postgres_uri: str, postgres: Any, team: ModuleType, home: pathlib.Path, sample: ModuleType
) -> None:
    upload.upload(client.open_store(postgres_uri), sample.folder(home / "runs"))
    plain = postgres_uri.replace("+psycopg", "")
    with tempfile.TemporaryDirectory() as folder:
        dump = pathlib.Path(folder) / "gdzoo.dump"
        subprocess.run([team._program("pg_dump"), "-Fc", "-f", dump, plain], check=True)
        with postgres.database("template0") as target:
            command = [team._program("pg_restore"), "--no-owner", "-d", target.replace("+psycopg", ""), dump]
            subprocess.run(command, check=True)
            assert from_store.dump(from_store.read(target)) == from_store.dump(from_store.read(postgres_uri))


@pytest.fixture(scope="module")
def started(
    team: ModuleType, postgres: Any, free_port: Callable[[], int]
) -> Iterator[tuple[pathlib.Path, dict[str, str]]]:
    """A team's whole store, as `team.py start` makes it: its folder, and the environment of a member."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gdzoo-team-"))
    folder.chmod(0o755)
    try:
        yield folder, start(folder, free_port())
    finally:
        assert subprocess.run([*TEAM, "stop", str(folder)], check=False).returncode == 0
        assert team.status(folder) == {"database": False, "server": False}
        shutil.rmtree(folder, ignore_errors=True)


def start(folder: pathlib.Path, port: int) -> dict[str, str]:
    """Says `team.py start` and returns the environment that it prints."""
    said = subprocess.run([*TEAM, "start", str(folder), str(port)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    words = [line.removeprefix("export ") for line in said.stdout.splitlines() if line.startswith("export ")]
    return dict(word.split("=", 1) for word in words)


def answer(url: str, **headers: str) -> int:
    """Returns the HTTP status of a page."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as page:
            return int(page.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_team_s_server_refuses_strangers_and_foreign_hosts_and_takes_runs(
    started: tuple[pathlib.Path, dict[str, str]],
    home: pathlib.Path,
    sample: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    team: ModuleType,
) -> None:
    folder, login = started
    address = login["MLFLOW_TRACKING_URI"]
    experiments = f"{address}/api/2.0/mlflow/experiments/get?experiment_id=0"
    artifacts = f"{address}/api/2.0/mlflow-artifacts/artifacts"
    assert [answer(page) for page in (address, experiments, artifacts, f"{address}/graphql")] == [401] * 4
    assert answer(experiments, Host="evil.example") == 403
    assert answer(f"{address}/health") == 200
    wrong = {**login, "MLFLOW_TRACKING_PASSWORD": "wrong"}
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(errors.InputError, match="401"):
        client.open_store(address)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", login["MLFLOW_TRACKING_PASSWORD"])
    made = sample.folder(home / "runs")
    opened = client.open_store(address)
    upload.upload(opened, made)
    assert [run.run_id for run in from_store.read(address).runs] == [made.name]
    names = {one.name for one in opened.client.search_experiments()}
    assert "gdzoo: literature" in names, "start has made the experiments"
    with pytest.raises(errors.InputError, match="lie behind an MLflow server; name that with --store"):
        from_store.read(team.uri(team.environment(folder), "ro"))
    process = pathlib.Path(f"/proc/{(folder / 'server.pid').read_text().strip()}")
    variables = process.joinpath("environ").read_bytes().split(b"\0")
    assert {b"MLFLOW_DISABLE_TELEMETRY=true", b"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false"} <= set(variables)
    known = team.environment(folder)
    words = b"".join(file.read_bytes() for file in pathlib.Path("/proc").glob("[0-9]*/cmdline") if file.exists())
    assert not any(known[name].encode() in words for name in team.SECRETS), "no secret on a command line"
    assert (folder / "server.env").stat().st_mode & 0o077 == 0
    assert start(folder, 1) == login, "said again it changes nothing"


def test_each_role_may_do_what_it_is_for_and_no_more(
    started: tuple[pathlib.Path, dict[str, str]], team: ModuleType, home: pathlib.Path
) -> None:
    folder, _ = started
    known = team.environment(folder)
    reader, writer = team.uri(known, "ro"), team.uri(known, "rw")
    assert store.check(reader).word == store.check(writer).word == "ready"
    assert ask(reader, "SELECT count(*) FROM experiments") > 5
    refused = "permission denied|must be owner|read-only|must be superuser"
    for uri, statement in (
        (reader, "DELETE FROM runs RETURNING 1"),
        (reader, "INSERT INTO tags (key, value, run_uuid) VALUES ('a', 'b', 'c') RETURNING 1"),
        (reader, "CREATE TABLE mine (x int)"),
        (reader, "CREATE TEMPORARY TABLE mine (x int)"),
        (reader, "CREATE ROLE other"),
        (writer, "CREATE ROLE other"),
        (writer, "CREATE DATABASE other"),
        (writer, "COPY (SELECT 1) TO PROGRAM 'true'"),
        (writer, "SELECT pg_read_file('/etc/passwd')"),
    ):
        with pytest.raises(sqlalchemy.exc.SQLAlchemyError, match=f"{refused}|cannot run inside a transaction"):
            ask(uri, statement)


def test_a_database_that_somebody_else_made_may_not_be_entered_by_everybody(
    started: tuple[pathlib.Path, dict[str, str]], team: ModuleType
) -> None:
    folder, _ = started
    known = team.environment(folder)
    port = int(known["GDZOO_DATABASE_PORT"])
    team.psql(folder, port, "-c", "CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    with pytest.raises(sqlalchemy.exc.OperationalError, match="permission denied for database"):
        ask(f"postgresql+psycopg://stranger:stranger@127.0.0.1:{port}/gdzoo", "SELECT 1")


def test_the_compose_file_is_the_same_set_up(team: ModuleType) -> None:
    found = yaml.safe_load((HERE / "compose.yaml").read_text(encoding="utf-8"))
    database, server = found["services"]["database"], found["services"]["server"]
    assert all(port.startswith("127.0.0.1:") for service in (database, server) for port in service["ports"])
    assert "./postgres/10-roles.sql:/docker-entrypoint-initdb.d/10-roles.sql:ro" in database["volumes"]
    assert " ".join(database["command"]) == team.MANY
    variables = server["environment"]
    assert (variables["MLFLOW_DISABLE_TELEMETRY"], variables["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"]) == ("true", "false")
    assert variables["MLFLOW_SERVER_ALLOWED_HOSTS"] == "localhost:5000,127.0.0.1:5000"
    assert "--app-name basic-auth" in server["command"][-1] and "init_db.py schema" in server["command"][-1]
    pins = dict(re.findall(r"^(\S+)==(\S+)", (workspace.CHECKOUT / "constraints.txt").read_text(), re.MULTILINE))
    for name, extra in (("mlflow", "[auth]"), ("psycopg", "[binary]")):
        assert f"'{name}{extra}=={pins[name]}'" in server["build"]["dockerfile_inline"]
    example = (HERE / "postgres" / "server.env.example").read_text(encoding="utf-8").splitlines()
    asked = {line.partition("=")[0] for line in example if line and not line.startswith("#")}
    assert set(team.SECRETS) < asked, "what team.py makes, a person fills in"
    assert all(f"${{{name}" in (HERE / "compose.yaml").read_text(encoding="utf-8") for name in asked)


def test_versions_of_mlflow_with_known_holes_are_refused() -> None:
    project = tomllib.loads((workspace.CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    found = [line for line in map(requirements.Requirement, asked) if line.name == "mlflow"]
    assert len(found) >= 2
    for version in ("2.22.0", "3.9.0", "3.10.1", "3.12.0", "3.16.9"):  # CVE-2026-0545, -2614, -2651, -2652 and before
        assert not any(line.specifier.contains(version) for line in found)


@pytest.mark.parametrize("words", [[], ["start"], ["begin", "x"], ["start", "x", "port"], ["stop", "a", "1", "2"]])
def test_wrong_words_to_team_are_one_line_and_exit_code_2(words: list[str]) -> None:
    done = subprocess.run([*TEAM, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "error: say: team.py start FOLDER [PORT] | stop FOLDER | status FOLDER\n",
    )
