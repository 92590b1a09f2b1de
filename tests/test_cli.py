# SPDX-License-Identifier: Apache-2.0
"""The command line as a person uses it: what wrong input says, and what a stop leaves behind."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import mlflow
import pytest

from tests import builders, front_door

ROOT = pathlib.Path(__file__).parent.parent
SPEC = """
schema: 1
title: a test
data: {name: digits, examples: 32}
model: {family: mlp, hidden: [4], activation: gelu}
loss: {name: half_mse}
optimizer: {name: gd, learning_rate: 0.2}
steps: 12
checkpoints: 4
seeds: 2
"""


def start(*words: str, home: pathlib.Path, **environment: str) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "TFDS_DATA_DIR")}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "gdzoo.py"), *words],
        cwd=home,
        env={**kept, "GDZOO_HOME": str(home), "JAX_PLATFORMS": "cpu", "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def written(home: pathlib.Path, text: str = SPEC, name: str = "t.yaml") -> str:
    folder = home / "tests"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return f"tests/{name}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps: 12", "stepz: 12", "did you mean 'steps'?"),
        ("steps: 12", "steps: twelve", "tests/t.yaml:8:8: steps: 'twelve' is not allowed"),
        ("steps: 12", "steps: 12\nsteps: 13", "steps"),
        ("name: digits", "name: digit", "did you mean 'digits'?"),
        ("gelu", "gleu", "did you mean 'gelu'?"),
        ("seeds: 2", "seeds: &a [*a]", "anchor"),
    ],
)
def test_a_wrong_spec_says_where_and_what(old: str, new: str, message: str, home: pathlib.Path) -> None:
    path = written(home, SPEC.replace(old, new))
    code, out, err = front_door.say("run", path, home=home)
    assert code == 2
    assert message in err
    assert err.startswith("tests/t.yaml:")
    assert "Traceback" not in out + err
    assert not (home / "runs").exists()


def test_missing_files_and_wrong_words_are_exit_code_2(home: pathlib.Path, store_uri: str) -> None:
    for words, message in (
        (("run", "nowhere.yaml"), "there is no such file"),
        (("run", "testz"), "there is no such file or folder; did you mean 'tests'?"),
        (("list", "familes"), "did you mean 'families'?"),
        (("data", "prepare", "digit"), "did you mean 'digits'?"),
        (("new", "x", "--family", "vggg"), "did you mean 'vgg'?"),
        (("run", written(home), "--device", "gpuu"), "did you mean 'gpu'?"),
        (("rum",), "rum"),
    ):
        code, out, err = front_door.say(*words, home=home)
        assert (code, "Traceback" in out + err) == (2, False), err
        assert message in err


def test_a_data_set_that_needs_the_network_is_refused_at_once(home: pathlib.Path, store_uri: str) -> None:
    path = written(home, SPEC.replace("digits", "fashion_mnist"))
    code, _, err = front_door.say("run", path, home=home)
    assert code == 2
    assert "Three ways out: say `gdzoo data prepare fashion_mnist`" in err
    code, out, err = front_door.say("check", path, home=home)
    assert code == 0, err
    assert "`gdzoo data prepare fashion_mnist` before a run" in out
    assert "one small step" not in out


def test_a_store_that_cannot_be_opened_says_what_to_do(home: pathlib.Path) -> None:
    path = written(home)
    code, _, err = front_door.say("run", path, home=home)
    assert code == 2
    assert "gdzoo store init" in err
    assert not (home / "mlflow.db").exists(), "a run never makes a store by accident"
    (home / "mlflow.db").write_text("this is no database", encoding="utf-8")
    code, out, err = front_door.say("run", path, home=home)
    assert code == 2
    assert "mlflow.db" in err
    assert "Traceback" not in out + err
    code, _, err = front_door.say("run", path, "--store", "mysterious://x", home=home)
    assert code == 2
    assert "mysterious" in err


def test_a_diverging_step_size_is_a_result(home: pathlib.Path, store_uri: str) -> None:
    path = written(home, SPEC.replace("learning_rate: 0.2", "learning_rate: 1.0e+9").replace("steps: 12", "steps: 60"))
    code, out, err = front_door.say("run", path, home=home)
    assert code == 0, err
    assert "diverged" in out
    assert " at step " in out
    facts = [json.loads(file.read_text()) for file in (home / "runs" / "tests").glob("*/run.json")]
    assert [fact["status"] for fact in facts] == ["diverged", "diverged"]
    code, out, _ = front_door.say("status", path, home=home)
    assert "2 diverged" in out
    code, out, err = front_door.say("board", "build", home=home)
    assert code == 0, err
    assert "diverged" in (home / "site" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", builders.tiers([signal.SIGINT, signal.SIGTERM], quick=[signal.SIGINT]))
def test_a_stop_keeps_what_was_recorded_and_the_next_run_goes_on(
    number: signal.Signals, home: pathlib.Path, store_uri: str
) -> None:
    path = written(home, SPEC.replace("steps: 12", "steps: 200000").replace("checkpoints: 4", "checkpoints: 300"))
    process = start("run", path, home=home)
    deadline = time.monotonic() + 240
    while not (lines := list((home / "runs").glob("tests/*/records.jsonl"))) or not lines[0].read_text():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no record after four minutes"
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 75, err
    assert "say the same command again" in err
    assert "Traceback" not in err
    before = lines[0].read_text()
    assert json.loads(lines[0].with_name("run.json").read_text())["status"] == "interrupted"
    killed = mlflow.MlflowClient(tracking_uri=store_uri).search_runs(["1"])  # both seeds, which run side by side
    assert [(one.info.status, one.data.tags["gdzoo.status"]) for one in killed] == [("KILLED", "interrupted")] * 2
    assert front_door.say("status", path, home=home)[1].strip().endswith("2 interrupted")
    # The same cell, a shorter time later: what was recorded is still there, and nothing of it is made twice.
    process = start("run", path, home=home)
    while lines[0].read_text() == before:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline + 240
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    after = lines[0].read_text()
    assert after.startswith(before)
    steps = [json.loads(line)["step"] for line in after.splitlines()]
    assert steps == sorted(set(steps))


def test_a_second_run_adds_nothing_and_the_store_alone_suffices(home: pathlib.Path, store_uri: str) -> None:
    path = written(home)
    assert "0 of 2 shares are done; left: 1, 2\n" in front_door.say("status", path, "--shards", "2", home=home)[1]
    assert "2 runs made" in front_door.say("run", path, home=home)[1]
    assert "0 runs made, 2 there already" in front_door.say("run", path, home=home)[1]
    shutil.rmtree(home / "runs")
    assert "0 runs made, 2 there already" in front_door.say("run", path, home=home)[1]
    assert "1 runs made, 2 there already" in front_door.say("run", path, "--seeds", "3", home=home)[1]
    code, out, err = front_door.say("board", "build", home=home)
    assert code == 0, err
    assert "3/3" in out


def test_new_check_run_submit(home: pathlib.Path, store_uri: str) -> None:
    code, out, err = front_door.say("new", "mine", "--family", "mlp", home=home)
    assert code == 0, err
    path = home / "specs" / "mine" / "mine.yaml"
    assert str(path.relative_to(home)) in out
    assert front_door.say("new", "mine", "--family", "mlp", home=home)[0] == 2
    text = path.read_text(encoding="utf-8")
    for old, new in (("steps: 300", "steps: 8"), ("checkpoints: 16", "checkpoints: 3"), ("seeds: 3", "seeds: 1")):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    code, out, err = front_door.say("check", "specs/mine", home=home)
    assert code == 0, err
    assert "1 spec, 1 configuration, 1 run: all valid" in out
    assert re.search(r"all of that, one after the other: about .*, \S+ core hours", out), out
    code, out, err = front_door.say("submit", "specs/mine", "--to", "reported", home=home)
    assert code == 0, err
    assert "page:" in out and "git add specs/mine/mine.yaml" in out.replace(f"{home}/", "")
    assert (home / "site" / "index.html").is_file()


def test_a_cell_that_does_not_fit_is_refused_with_the_number(home: pathlib.Path) -> None:
    wide = SPEC.replace("hidden: [4]", "hidden: [60000, 60000]")
    code, out, err = front_door.say("check", written(home, wide), home=home)
    assert code == 1, err
    assert "1 configuration of 1 cannot be run here: tests/t: " in err
    assert "1.87e+03 GB are needed for 3,604,560,010 parameters (the 64 vectors of a Lanczos run, " in err
    assert "all valid" not in out


def test_our_bug_is_one_line_and_a_report(home: pathlib.Path, tmp_path: pathlib.Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['gdzoo', 'status']\n"
        "import gdzoo\nfrom harness.cli import overview\n"
        "overview.show = lambda *a: 1 / 0\ngdzoo.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=home,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 70
    assert done.stderr.startswith("a bug in gdzoo: ZeroDivisionError")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" in next(tmp_path.glob("gdzoo-bug-*.txt")).read_text()


def test_every_list_prints(home: pathlib.Path) -> None:
    from harness.cli import catalogue

    code, out, _ = front_door.say("list", home=home)
    assert code == 0
    assert all(name in out for name in catalogue.TABLES)
    for name in ("families", "metrics", "specs"):
        code, out, err = front_door.say("list", name, home=home)
        assert code == 0, err
    assert "quickstart/mlp" in out


def test_certify_says_what_is_certain_without_training(home: pathlib.Path) -> None:
    path = written(home)
    code, out, err = front_door.say("certify", path, "--points", "2", home=home)
    assert code == 0, err
    assert "certified; No step size is bad: " in out
    assert "the map is certified non-singular (F9" in out
    assert not (home / "runs").exists()
    code, out, _ = front_door.say("certify", path, "--json", home=home)
    (one,) = json.loads(out)
    assert (code, one["verdict"], one["but"]) == (0, "certified", [])


def test_a_network_too_large_for_the_dense_method_is_refused(home: pathlib.Path, store_uri: str) -> None:
    large = SPEC.replace("[4]", "[100]") + "curvature: dense\n"
    for command in ("check", "run", "certify"):
        code, out, err = front_door.say(command, written(home, large), home=home)
        assert code == 2, err
        assert err.endswith(
            "tests/t: curvature: dense is not allowed for 7,510 parameters; allowed: at most 5,000 on this device; "
            "write `curvature: lanczos`, or leave it out\n"
        )
        assert "Traceback" not in out + err
    assert not list(home.glob("runs/**/run.json"))


def test_a_control_that_disagrees_ends_with_1(home: pathlib.Path, store_uri: str) -> None:
    short = SPEC.replace("steps: 12", "steps: 1").replace("checkpoints: 4\n", "").replace("seeds: 2", "seeds: 1")
    code, out, _ = front_door.say("run", written(home, short + "expected: {status: [finished]}\n"), home=home)
    assert (code, "controls: 1 agree, 0 disagree" in out) == (0, True)
    code, out, _ = front_door.say("run", written(home, short + "expected: {verdict: [singular]}\n"), home=home)
    assert (code, "controls: 0 agree, 1 disagree" in out) == (1, True)
