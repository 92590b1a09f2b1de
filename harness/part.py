# SPDX-License-Identifier: Apache-2.0
"""Part: the base of every part of a spec."""

from __future__ import annotations

import pydantic


class Part(pydantic.BaseModel):
    """A frozen part of a spec that refuses keys it does not know and types it would have to guess."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
