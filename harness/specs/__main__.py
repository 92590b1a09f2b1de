# SPDX-License-Identifier: Apache-2.0
"""Prints the JSON Schema of spec files: `python -m harness.specs > specs/schema.json`, which `make schema` says."""

import sys

from harness import specs

sys.stdout.write(specs.schema_json())
