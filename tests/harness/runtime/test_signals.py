# SPDX-License-Identifier: Apache-2.0
"""A signal never falls between two things that belong together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from harness import errors
from harness.runtime import signals


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_a_signal_waits_for_the_shield_to_end(number: signal.Signals) -> None:
    reached = []
    with signals.handled():
        with pytest.raises(KeyboardInterrupt):
            with signals.shielded():
                with signals.shielded():
                    os.kill(os.getpid(), number)
                    reached.append("inner")
                assert signals.waiting()
                reached.append("outer")
            reached.append("beyond")
        assert not signals.waiting()
    assert reached == ["inner", "outer"]


def test_without_a_shield_it_comes_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals.handled(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_was_dropped_on_its_way_is_not_forgotten() -> None:
    program = (
        "import gc, os, signal\nfrom harness.runtime import signals\n"
        "signals.check()\n"
        "with signals.handled():\n"
        "    gc.callbacks.append(lambda phase, info: phase == 'stop' and os.kill(os.getpid(), signal.SIGTERM))\n"
        "    gc.collect()\n"
        "    gc.callbacks.clear()\n"
        "    print('dropped')\n"
        "    with signals.shielded():\n"
        "        signals.check()\n"
        "    try:\n"
        "        signals.check()\n"
        "    except KeyboardInterrupt:\n"
        "        print('remembered')\n"
        "signals.check()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "dropped\nremembered\n"), done.stderr


def test_a_second_signal_ends_the_process_at_once() -> None:
    program = (
        "import os, signal\nfrom harness.runtime import signals\n"
        "with signals.handled(), signals.shielded():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('went on')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (errors.EXIT_STOPPED, "")
