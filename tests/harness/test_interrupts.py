# SPDX-License-Identifier: Apache-2.0
"""A signal never falls between two things that belong together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from harness import errors, interrupts


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_waits_for_the_shield_to_end(number: signal.Signals) -> None:
    reached = []
    with interrupts.handled():
        with pytest.raises(KeyboardInterrupt):
            with interrupts.shielded():
                with interrupts.shielded():
                    os.kill(os.getpid(), number)
                    reached.append("inner")
                assert interrupts.waiting()
                reached.append("outer")
            reached.append("beyond")
        assert not interrupts.waiting()
    assert reached == ["inner", "outer"]


def test_without_a_shield_it_comes_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interrupts.handled(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_was_dropped_on_its_way_is_not_forgotten() -> None:
    program = (
        "import gc, os, signal\nfrom harness import interrupts\n"
        "interrupts.check()\n"
        "with interrupts.handled():\n"
        "    gc.callbacks.append(lambda phase, info: phase == 'stop' and os.kill(os.getpid(), signal.SIGTERM))\n"
        "    gc.collect()\n"
        "    gc.callbacks.clear()\n"
        "    print('dropped')\n"
        "    with interrupts.shielded():\n"
        "        interrupts.check()\n"
        "    try:\n"
        "        interrupts.check()\n"
        "    except KeyboardInterrupt:\n"
        "        print('remembered')\n"
        "interrupts.check()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "dropped\nremembered\n"), done.stderr


def test_a_second_signal_ends_the_process_at_once() -> None:
    program = (
        "import os, signal\nfrom harness import interrupts\n"
        "with interrupts.handled(), interrupts.shielded():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('went on')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (errors.EXIT_STOPPED, "")
