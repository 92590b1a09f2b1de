# SPDX-License-Identifier: Apache-2.0
"""The device: what it asks of the C library, and that nothing breaks where there is another one."""

from __future__ import annotations

import ctypes
import platform
import types
from typing import Any

import pytest

from harness.runtime import device


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept_where_the_c_library_is_glibc() -> None:
    assert device.keep_memory()


class Other:
    """A C library without mallopt."""


class Refusal:
    """A mallopt that refuses every setting."""

    def __call__(self, _what: int, _value: int) -> int:
        """Says no."""
        return 0


@pytest.mark.parametrize("library", [Other(), OSError("no such library"), TypeError("a name is needed")])
def test_another_c_library_is_left_alone(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(_name: None) -> Any:
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(ctypes, "CDLL", opened)
    assert not device.keep_memory()


def test_a_refusal_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = types.SimpleNamespace(mallopt=Refusal())
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: refusing)
    assert not device.keep_memory()
