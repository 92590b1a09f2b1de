# SPDX-License-Identifier: Apache-2.0
"""The real Fashion-MNIST, all 70,000 images, prepared from Debian's files by tensorflow-datasets without a network."""

from __future__ import annotations

import collections
import gzip
import hashlib
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness import data, errors
from harness.data import idx, preparation

Part = Callable[..., Any]

# Of the files that upstream published, as tensorflow-datasets has registered them.
UPSTREAM = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


@pytest.mark.parametrize("name", UPSTREAM)
def test_debians_files_become_upstreams_byte_for_byte(name: str, package: pathlib.Path) -> None:
    restored = preparation.upstream(package / name)
    assert restored is not None
    assert hashlib.sha256(restored).hexdigest() == UPSTREAM[name]
    assert gzip.decompress(restored) == gzip.decompress((package / name).read_bytes())


def raw(package: pathlib.Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns images (N, 28, 28) and labels (N,) of the idx files, read by hand: 16 or 8 bytes of header, pixels."""
    images, labels = (gzip.decompress((package / name).read_bytes()) for name in idx.FILES[split])
    return np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28), np.frombuffer(labels, np.uint8, offset=8)


@pytest.mark.parametrize(("split", "size"), [pytest.param("train", 60000, marks=pytest.mark.thorough), ("test", 10000)])
def test_all_images_are_there_with_their_labels(
    split: str, size: int, fashion: pathlib.Path, package: pathlib.Path, part: Part
) -> None:
    arrays = data.load(part(name="fashion_mnist", split=split))
    assert arrays.x.shape == (size, 28, 28, 1)
    assert arrays.targets.sum(0).tolist() == [size / 10] * 10
    images, labels = raw(package, split)
    ours = np.rint(arrays.x[..., 0] * 255).astype(np.uint8)
    assert np.array_equal(ours / 255.0, arrays.x[..., 0])
    found = collections.Counter(zip(map(bytes, ours.reshape(size, -1)), arrays.targets.argmax(1).tolist(), strict=True))
    assert found == collections.Counter(zip(map(bytes, images.reshape(size, -1)), labels.tolist(), strict=True))


def test_records_come_from_the_idx_files_in_their_order(package: pathlib.Path) -> None:
    images, labels = raw(package, "test")
    records = idx.examples(*(package / name for name in idx.FILES["test"]))
    for (key, record), position in zip(records, range(100), strict=False):
        assert key == position
        assert np.array_equal(np.asarray(record["image"]), images[position])
        assert record["label"] == labels[position]


def test_licence_citation_and_version_travel_with_the_arrays(fashion: pathlib.Path, part: Part) -> None:
    arrays = data.load(part(name="fashion_mnist", examples=5))
    assert (arrays.licence, arrays.version) == ("MIT", "3.0.1")
    assert "Han Xiao" in arrays.citation
    assert data.at_hand(part(name="fashion_mnist"))


def test_the_fingerprints_of_the_real_images_are_these(fashion: pathlib.Path, part: Part) -> None:
    """Order, pixels, labels, resizing: anything that changes a number changes these, on every machine."""
    assert (
        data.load(part(name="fashion_mnist", examples=100)).sha256
        == "e6745b8a3c66e6097960a3d947b5eca685cc133b0d2fc960cf71b3cf8f48b41f"
    )
    chosen = part(name="fashion_mnist", examples=100, subset={"balanced": 7}, resize=16)
    assert data.load(chosen).sha256 == "034c5dbcf694a7c33a7bafe16fb21e61e62f15c2cf390a5e29abb4931b9ec0ac"


def test_a_balanced_standardised_half_size_subset(fashion: pathlib.Path, part: Part) -> None:
    fields = {"name": "fashion_mnist", "examples": 203, "resize": 14, "standardise": True}
    arrays, again, other = (data.load(part(**fields, subset={"balanced": seed})) for seed in (1, 1, 2))
    assert arrays.targets.sum(0).tolist() == [21.0] * 3 + [20.0] * 7
    assert arrays.x.shape == (203, 14, 14, 1)
    assert abs(arrays.x.mean()) < 1e-13 and abs(arrays.x.std() - 1) < 1e-13
    assert arrays.sha256 == again.sha256 != other.sha256


def test_the_stock_builder_reads_what_ours_wrote_and_tensorflow_is_never_loaded(fashion: pathlib.Path) -> None:
    code = (
        "import sys, numpy, pydantic, tensorflow_datasets as tfds;"
        "from harness import data; from harness.config import data as config;"
        "part = {'name': 'fashion_mnist', 'examples': 50};"
        "ours = data.load(pydantic.TypeAdapter(config.Data).validate_python(part));"
        f"builder = tfds.builder('fashion_mnist', data_dir={str(fashion)!r}, file_format='array_record');"
        "assert type(builder).__module__.startswith('tensorflow_datasets');"
        "theirs = builder.as_data_source(split='train').__getitems__(list(range(50)));"
        "assert all((a * 255 == b['image']).all() for a, b in zip(ours.x, theirs, strict=True));"
        "assert ours.targets.argmax(1).tolist() == [int(b['label']) for b in theirs];"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Files that are not what they should be


@pytest.fixture
def copies(package: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with links to Debian's files, to be spoilt."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name in UPSTREAM:
        (folder / name).symlink_to(package / name)
    return folder


def spoil(path: pathlib.Path, how: Callable[[bytearray], bytes | bytearray]) -> None:
    """Replaces a file by what `how` makes of its bytes."""
    found = how(bytearray(path.read_bytes()))
    path.unlink()
    path.write_bytes(found)


def flip(found: bytearray) -> bytearray:
    """Returns bytes with one bit changed, in the middle of the compressed data."""
    found[len(found) // 2] ^= 16
    return found


@pytest.mark.parametrize(
    "how", [flip, lambda found: found[:-1000], lambda found: b"", lambda found: b"not these"],
    ids=["flipped", "truncated", "empty", "another"],
)  # fmt: skip
def test_a_damaged_file_is_named_and_nothing_is_written(
    how: Callable[[bytearray], bytes], home: pathlib.Path, copies: pathlib.Path, part: Part
) -> None:
    spoil(copies / "train-labels-idx1-ubyte.gz", how)
    with pytest.raises(errors.InputError) as refused:
        data.prepare("fashion_mnist", copies)
    message = str(refused.value)
    assert message.startswith(f"{copies / 'train-labels-idx1-ubyte.gz'} has the wrong checksum: SHA-256 ")
    assert UPSTREAM["train-labels-idx1-ubyte.gz"] in message
    assert not (home / "data" / "fashion_mnist").exists()
    assert not data.at_hand(part(name="fashion_mnist"))


def test_tensorflow_datasets_validates_too(
    home: pathlib.Path, copies: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(copies / "train-labels-idx1-ubyte.gz", flip)
    monkeypatch.setattr(preparation, "_check", lambda *_arguments: None)
    with pytest.raises(errors.InputError, match="'fashion_mnist' could not be prepared: .*has wrong checksum"):
        data.prepare("fashion_mnist", copies)
    assert not list((home / "data" / "fashion_mnist").iterdir())


def test_a_missing_file_is_named(home: pathlib.Path, copies: pathlib.Path) -> None:
    (copies / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(errors.InputError, match=f"needs t10k-images-idx3-ubyte.gz, which {copies} does not have"):
        data.prepare("fashion_mnist", copies)
    with pytest.raises(errors.InputError, match=f"--from {copies / 'none'} is not a folder"):
        data.prepare("fashion_mnist", copies / "none")


def test_what_is_prepared_stays_as_it_is(fashion: pathlib.Path, copies: pathlib.Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (fashion / "fashion_mnist").rglob("*array_record*")}
    spoil(copies / "train-labels-idx1-ubyte.gz", flip)
    data.prepare("fashion_mnist", copies)  # nothing is read, as nothing need be written
    assert {path: path.stat().st_mtime_ns for path in (fashion / "fashion_mnist").rglob("*array_record*")} == before
