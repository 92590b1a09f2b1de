# SPDX-License-Identifier: Apache-2.0
"""What a cell is, as types: the fields of a spec's parts, with ranges, defaults and what people read of them."""
