# SPDX-License-Identifier: Apache-2.0
"""Preparing stored sets: every builder on small made-up files in upstream's format, and all that can go wrong."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import pathlib
import socket
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import PIL.Image
import pytest
import scipy.io
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums

from harness import data, errors
from harness.data import cifar, idx, imagenette, preparation, stock, svhn

Part = Callable[..., Any]
RANDOM = np.random.default_rng(0)


# Files in upstream's format, with checksums of their own


def idx_file(array: np.ndarray) -> bytes:
    """Returns a gzipped idx file of unsigned bytes."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def tar_file(members: dict[str, bytes]) -> bytes:
    """Returns a gzipped tar archive."""
    handle = io.BytesIO()
    with tarfile.open(fileobj=handle, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return handle.getvalue()


def matlab_file(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Returns a MATLAB file as SVHN has them: X (H, W, C, N) and y (N, 1), where the digit 0 is a 10."""
    handle = io.BytesIO()
    scipy.io.savemat(handle, {"X": np.moveaxis(images, 0, -1), "y": np.where(labels == 0, 10, labels)[:, None]})
    return handle.getvalue()


def jpeg(colour: int, mode: str = "RGB", size: tuple[int, int] = (24, 18)) -> bytes:
    """Returns a JPEG file of one colour."""
    handle = io.BytesIO()
    PIL.Image.new(mode, size, colour if mode == "L" else (colour, colour, colour)).save(handle, "jpeg")
    return handle.getvalue()


def publish(
    folder: pathlib.Path, files: dict[str, bytes], urls: dict[str, Any], patch: pytest.MonkeyPatch, cls: Any
) -> None:
    """Writes files into a folder and registers their checksums, as if upstream had published them."""
    folder.mkdir(exist_ok=True)
    infos = {}
    for url, known in urls.items():
        content = files[known.filename]
        (folder / known.filename).write_bytes(content)
        infos[url] = checksums.UrlInfo(
            tfds.core.utils.Size(len(content)), hashlib.sha256(content).hexdigest(), known.filename
        )
    patch.setattr(cls, "url_infos", infos)


@pytest.fixture
def sized(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, int], None]:
    """Changes what a row says of the size of its set."""

    def change(name: str, train: int, test: int) -> None:
        row = dataclasses.replace(data.DATASETS[name], train_examples=train, test_examples=test)
        monkeypatch.setitem(data.DATASETS, name, row)

    return change


def multiset(images: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    """Returns images with their labels, in an order of their own."""
    pairs = zip(np.asarray(images).astype(np.uint8), labels.tolist(), strict=True)
    return sorted((image.tobytes(), int(label)) for image, label in pairs)


Sized = Callable[[str, int, int], None]


@pytest.mark.parametrize("name", ["mnist", "kmnist"])
def test_idx_sets(
    name: str, home: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, sized: Sized, part: Part
) -> None:
    made, files = {}, {}
    for split, size in (("train", 30), ("test", 12)):
        made[split] = RANDOM.integers(256, size=(size, 28, 28)), RANDOM.integers(10, size=size)
        files |= dict(zip(idx.FILES[split], map(idx_file, made[split]), strict=True))
    cls = idx.BUILDERS[name]
    publish(tmp_path / "files", files, cls.url_infos, monkeypatch, cls)
    sized(name, 30, 12)
    data.prepare(name, tmp_path / "files")
    for split, (images, labels) in made.items():
        arrays = data.load(part(name=name, split=split))
        assert multiset(arrays.x * 255, arrays.targets.argmax(1)) == multiset(images, labels)
    assert arrays.licence == data.DATASETS[name].licence
    assert arrays.citation.startswith("@")


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_sets(
    name: str, classes: int, home: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch,
    sized: Sized, part: Part,
) -> None:  # fmt: skip
    cls = cifar.BUILDERS[name]
    known = cls(data_dir=tmp_path)._cifar_info
    images, labels = RANDOM.integers(256, size=(40, 32, 32, 3)), RANDOM.integers(classes, size=40)
    coarse = [labels // 5] if name == "cifar100" else []
    pixels = images.transpose(0, 3, 1, 2).reshape(40, -1)  # red, green, blue, each row by row
    rows = np.concatenate([np.stack([*coarse, labels], axis=1), pixels], axis=1).astype(np.uint8)
    parts = np.split(rows[:30], len(known.train_files))
    members = dict(zip(known.train_files, parts, strict=True)) | {known.test_files[0]: rows[30:]}
    contents = {file: part_.tobytes() for file, part_ in members.items()}
    for key, file in zip(known.label_keys, known.label_files, strict=True):
        count = 20 if key == "coarse_label" else classes
        contents[file] = "".join(f"name_{i}\n" for i in range(count)).encode() + b"\n"
    archive = tar_file({"./outside": b"no", **{known.prefix + file: content for file, content in contents.items()}})
    publish(tmp_path / "files", {f"{pathlib.Path(known.url).name}": archive}, cls.url_infos, monkeypatch, cls)
    sized(name, 30, 10)
    data.prepare(name, tmp_path / "files")
    train, test = (data.load(part(name=name, split=split)) for split in ("train", "test"))
    assert multiset(train.x * 255, train.targets.argmax(1)) == multiset(images[:30], labels[:30])
    assert multiset(test.x * 255, test.targets.argmax(1)) == multiset(images[30:], labels[30:])
    records = preparation.prepared(name).as_data_source(split="train").__getitems__(list(range(30)))
    assert sorted(str(record["id"]) for record in records)[0].endswith("train_00000'")
    assert preparation.prepared(name).info.features["label"].names[3] == "name_3"


def test_a_cut_off_archive_member_is_refused() -> None:
    whole = bytes(range(1)) + bytes(3072)
    assert len(list(cifar.examples(whole * 3, ["label"], "train_"))) == 3
    with pytest.raises(ValueError, match="reshape"):
        list(cifar.examples(whole * 3 + b"x", ["label"], "train_"))


def test_svhn(
    home: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, sized: Sized, part: Part
) -> None:
    made = {split: (RANDOM.integers(256, size=(n, 32, 32, 3)).astype(np.uint8), RANDOM.integers(10, size=n))
            for split, n in (("train", 20), ("test", 8), ("extra", 5))}  # fmt: skip
    files = {f"{split}_32x32.mat": matlab_file(*pair) for split, pair in made.items()}
    publish(tmp_path / "files", files, svhn.SvhnCropped.url_infos, monkeypatch, svhn.SvhnCropped)
    sized("svhn_cropped", 20, 8)
    data.prepare("svhn_cropped", tmp_path / "files")
    for split in ("train", "test"):
        arrays = data.load(part(name="svhn_cropped", split=split))
        assert multiset(arrays.x * 255, arrays.targets.argmax(1)) == multiset(*made[split])
    assert preparation.prepared("svhn_cropped").info.splits["extra"].num_examples == 5


@pytest.mark.parametrize("variant", ["", "/160px"])
def test_imagenette(
    variant: str, home: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, sized: Sized, part: Part
) -> None:
    folder, archive = (
        ("imagenette2-320", "imagenette2-320.tgz") if not variant else ("imagenette-160", "imagenette-160.tgz")
    )
    names = tfds.builder_cls("imagenette")(data_dir=tmp_path).info.features["label"].names
    members = {f"{folder}/train/{names[i % 10]}/t{i}.JPEG": jpeg(20 * i) for i in range(12)}
    members |= {
        f"{folder}/train/{names[3]}/grey.JPEG": jpeg(250, "L", (10, 40)),
        f"{folder}/train/{names[3]}/n.csv": b"no image",
    }
    members |= {f"{folder}/val/{names[i]}/v{i}.JPEG": jpeg(10 * i) for i in range(5)}
    publish(tmp_path / "files", {archive: tar_file(members)}, {
        f"{imagenette.HOST}{archive}": checksums.UrlInfo(tfds.core.utils.Size(1), "", archive)
    }, monkeypatch, imagenette.Imagenette)  # fmt: skip
    sized("imagenette", 13, 5)
    data.prepare(f"imagenette{variant}", tmp_path / "files")
    fields = {"name": "tfds", "dataset": "imagenette/160px"} if variant else {"name": "imagenette"}
    train, test = (data.load(part(**fields, split=split, resize=8)) for split in ("train", "test"))
    assert train.x.shape == (13, 8, 8, 3)
    assert test.x.shape == (5, 8, 8, 3), "validation stands in for test"
    expected = sorted([(20 * i, i % 10) for i in range(12)] + [(250, 3)])
    found = sorted(zip(np.rint(train.x.mean((1, 2, 3)) * 255).astype(int), train.targets.argmax(1), strict=True))
    assert [label for _, label in found] == [label for _, label in expected]
    assert np.abs(np.array(found) - np.array(expected)).max() <= 1, "JPEG keeps one colour to a level"
    some = data.load(part(**fields, examples=4, resize=8))
    assert np.array_equal(some.x, train.x[:4])


# Any other set of tensorflow-datasets


class TinyShapes(tfds.core.GeneratorBasedBuilder):
    """A made-up set that the tests register: 9 coloured images of different sizes, 3 classes, no test split."""

    VERSION = tfds.core.Version("1.2.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(num_classes=3)}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), license="CC0", citation="Nobody, 2026"
        )

    def _split_generators(self, _manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for i in range(9):
            yield i, {"image": PIL.Image.new("RGB", (6 + i, 9), (25 * i, 0, 0)), "label": i % 3}


class TinyTables(TinyShapes):
    """A made-up set whose builder imports what is not installed."""

    def _split_generators(self, _manager: Any) -> dict[str, Any]:
        raise ModuleNotFoundError("No module named 'tensorflow'")


@pytest.fixture
def registered() -> Iterator[None]:
    """Lets the names of the made-up sets be found."""
    stock.names.cache_clear()
    yield
    stock.names.cache_clear()


@pytest.mark.usefixtures("registered")
def test_any_other_set_by_its_name(home: pathlib.Path, part: Part) -> None:
    fields = {"name": "tfds", "dataset": "tiny_shapes", "resize": 4}
    assert [path for path, _ in data.conflicts(part(**fields))] == [("examples",)], "its size is not known"
    assert not data.at_hand(part(**fields))
    data.prepare("tiny_shapes")
    assert not list(data.conflicts(part(**fields)))
    assert data.facts(part(**fields))[1:] == ("classification", (4, 4, 3), 3, 9, "train", "CC0")
    arrays = data.load(part(**fields))
    assert sorted(np.rint(arrays.x[:, 0, 0, 0] * 255).astype(int)) == [25 * i for i in range(9)]
    assert (arrays.licence, arrays.citation, arrays.version) == ("CC0", "Nobody, 2026", "1.2.0")
    assert [text for _, text in data.conflicts(part(**fields, examples=10))] == [
        "10 is not allowed; allowed: at most 9, the training examples of tiny_shapes"
    ]
    (conflict,) = data.conflicts(part(**fields, examples=3, split="test"))
    assert conflict == (("split",), "'test' is not allowed; allowed: train, which tiny_shapes has")


@pytest.mark.usefixtures("registered")
def test_a_builder_that_needs_tensorflow_says_so(home: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match="'tiny_tables' cannot be prepared here.*pip install 'gdzoo.tf.'"):
        data.prepare("tiny_tables")
    assert not list((home / "data" / "tiny_tables").iterdir())
    with pytest.raises(errors.InputError, match="'coco' cannot be prepared here: its builder needs a package"):
        data.prepare("coco")


# No network, nothing prepared


def test_a_set_that_needs_the_network_says_three_ways_out(home: pathlib.Path, part: Part) -> None:
    with pytest.raises(errors.InputError) as refused:
        data.load(part(name="fashion_mnist", examples=3))
    assert str(refused.value) == (
        f"data set 'fashion_mnist' is not in {home / 'data'} and needs a download of 30 MiB from "
        "fashion-mnist.s3-website.eu-central-1.amazonaws.com. Three ways out: say `gdzoo data prepare fashion_mnist` "
        "on a machine with a network and copy that folder here; put the files in a folder and say "
        "`gdzoo data prepare fashion_mnist --from FOLDER`; or choose a data set that needs no network: digits, "
        "file, gaussian_classes, linear_teacher, random_labels, modular_addition, parity, point, points, paper_pair"
    )
    assert not (home / "data").exists(), "asking writes nothing"


def test_another_set_says_where_it_comes_from_too(home: pathlib.Path, part: Part) -> None:
    with pytest.raises(
        errors.InputError, match="'imagenette/160px' is not in .* needs a download of 94 MiB .* from s3"
    ):
        data.load(part(name="tfds", dataset="imagenette/160px", examples=3, resize=8))


@pytest.mark.parametrize("name", [n for n, row in data.DATASETS.items() if row.download and n != "tfds"] + ["stl10"])
def test_preparing_without_a_network_fails_at_once_and_leaves_nothing(
    name: str, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append((address[0], timeout))
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(errors.InputError, match=r"cannot be reached \(Network is unreachable\)"):
        data.prepare(name)
    ((host, timeout),) = asked
    assert timeout <= 3
    assert name not in data.DATASETS or data.DATASETS[name].download[0] == host
    assert not (home / "data" / name).exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fashon_mnist", "'fashon_mnist' is not allowed; allowed: the names of tensorflow-datasets; did you mean "
         "'fashion_mnist'?"),
        ("imagenette/80px", "'imagenette/80px' is not allowed; allowed: imagenette/full-size-v2, imagenette/320px-v2"),
        ("mnist/x", "'mnist/x' is not allowed; allowed: mnist"),
        ("tfds", "'tfds' is not allowed; allowed: the names of tensorflow-datasets"),
        ("point", "data set 'point' is generated whenever it is used: there is nothing to prepare"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_prepared(name: str, message: str, home: pathlib.Path) -> None:
    with pytest.raises(errors.InputError) as refused:
        data.prepare(name)
    assert str(refused.value).startswith(message)


def test_records_that_only_tensorflow_reads_are_named(home: pathlib.Path, part: Part) -> None:
    data.load(part(name="digits", examples=3))
    info = home / "data" / "digits" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    with pytest.raises(errors.InputError, match="in a format that only TensorFlow reads .* TFDS_DATA_DIR"):
        data.load(part(name="digits", examples=3))


def test_a_preparation_that_was_cut_off_is_begun_anew(
    home: pathlib.Path, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.data import digits

    whole = digits._examples

    def cut_off(first: int, last: int) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from whole(first, first + 40)
        raise KeyboardInterrupt

    monkeypatch.setattr(digits, "_examples", cut_off)
    with pytest.raises(KeyboardInterrupt):
        data.load(part(name="digits"))
    assert not (home / "data" / "digits" / "1.0.0").exists()
    monkeypatch.setattr(digits, "_examples", whole)
    assert len(data.load(part(name="digits")).x) == 1500


def test_lost_records_are_noticed(home: pathlib.Path, part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    made = preparation.prepared("digits")
    (records,) = pathlib.Path(made.data_dir).glob("digits-test*")
    (longer,) = pathlib.Path(made.data_dir).glob("digits-train*")
    longer.write_bytes(records.read_bytes())
    with pytest.raises(AssertionError, match="297 of 1500 records of train were written"):
        preparation._count(made)


def test_a_folder_that_cannot_be_written_to_is_named(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, part: Part
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("TFDS_DATA_DIR", str(home / "file" / "data"))
    with pytest.raises(errors.InputError, match="file/data cannot be written to .* TFDS_DATA_DIR"):
        data.load(part(name="digits", examples=3))


def test_processes_that_arrive_together_write_it_once(home: pathlib.Path) -> None:
    code = (
        "import os; from harness import data; from harness.data import preparation;"
        "made = preparation.prepare('digits');"
        "print(os.stat(made.data_dir).st_ino)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {process.communicate(timeout=120)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert folders == {f"{(home / 'data' / 'digits' / '1.0.0').stat().st_ino}\n"}
