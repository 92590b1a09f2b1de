# SPDX-License-Identifier: Apache-2.0
"""Bundles of strangers: whatever they hold, nothing is written, nothing is run, and one line says what is wrong.

The bundle that is mutated is one of ours, as it is shipped.
"""

from __future__ import annotations

import json
import pathlib
import struct
from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import typer.testing
from safetensors import numpy as writer

from harness import errors
from harness.records import tensors
from harness.risk import layout
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import reading, submissions
from leaderboard.cli import commands

Files = dict[str, bytes]


def manifest(files: Files) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(files["bundle.json"])
    said.pop("files")
    return said


def signed(files: Files, **changes: Any) -> Files:
    return bundles.with_manifest(files, {**manifest(files), **changes})


def rewritten(files: Files, name: str, edit: Callable[[bytes], bytes]) -> Files:
    return signed({**files, name: edit(files[name])})


def records(edit: Callable[[dict[str, Any]], None], place: int = -1) -> Callable[[Files], Files]:
    """Edits one record of seed 0 and signs again."""

    def mutate(files: Files) -> Files:
        lines = [json.loads(line) for line in files["seed-0/records.jsonl"].decode().splitlines()]
        edit(lines[place])
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return signed({**files, "seed-0/records.jsonl": content})

    return mutate


def facts(**changes: Any) -> Callable[[Files], Files]:
    """Changes facts of seed 0 and signs again."""

    def mutate(files: Files) -> Files:
        said = {**json.loads(files["seed-0/run.json"]), **changes}
        return signed({**files, "seed-0/run.json": json.dumps(said).encode()})

    return mutate


def raw(name: str, content: bytes) -> Callable[[Files], Files]:
    """Puts another file in the place of one and signs again."""
    return lambda files: signed({**files, name: content})


def said(**changes: Any) -> Callable[[Files], Files]:
    return lambda files: signed(files, **changes)


def text_of(change: Callable[[dict[str, Any]], None]) -> Callable[[Files], Files]:
    """Changes bundle.json itself, its list of files too."""

    def mutate(files: Files) -> Files:
        whole = json.loads(files["bundle.json"])
        change(whole)
        return {**files, "bundle.json": json.dumps(whole).encode()}

    return mutate


def header(change: Callable[[dict[str, Any]], None]) -> Callable[[Files], Files]:
    """Changes the header of the states of seed 0 and signs again."""

    def mutate(files: Files) -> Files:
        content = files["seed-0/states.safetensors"]
        length = struct.unpack("<Q", content[:8])[0]
        entries = json.loads(content[8 : 8 + length])
        change(entries)
        new = json.dumps(entries).encode()
        return signed({**files, "seed-0/states.safetensors": struct.pack("<Q", len(new)) + new + content[8 + length :]})

    return mutate


def states(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Callable[[Files], Files]:
    """Changes the states of seed 0 and signs again."""

    def mutate(files: Files) -> Files:
        arrays = {name: array.copy() for name, array in writer.load(files["seed-0/states.safetensors"]).items()}
        return signed({**files, "seed-0/states.safetensors": writer.save(change(arrays))})

    return mutate


def spectrum(change: Callable[[dict[str, Any]], None]) -> Callable[[Files], Files]:
    def mutate(files: Files) -> Files:
        lines = [json.loads(line) for line in files["seed-0/spectra.jsonl"].decode().splitlines()]
        change(lines[0])
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return signed({**files, "seed-0/spectra.jsonl": content})

    return mutate


def traced(change: Callable[[dict[str, Any]], None], place: int = -1) -> Callable[[Files], Files]:
    """Edits one trace point of seed 0 and signs again."""

    def mutate(files: Files) -> Files:
        lines = [json.loads(line) for line in files["seed-0/trace.jsonl"].decode().splitlines()]
        change(lines[place])
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return signed({**files, "seed-0/trace.jsonl": content})

    return mutate


def one(name: str) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    def change(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        arrays["theta"][0, 0] = float(name)
        return arrays

    return change


def leaf(**changes: Any) -> dict[str, Any]:
    """A layout's entry that holds all 1066 parameters of the bundle, or one that is wrong."""
    return {"name": "dense/kernel", "shape": [26, 41], "offset": 0, **changes}


HOSTILE: dict[str, tuple[Callable[[Files], Files], str]] = {
    "no manifest": (lambda files: {k: v for k, v in files.items() if k != "bundle.json"}, "has no bundle.json"),
    "empty manifest": (lambda files: {**files, "bundle.json": b""}, "bundle.json is not JSON"),
    "a list": (lambda files: {**files, "bundle.json": b"[]"}, "bundle.json: "),
    "nan": (lambda files: {**files, "bundle.json": b'{"schema": NaN}'}, "which JSON does not have"),
    "1e999": (lambda files: {**files, "bundle.json": b'{"schema": 1e999}'}, "too large"),
    "deep": (lambda files: {**files, "bundle.json": b"[" * 100_000}, "nested too deeply|not JSON"),
    "key twice": (lambda files: {**files, "bundle.json": b'{"schema": 1, "schema": 1}'}, "has a key twice"),
    "huge integer": (lambda files: {**files, "bundle.json": b'{"schema": ' + b"9" * 6000 + b"}"}, "."),
    "not utf-8": (lambda files: {**files, "bundle.json": b"\xff\xfe"}, "bundle.json is not UTF-8"),
    "another schema": (said(schema=2), "has the schema 2; this version reads 1"),
    "schema true": (said(schema=True), "has the schema True"),
    "another suite": (said(suite="other"), "seed-0 is of suite"),
    "suite with a path": (said(suite="../x"), "bundle.json: suite"),
    "another cell": (said(cell_id="0" * 12), "seed-0 is of cell_id"),
    "another label": (said(label="x"), "seed-0 is of label"),
    "control characters": (said(label="a\x1b[31m"), "seed-0 is of label"),
    "a label of its own": (said(trust="replayed"), "trust: Extra inputs are not permitted"),
    "no seeds": (said(seeds=0), "bundle.json: seeds"),
    "many seeds": (said(seeds=10**9), "bundle.json: seeds"),
    "a seed less": (said(seeds=2), "is no file of a bundle of 2 seeds"),
    "a seed more": (said(seeds=4), "it has no seed-3/"),
    "a seed missing": (
        lambda files: signed({k: v for k, v in files.items() if not k.startswith("seed-2")}, seeds=2),
        "it holds 2 of the 3 seeds|together is not a list of seeds",
    ),
    "hash": (text_of(lambda whole: whole["files"]["cell.yaml"].update(sha256="0" * 64)), "its size or SHA-256 differs"),
    "size": (text_of(lambda whole: whole["files"]["cell.yaml"].update(bytes=1)), "its size or SHA-256 differs"),
    "file not there": (text_of(lambda whole: whole["files"].pop("cell.yaml")), "it has no cell.yaml"),
    "file elsewhere": (
        text_of(lambda whole: whole["files"].update({"../../x": whole["files"]["cell.yaml"]})),
        "is named in bundle.json or is there, not both",
    ),
    "edited file": (lambda files: {**files, "seed-0/records.jsonl": files["seed-0/records.jsonl"] + b"\n"}, "differs"),
    "truncated records": (
        lambda files: rewritten(files, "seed-0/records.jsonl", lambda content: content[:-40]),
        "records.jsonl line",
    ),
    "older": (records(lambda line: line["values"].pop("sigma_min_lower_error")), "seed-0 is of an older version"),
    "no records": (raw("seed-0/records.jsonl", b""), "seed-0 has no record"),
    "records of numbers": (raw("seed-0/records.jsonl", b"1\n2\n"), "is not {step, values}"),
    "yaml bomb": (raw("cell.yaml", b"a: &a [x]\nb: [*a, *a]\n"), "cell.yaml|anchors"),
    "yaml tag": (raw("cell.yaml", b"!!python/object/apply:os.system ['true']\n"), "tags"),
    "yaml twice": (lambda files: rewritten(files, "cell.yaml", lambda text: text + b"steps: 1\n"), "twice"),
    "another cell.yaml": (
        lambda files: rewritten(files, "cell.yaml", lambda text: text.replace(b"steps: 400", b"steps: 401")),
        "cell.yaml is not the cell",
    ),
    "step back": (records(lambda record: record.update(step=0)), "do not increase"),
    "huge step": (records(lambda record: record.update(step=10**18)), "less than or equal"),
    "step of text": (records(lambda record: record.update(step="400")), "not a whole number"),
    "unknown metric": (records(lambda record: record["values"].update(losss=1.0)), "unknown metric 'losss'.*'loss'"),
    "text for a number": (records(lambda record: record["values"].update(loss="low")), "is not a number"),
    "bool for a number": (records(lambda record: record["values"].update(loss=True)), "is not a number"),
    "huge number": (records(lambda record: record["values"].update(loss=10**400)), "too large"),
    "wrong id": (facts(run_id="0" * 12 + "-s0"), "run_id"),
    "status": (facts(status="excellent"), "status"),
    "negative seconds": (facts(seconds=-1.0), "seconds"),
    "unknown fact": (facts(label_of_trust="replayed"), "Extra inputs"),
    "together of text": (facts(together="01"), "together is not a list of seeds"),
    "no header": (raw("seed-0/states.safetensors", b""), "header is cut off"),
    "short header": (raw("seed-0/states.safetensors", struct.pack("<Q", 1 << 60)), "header is cut off or longer"),
    "header no json": (raw("seed-0/states.safetensors", struct.pack("<Q", 2) + b"[["), "header that is not JSON"),
    "header a list": (raw("seed-0/states.safetensors", struct.pack("<Q", 2) + b"[]"), "no mapping"),
    "header key twice": (
        raw("seed-0/states.safetensors", struct.pack("<Q", 14) + b'{"a":1,"a":2} '),
        "a key twice in its header",
    ),
    "wrong type": (header(lambda entries: entries["theta"].update(dtype="F16")), "has the type 'F16'"),
    "unhashable type": (header(lambda entries: entries["theta"].update(dtype=[])), "has the type"),
    "wrong shape": (header(lambda entries: entries["theta"].update(shape=[1, 2])), "has not the bytes"),
    "negative shape": (header(lambda entries: entries["theta"].update(shape=[-5, 7])), "no list of whole numbers"),
    "huge shape": (header(lambda entries: entries["theta"].update(shape=[1 << 50])), "no list of whole numbers"),
    "shape of shapes": (header(lambda entries: entries["theta"].update(shape=[1] * 99)), "no list of whole numbers"),
    "overlap": (header(lambda entries: entries["theta"].update(data_offsets=[0, 8])), "has not the bytes|belong to no"),
    "backwards": (header(lambda entries: entries["theta"].update(data_offsets=[8, 0])), "ends before it begins"),
    "hole": (
        lambda files: rewritten(files, "seed-0/states.safetensors", lambda content: content + b"\0" * 8),
        "belong to no array",
    ),
    "an array more": (states(lambda arrays: {**arrays, "code": arrays["theta"]}), "unknown array 'code'"),
    "no theta": (states(lambda arrays: {"step": arrays["step"]}), "does not hold `step` and `theta`"),
    "a row less": (states(lambda arrays: {**arrays, "step": arrays["step"][1:]}), "one row of each"),
    "steps back": (
        states(lambda arrays: {**arrays, "step": arrays["step"][::-1].copy()}),
        "steps that do not increase",
    ),
    "float64 for float32": (states(lambda arrays: {**arrays, "theta": arrays["theta"].astype("f8")}), "no theta of"),
    "a parameter less": (
        states(lambda arrays: {**arrays, "theta": np.ascontiguousarray(arrays["theta"][:, 1:])}),
        "no theta of",
    ),
    "nan parameter": (states(one("nan")), "not finite"),
    "infinite parameter": (states(one("inf")), "not finite"),
    "a state of no record": (states(lambda arrays: {**arrays, "step": arrays["step"] + 1}), "which has no record"),
    "layout of text": (facts(layout="x"), "layout is no list"),
    "a long layout": (facts(layout=[leaf()] * 1501), "layout is no list of 1500"),
    "layout of names": (facts(layout=["dense"]), "is not {name, shape, offset}"),
    "layout with more": (facts(layout=[leaf(dtype="F32")]), "is not {name, shape, offset}"),
    "layout with a path": (facts(layout=[leaf(name="../kernel")]), "has the name '../kernel'"),
    "layout with a long name": (facts(layout=[leaf(name="a" * 500)]), "has the name"),
    "layout out of order": (facts(layout=[leaf(shape=[26]), leaf(name="dense/bias")]), "has the name 'dense/bias'"),
    "layout of one twice": (facts(layout=[leaf(), leaf(offset=1066)]), "none or not in order"),
    "layout of no shape": (facts(layout=[leaf(shape=[26, -41])]), "no list of whole numbers"),
    "layout of true": (facts(layout=[leaf(shape=[True, 1066])]), "no list of whole numbers"),
    "layout with a hole": (facts(layout=[leaf(offset=1)]), "does not begin where"),
    "layout of another": (facts(layout=[leaf(shape=[26, 40])]), "is of 1040 parameters, not of 1066"),
    "huge layout": (facts(layout=[leaf(shape=[1 << 39] * 8)]), "parameters, not of 1066"),
    "metadata of numbers": (header(lambda entries: entries.update(__metadata__={"layout": 1})), "no mapping of texts"),
    "metadata a list": (header(lambda entries: entries.update(__metadata__=[])), "no mapping of texts"),
    "unknown metadata": (header(lambda entries: entries.update(__metadata__={"x": ""})), "the unknown metadata 'x'"),
    "metadata no json": (header(lambda entries: entries.update(__metadata__={"layout": "[["})), "is not JSON"),
    "metadata alone": (
        header(lambda entries: entries.update(__metadata__={"layout": json.dumps([leaf()])})),
        "says another layout than run.json",
    ),
    "trace of text": (raw("seed-0/trace.jsonl", b"x\n"), "trace.jsonl line 1 is not JSON"),
    "trace of a list": (raw("seed-0/trace.jsonl", b"[]\n"), "line 1 is no trace point"),
    "trace with a key more": (traced(lambda point: point.update(code="x")), "the unknown key 'code'"),
    "trace with a key less": (traced(lambda point: point.pop("eta")), "is no trace point"),
    "trace of another width": (traced(lambda point: point["values"].pop()), "eigenvalues and error bars"),
    "trace that ascends": (traced(lambda point: point["values"].insert(0, point["values"].pop())), "do not descend"),
    "trace with a bar below 0": (traced(lambda point: point["errors"].__setitem__(0, -1.0)), "an error bar below 0"),
    "trace without a step size": (traced(lambda point: point.update(eta=0.0)), "has no step size"),
    "trace twice": (traced(lambda point: point.update(step=0)), "no trace point of its own"),
    "trace behind the end": (traced(lambda point: point.update(step=10**9)), "goes on behind its last record"),
    "trace of a huge number": (traced(lambda point: point.update(loss=10**400)), "too large"),
    "trace that missed half": (traced(lambda point: point.update(missed=0.5)), "a count that is no whole number"),
    "trace that missed a word": (traced(lambda point: point.update(least_missed="no")), "neither true nor false"),
    "steps without a header": (raw("seed-0/steps.csv", b"0,1.0,1.0\n"), "does not begin with its header"),
    "steps of words": (raw("seed-0/steps.csv", b"step,loss,grad_norm\n0,low,1.0\n"), "not a step and two numbers"),
    "steps of nan": (raw("seed-0/steps.csv", b"step,loss,grad_norm\n0,nan,1.0\n"), "not a step and two numbers"),
    "seen steps back": (raw("seed-0/steps.csv", b"step,loss,grad_norm\n1,1,1\n0,1,1\n"), "steps that do not increase"),
    "steps of more columns": (raw("seed-0/steps.csv", b"step,loss,grad_norm\n1,1,1,1\n"), "a step and two numbers"),
    "spectrum of text": (spectrum(lambda line: line.update(values="x")), "is no spectrum"),
    "spectrum unsorted": (spectrum(lambda line: line.update(values=line["values"][::-1])), "is no spectrum of"),
    "spectrum short": (spectrum(lambda line: line.update(values=line["values"][:5])), "is no spectrum of"),
    "spectrum of another": (spectrum(lambda line: line.update(parameters=5)), "is no spectrum of"),
    "spectrum nested": (spectrum(lambda line: line.update(values=[line["values"]])), "is no spectrum"),
    "spectrum step": (spectrum(lambda line: line.update(step=5)), "which has no record|or a spectrum already"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_bundle_is_refused_in_one_line(name: str, files: Files, tmp_path: pathlib.Path) -> None:
    mutate, message = HOSTILE[name]
    mutated = mutate(files)
    with pytest.raises(ValueError, match=message) as caught:
        reading.parse(mutated)
    assert "\n" not in str(caught.value)
    folder = tmp_path / "b"
    submissions.write(mutated, folder)
    with pytest.raises(errors.Rejected, match="rejected") as rejected:
        reading.read(folder)
    assert "\n" not in str(rejected.value) and len(str(rejected.value)) < 600
    assert all(character.isprintable() for character in str(rejected.value))


def test_a_run_that_asks_for_a_trace_and_has_none_is_one_without(files: Files) -> None:
    own = {name: content for name, content in files.items() if not name.endswith(("trace.jsonl", "steps.csv"))}
    assert len(own) < len(files) and reading.parse(files).runs[0].trace is not None
    read = reading.parse(signed(own))
    assert [run.trace for run in read.runs] == [None] * 3 and read.traces == {0: [], 1: [], 2: []}


def test_a_layout_is_read_where_there_is_one(files: Files) -> None:
    bare = {name: content for name, content in files.items()}
    for seed in range(3):
        bare = _without_layout(bare, seed)
    assert reading.parse(bare).layouts == {0: (), 1: (), 2: ()}
    said = facts(layout=[leaf()])(bare)
    both = header(lambda entries: entries.update(__metadata__={"layout": json.dumps([leaf()])}))(said)
    for known in (said, both):
        assert reading.parse(known).layouts[0] == (layout.Leaf("dense/kernel", (26, 41), 0),)


def _without_layout(files: Files, seed: int) -> Files:
    """The bundle as one of before layouts: a run and its states say nothing of it."""
    said = json.loads(files[f"seed-{seed}/run.json"])
    said.pop("layout", None)
    arrays = writer.load(files[f"seed-{seed}/states.safetensors"])
    changed = {
        f"seed-{seed}/run.json": json.dumps(said).encode(),
        f"seed-{seed}/states.safetensors": writer.save(arrays),
    }
    return signed({**files, **changed})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
EXAMPLES = 200


def _fuzzed(data: st.DataObject, files: Files) -> Files:
    """A bundle with something in it changed: a value anywhere in a JSON file, or bytes of any file; signed or not."""
    name = data.draw(st.sampled_from(sorted(files)))
    content = files[name]
    if name.endswith("json") and data.draw(st.booleans()):
        whole = json.loads(content)
        node, key = whole, data.draw(st.sampled_from(sorted(whole)))
        while isinstance(node[key], dict) and node[key] and data.draw(st.booleans()):
            node = node[key]
            key = data.draw(st.sampled_from(sorted(node)))
        node[key] = data.draw(JSON)
        content = json.dumps(whole).encode("utf-8", "surrogatepass")
    else:
        place = data.draw(st.integers(0, len(content)))
        junk = data.draw(st.binary(max_size=12))
        content = content[:place] + junk + content[place + data.draw(st.integers(0, 12)) :]
    changed = {**files, name: content}
    if name != "bundle.json" and data.draw(st.booleans()):
        return signed(changed)
    return changed


def fuzz(files: Files, folder: pathlib.Path, examples: int) -> None:
    """Bundles changed at random are read by the command: exit code 0 or 3, one line, nothing written."""

    @hypothesis.settings(max_examples=examples, deadline=None, database=None)
    @hypothesis.given(st.data())
    def each(data: st.DataObject) -> None:
        target = folder / "b"
        submissions.write(_fuzzed(data, files), target)
        before = sorted(folder.rglob("*"))
        runner = typer.testing.CliRunner()
        done = runner.invoke(commands.app, ["verify", str(target), "--to", "reported"])
        assert done.exit_code in (errors.EXIT_DONE, errors.EXIT_REJECTED), (done.output, done.exception)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert sorted(folder.rglob("*")) == before

    each()


def test_fuzzed_bundles_end_in_a_line(files: Files, tmp_path: pathlib.Path) -> None:
    fuzz(files, tmp_path, EXAMPLES)


@pytest.mark.slow
def test_more_fuzzed_bundles_end_in_a_line(files: Files, tmp_path: pathlib.Path) -> None:
    fuzz(files, tmp_path, 10 * EXAMPLES)


@hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None)
@hypothesis.given(st.binary(max_size=200))
def test_any_bytes_are_no_safetensors_or_are(content: bytes) -> None:
    for candidate in (content, struct.pack("<Q", len(content)) + content):
        try:
            tensors.metadata(candidate, "x")
            tensors.states(tensors.load(candidate, "x"), "x")
        except ValueError:
            continue


@pytest.mark.slow
def test_a_byte_changed_anywhere_is_noticed(files: Files) -> None:
    """The manifest names every byte: of 500 places, one in each file at least, each change is refused."""
    names = sorted(set(files) - {"bundle.json"})
    random = np.random.default_rng(0)
    for number in range(500):
        name = names[number % len(names)]
        content = bytearray(files[name])
        content[random.integers(len(content))] ^= 1 << random.integers(8)
        with pytest.raises(ValueError, match="its size or SHA-256 differs"):
            reading.parse({**files, name: bytes(content)})
