# SPDX-License-Identifier: Apache-2.0
"""The machine: devices, memory, threads, signals, compilation caches, and what a run says of where it was made."""
