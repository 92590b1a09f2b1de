# SPDX-License-Identifier: Apache-2.0
"""Preparing stored sets: what must come from the network or from a folder is checked and written once, whole."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib
import io
import logging
import pathlib
import socket
import struct
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from harness import errors, workspace
from harness.data.table import DATASETS

PACKAGED = {
    "train-images-idx3-ubyte.gz": 1504176606,
    "train-labels-idx1-ubyte.gz": 1504176606,
    "t10k-images-idx3-ubyte.gz": 1504176627,
    "t10k-labels-idx1-ubyte.gz": 1504176627,
}
"""The files of Debian's dataset-fashion-mnist, with the time (Unix seconds) that it took out of their headers."""

NO_NAME = b"\x1f\x8b\x08\x00"
NAMED = b"\x1f\x8b\x08\x08"


def builder(name: str) -> Any:
    """Returns the tensorflow-datasets builder of a stored set; its chatter is kept off the terminal.

    Args:
        name: A name in DATASETS, or one of tensorflow-datasets, with or without `/variant`.

    Raises:
        errors.InputError: If the name is not known, or what is on disk can be read with TensorFlow only.
    """
    from harness.data import stock

    logging.getLogger("absl").setLevel(logging.ERROR)
    if DATASETS.get(name, DATASETS["tfds"]) is DATASETS["tfds"]:
        stock.check(name)
    row = DATASETS.get(name.partition("/")[0], DATASETS["tfds"])
    module = importlib.import_module(row.module)
    try:
        with _quiet():
            return module.builder(name, workspace.data())
    except errors.InputError:
        raise
    except Exception as error:  # what reads the description of a set raises what it likes
        if "File format" not in str(error):
            if (folder := workspace.data() / name).is_dir():
                raise damaged(name, folder, errors.first_line(error) or type(error).__name__) from error
            raise
        raise errors.InputError(
            f"data set '{name}' in {workspace.data()} is written in a format that only TensorFlow reads ({error}); "
            "name another folder with TFDS_DATA_DIR"
        ) from error


def damaged(name: str, folder: pathlib.Path, why: object) -> errors.InputError:
    """Returns the error of a stored set that was cut off while it was written, or is damaged."""
    return errors.InputError(
        f"data set '{name}' in {folder} cannot be read ({why}): delete that folder and say `gdzoo data prepare {name}`"
    )


def at_hand(name: str) -> bool:
    """Tells whether a stored set is prepared, or can be without a network.

    Raises:
        errors.InputError: If the name is not known.
    """
    row = DATASETS.get(name)
    return (row is not None and row.download is None) or bool(builder(name).is_prepared())


def prepared(name: str) -> Any:
    """Returns the builder of a stored set that is ready to be read; prepares it if that needs no network.

    Raises:
        errors.InputError: If it needs the network and was not prepared.
    """
    made = builder(name)
    if made.is_prepared():
        return made
    if (row := DATASETS.get(name)) and row.download is None:
        return prepare(name)
    raise errors.InputError(
        f"data set '{name}' is not in {workspace.data()} and {_needs(name, made)}. Three ways out: "
        f"say `gdzoo data prepare {name}` on a machine with a network and copy that folder here; put the files in a "
        f"folder and say `gdzoo data prepare {name} --from FOLDER`; or choose a data set that needs no network: "
        + ", ".join(key for key, row in DATASETS.items() if row.download is None)
    )


def _needs(name: str, made: Any) -> str:
    """Returns in words what must come from where."""
    row = DATASETS.get(name)
    if row is not None and row.download is not None:
        host, size = row.download
    elif made.url_infos:
        host = _host(next(iter(made.url_infos)))
        size = f"{max(1, sum(int(each.size) for each in made.url_infos.values()) >> 20)} MiB at most"
    else:
        return "must be prepared"
    return f"needs a download of {size} from {host}"


def prepare(name: str, source_dir: pathlib.Path | None = None) -> Any:
    """Writes a stored set's files under `workspace.data()`, once, and returns its builder.

    What was cut off leaves nothing that is read; two processes that arrive together write it once.

    Args:
        name: A name in DATASETS, or one of tensorflow-datasets, with or without `/variant`.
        source_dir: Folder that holds the upstream files, or those of Debian's package, to use instead of the network.

    Raises:
        errors.InputError: If the name is not known, the network is needed and cannot be reached (found out in 3
            seconds), TensorFlow is needed and not there, or files are missing or wrong.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import download

    if name in DATASETS and DATASETS[name].scale is None:
        raise errors.InputError(f"data set '{name}' is generated whenever it is used: there is nothing to prepare")
    tfds.disable_progress_bar()
    wrong = (OSError, ValueError, download.DownloadError, download.download_manager.NonMatchingChecksumError)
    with _lock(builder(name).name), contextlib.ExitStack() as stack:
        made = builder(name)  # anew: another process may have written it while this one waited
        if made.is_prepared():
            return made
        folder = None if source_dir is None else _checked(name, made, source_dir, stack)
        _reachable(name, made, folder)
        config = download.DownloadConfig(manual_dir=folder, force_checksums_validation=True)
        try:
            with _quiet():
                made.download_and_prepare(download_config=config)
        except ImportError as error:
            from harness.data import stock

            raise errors.InputError(stock.needs_tensorflow(name, error)) from error
        except wrong as error:
            raise errors.InputError(f"data set '{name}' could not be prepared: {error}") from error
        _count(made)
        return made


def _count(made: Any) -> None:
    """Counts the records that were written: a format of tensorflow-datasets' has been seen to lose some in silence."""
    from array_record.python import array_record_module

    for split, found in made.info.splits.items():
        readers = [array_record_module.ArrayRecordReader(str(path)) for path in found.filepaths]
        written = sum(reader.num_records() for reader in readers)
        assert written == found.num_examples, f"{written} of {found.num_examples} records of {split} were written"


def _checked(name: str, made: Any, source_dir: pathlib.Path, stack: contextlib.ExitStack) -> pathlib.Path:
    """Returns a folder, gone when `stack` closes, with links to the upstream files of a source folder.

    Raises:
        errors.InputError: If a file is not what upstream published; if one is missing and its set is one of DATASETS.
    """
    if not source_dir.is_dir():
        raise errors.InputError(f"--from {source_dir} is not a folder")
    expected = {each.filename: each for each in (made.url_infos or {}).values()}
    missing = [file for file in expected if not (source_dir / file).is_file()]
    if missing and name.partition("/")[0] in DATASETS:
        raise errors.InputError(f"data set '{name}' needs {', '.join(missing)}, which {source_dir} does not have")
    if not expected:
        return source_dir.resolve()
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for file in source_dir.iterdir():
        (folder / file.name).symlink_to(file.resolve())
    for file in set(expected) - set(missing):
        _check(source_dir / file, folder / file, expected[file])
    return folder


def _check(path: pathlib.Path, link: pathlib.Path, expected: Any) -> None:
    """Checks one file's SHA-256; where a link leads to a file that Debian has repackaged, upstream's replaces it."""
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    if digest == expected.checksum:
        return
    original = upstream(path)
    if original is not None and hashlib.sha256(original).hexdigest() == expected.checksum:
        link.unlink()
        link.write_bytes(original)
        return
    raise errors.InputError(
        f"{path} has the wrong checksum: SHA-256 {digest} of {path.stat().st_size:,} bytes, not {expected.checksum} of "
        f"{int(expected.size):,}; it is damaged or another file, get it anew"
    )


def upstream(path: pathlib.Path) -> bytes | None:
    """Returns a file of Debian's dataset-fashion-mnist as upstream published it, None for any other file.

    The package's build wrote the gzip headers anew, without name and time; the compressed data are upstream's.
    """
    if path.name not in PACKAGED:
        return None
    raw = path.read_bytes()
    if not raw.startswith(NO_NAME):
        return None
    name = path.name.removesuffix(".gz").encode()
    return NAMED + struct.pack("<I", PACKAGED[path.name]) + raw[8:10] + name + b"\0" + raw[10:]


def _reachable(name: str, made: Any, folder: pathlib.Path | None) -> None:
    """Finds out whether the network can be reached, where it is needed.

    Raises:
        errors.InputError: If it cannot.
    """
    infos = made.url_infos or {}
    absent = [url for url, each in infos.items() if folder is None or not (folder / str(each.filename)).exists()]
    if not absent or urllib.request.getproxies():
        return  # through a proxy, only the download itself can tell
    host = _host(absent[0])
    try:
        socket.create_connection((host, 443 if absent[0].startswith("https:") else 80), timeout=3).close()
    except OSError as error:
        raise errors.InputError(
            f"data set '{name}' must be downloaded from {host}, which cannot be reached ({error}): say `gdzoo data "
            f"prepare {name}` on a machine with a network and copy {workspace.data()} here, or give --from"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what tensorflow-datasets prints off the terminal."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).hostname or url


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    """Holds the preparation of one data set, so that processes that arrive together write it once.

    Raises:
        errors.InputError: If the folder of data sets cannot be written to.
    """
    try:
        workspace.data().mkdir(parents=True, exist_ok=True)
        handle = open(workspace.data() / f".{name}.lock", "w", encoding="utf-8")  # noqa: SIM115 # closed below
    except OSError as error:
        raise errors.InputError(
            f"{workspace.data()} cannot be written to ({error}); name another folder with TFDS_DATA_DIR"
        ) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
