# SPDX-License-Identifier: Apache-2.0
"""Many runs: tasks, workers and engines, and how far everything is."""
