# SPDX-License-Identifier: Apache-2.0
"""The harness: specs in, runs out."""
