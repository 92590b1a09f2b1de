# SPDX-License-Identifier: Apache-2.0
"""Which process writes a run folder: the leader, which holds it; the others get copies that they throw away."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from harness.records import run_folder
from harness.runtime import distributed


@contextlib.contextmanager
def own(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives the leader a run folder, held against others, and each other process a copy of it as it is now.

    Raises:
        run_folder.Busy: In all processes, if the leader cannot hold it.
    """
    with contextlib.ExitStack() as held:
        mine, busy, why = folder, False, str(folder)
        if distributed.leads():
            try:
                held.enter_context(run_folder.claimed(folder))
            except run_folder.Busy as error:
                busy, why = True, str(error)
        if distributed.agreed(busy):
            raise run_folder.Busy(why)
        if not distributed.leads():
            mine = pathlib.Path(held.enter_context(tempfile.TemporaryDirectory(prefix="gdzoo-"))) / folder.name
            shutil.copytree(folder, mine)
        distributed.agreed(0)  # the leader writes once all have their copies
        yield mine
