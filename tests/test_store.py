# SPDX-License-Identifier: Apache-2.0
"""The store: its five states, and that making it is safe to repeat, to share and to kill."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from harness import errors, workspace
from harness.tracking import client, store, ui
from tests import builders

INIT = [sys.executable, str(workspace.CHECKOUT / "mlflow.db-init" / "init_db.py"), "init"]


def set_revision(uri: str, revision: str) -> None:
    """Lets a database say that it has another schema."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def revisions() -> list[str]:
    """Returns the schema revisions of the installed MLflow as its own tools list them, the current one first."""
    from alembic import script
    from mlflow.store.db import utils

    return [one.revision for one in script.ScriptDirectory.from_config(utils._get_alembic_config("")).walk_revisions()]


def earlier_revision() -> str:
    """Returns the schema revision before the current one."""
    return revisions()[1]


def test_a_ready_store_is_ready_and_opens(store_uri: str) -> None:
    assert store.check(store_uri).word == "ready"
    assert client.open_store(store_uri).client.search_experiments()[0].name == "Default"


def test_a_missing_store_is_refused_with_the_command_and_nothing_is_made(home: pathlib.Path) -> None:
    uri = f"sqlite:///{home}/mlflow.db"
    with pytest.raises(errors.InputError) as refused:
        client.open_store(uri)
    assert str(refused.value) == (
        f"the store {uri} cannot be opened: there is no database yet; make it with: gdzoo store init"
    )
    assert store.check(uri).word == "missing"
    assert os.listdir(home) == []


def test_a_store_elsewhere_is_named_in_the_command(home: pathlib.Path) -> None:
    uri = f"sqlite:///{home}/deep/er/team.db"
    with pytest.raises(errors.InputError, match=f"gdzoo store init --store '{uri}'"):
        client.open_store(uri)
    assert os.listdir(home) == []


def test_an_empty_file_is_a_store_to_be_made(home: pathlib.Path) -> None:
    (home / "mlflow.db").touch()
    uri = f"sqlite:///{home}/mlflow.db"
    assert store.check(uri).word == "missing"
    assert (store.init(uri), store.init(uri)) == ("made", "ready")
    assert store.check(uri).word == "ready"


def test_an_older_store_is_refused_then_upgraded_on_request_and_a_copy_kept(home: pathlib.Path) -> None:
    import sqlalchemy
    from alembic import command
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels import initial_models

    uri = f"sqlite:///{home}/mlflow.db"
    engine = sqlalchemy.create_engine(uri)
    initial_models.Base.metadata.create_all(engine)
    config = utils._get_alembic_config(uri)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, earlier_revision())
    engine.dispose()

    assert store.check(uri).word == "old"
    with pytest.raises(
        errors.InputError, match="from an earlier MLflow; bring it up to date with: gdzoo store upgrade"
    ):
        client.open_store(uri)
    assert store.check(uri).word == "old", "opening must not upgrade"
    with pytest.raises(
        errors.InputError, match="from an earlier MLflow; bring it up to date with: gdzoo store upgrade"
    ):
        store.init(uri)
    assert store.check(uri).word == "old", "nor must init"
    assert store.upgrade(uri) == "upgraded"
    assert store.check(uri).word == "ready"
    assert store.check(f"{uri}.before-{earlier_revision()}").word == "old"


def test_every_earlier_schema_is_told_from_the_current_one(store_uri: str) -> None:
    current, *earlier = revisions()
    assert len(earlier) > 20
    for revision in earlier:
        set_revision(store_uri, revision)
        assert store.check(store_uri).word == "old"
    set_revision(store_uri, current)
    assert store.check(store_uri).word == "ready"


def test_the_state_of_a_store_is_known_without_loading_mlflow(store_uri: str) -> None:
    code = (
        "import sys; from harness.tracking import store; "
        f"print(store.check({store_uri!r}).word, 'mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "ready False\n"


def test_a_newer_store_is_left_alone(store_uri: str) -> None:
    set_revision(store_uri, "ffffffffffff")
    assert store.check(store_uri).word == "newer"
    with pytest.raises(errors.InputError, match="from a later MLflow .*; use the MLflow that made it"):
        client.open_store(store_uri)
    with pytest.raises(errors.InputError, match="from a later MLflow"):
        store.init(store_uri)


@pytest.mark.parametrize("uri", ["mlflow.db", "foo://x", "sqlite://", "sqlite:///:memory:", "file:///mlruns", ""])
def test_what_is_no_store_is_refused_with_what_is_allowed(uri: str) -> None:
    with pytest.raises(errors.InputError, match="is not the address of a store; allowed: sqlite:///FILE"):
        client.open_store(uri)
    with pytest.raises(errors.InputError, match="write sqlite:///FILE"):
        store.init(uri)


def test_a_file_that_is_not_mlflows_is_never_touched(home: pathlib.Path) -> None:
    text, other = home / "notes.db", home / "other.db"
    text.write_text("dear diary " * 100, encoding="utf-8")
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    for file, why in ((text, "file is not a database"), (other, "it is a SQLite file, but not one of MLflow")):
        before = file.read_bytes()
        for use in (client.open_store, store.init):
            with pytest.raises(errors.InputError, match=why):
                use(f"sqlite:///{file}")
        assert file.read_bytes() == before


def test_a_folder_is_no_store(home: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match="it is a folder, not a file"):
        client.open_store(f"sqlite:///{home}")


def test_a_store_that_cannot_be_made_there_says_why(home: pathlib.Path) -> None:
    (home / "file").touch()
    with pytest.raises(
        errors.InputError, match="cannot make the store .*file/mlflow.db: (Not a directory|File exists)"
    ):
        store.init(f"sqlite:///{home}/file/mlflow.db")


@pytest.mark.parametrize("locked", ["mlflow.db", "."])
def test_a_read_only_store_is_refused_at_the_start(
    store_uri: str, home: pathlib.Path, locked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = home / locked  # the rights themselves do not bind root, so the question is answered for it
    monkeypatch.setattr(os, "access", lambda path, mode: pathlib.Path(path) != target)
    with pytest.raises(errors.InputError, match="cannot be written to: .* is read-only for you"):
        client.open_store(store_uri)


def test_a_server_that_is_away_is_refused_quickly() -> None:
    start = time.monotonic()
    with pytest.raises(errors.InputError, match="no answer from the server"):
        client.open_store("http://127.0.0.1:9")
    assert time.monotonic() - start < 10


def test_a_password_is_never_printed() -> None:
    with pytest.raises(errors.InputError) as refused:
        client.open_store("postgresql+nodriver://anna:s3cret@127.0.0.1:9/runs")
    assert "s3cret" not in str(refused.value)
    assert "anna:***@127.0.0.1" in str(refused.value)


def test_artifacts_lie_beside_the_database(home: pathlib.Path) -> None:
    assert store.artifact_folder("sqlite:////data/team.db", "quickstart") == "file:///data/mlartifacts/quickstart"
    assert store.artifact_folder("postgresql+psycopg://h/d", "a") == (home / "mlartifacts" / "a").as_uri()
    assert store.artifact_folder("http://h:1", "quickstart") is None


def test_a_suite_without_a_description_gets_a_plain_one() -> None:
    assert store.tags("mine")["mlflow.note.content"].startswith("# gdzoo: mine\n")
    assert store.tags("quickstart")["mlflow.note.content"].startswith("# gdzoo: quickstart\n")


@pytest.mark.parametrize("count", builders.tiers([3, 8], quick=[3]))
def test_programs_that_make_one_store_at_once_all_succeed(count: int, home: pathlib.Path) -> None:
    uri = f"sqlite:///{home}/cold/mlflow.db"
    several = [subprocess.Popen([*INIT, uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(count)]
    said = [program.communicate() for program in several]
    assert [program.returncode for program in several] == [0] * count, said
    assert sorted(out.split()[-1] for out, _ in said) == [b"made"] + [b"ready"] * (count - 1)
    assert store.check(uri).word == "ready"
    assert sorted(os.listdir(home / "cold")) == ["mlflow.db", "mlflow.db.lock"]


def test_a_maker_that_is_killed_leaves_no_half_store(home: pathlib.Path) -> None:
    uri = f"sqlite:///{home}/mlflow.db"
    with subprocess.Popen([*INIT, uri]) as maker:
        while not list(home.glob("mlflow.db.building-*")):
            assert maker.poll() is None, "it was done before it could be killed"
            time.sleep(0.01)
        maker.send_signal(signal.SIGKILL)
    assert store.check(uri).word == "missing"
    assert store.init(uri) == "made"
    assert sorted(os.listdir(home)) == ["mlflow.db", "mlflow.db.lock"]


def test_init_alone_reads_the_environment_and_reports_errors(home: pathlib.Path, ready_store: pathlib.Path) -> None:
    shutil.copyfile(ready_store, home / "mlflow.db")
    (home / "mlflow.db").chmod(0o644)
    store.init(f"sqlite:///{home}/mlflow.db")
    done = subprocess.run(INIT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"store sqlite:///{home}/mlflow.db: ready\n")
    failed = subprocess.run([*INIT, "mlflow.db"], capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
    assert failed.stderr.startswith("error: this is not the address of a store")


BOMB = "a: &a [1, 1]\n" + "".join(
    f"{y}: &{y} [{', '.join(['*' + x] * 9)}]\n" for x, y in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text", ["model: [unclosed\n", "- 1\n", "", "\x00", "grid: 7\n", f"{BOMB}model: {{activation: *i}}\n", "[" * 5000]
)
def test_a_file_among_the_specs_that_is_none_stops_no_store(
    text: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiments = store._maker().experiments
    monkeypatch.setattr(experiments, "SPECS", tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("relu", "gelu"):
        (tmp_path / "mine" / f"{name}.yaml").write_text(
            f"model: {{family: mlp, activation: {name}}}\n", encoding="utf-8"
        )
    (tmp_path / "mine" / "other.yaml").write_text(text, encoding="utf-8")
    assert {"spec", "activation"} <= set(experiments.differing("mine")) <= {"spec", "activation", "family"}
    assert experiments.differing("nowhere") == []
    (tmp_path / "mine" / "grid.yaml").write_text("grid: {loss.name: [ce, half_mse]}\n", encoding="utf-8")
    assert "loss" in experiments.differing("mine")


ODD = ["a#b", "a&b=c", "it's", 'say "so"', "a;b", "ü é", "a+b", "$HOME", "a@b:c"]


def test_a_store_is_refused_in_a_folder_that_means_something_in_a_uri(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("q?x=1", "p%20c", "%"):
        monkeypatch.setenv("GDZOO_HOME", str(home / name))
        with pytest.raises(errors.InputError, match="GDZOO_HOME: no store can lie in .*; choose another folder, or"):
            workspace.store()
        assert workspace.store("sqlite:////a") == "sqlite:////a"
    assert store.sqlite_file("sqlite:////a/p%20c/m.db") == pathlib.Path("/a/p c/m.db"), "as SQLAlchemy reads it"


@pytest.mark.parametrize("name", ODD)
def test_a_workspace_may_have_any_other_name(
    name: str, tmp_path: pathlib.Path, ready_store: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    home = tmp_path / "all" / name
    home.mkdir(parents=True)
    monkeypatch.setenv("GDZOO_HOME", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = workspace.store()
    assert store.sqlite_file(uri) == home / "mlflow.db" and store.check(uri).word == "missing"
    shutil.copyfile(ready_store, home / "mlflow.db")
    os.chmod(home / "mlflow.db", 0o644)
    assert store.check(uri).word == "ready" and store.sqlite_file(ui.command(uri, 0)[1]["MLFLOW_BACKEND_STORE_URI"])
    assert store.init(uri) == "made"
    opened = mlflow.MlflowClient(tracking_uri=uri)
    key = opened.create_experiment("here", store.artifact_folder(uri, "here"))
    run = opened.create_run(key).info.run_id
    opened.log_text(run, "content", "file.txt")
    assert (home / "mlartifacts" / "here" / run / "artifacts" / "file.txt").read_text() == "content"
    assert [path.name for path in (tmp_path / "all").iterdir()] == [name], "nothing is written beside it"
