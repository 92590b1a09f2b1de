# SPDX-License-Identifier: Apache-2.0
"""One run, from its start to its folder: what is trained, measured, recorded and concluded."""
