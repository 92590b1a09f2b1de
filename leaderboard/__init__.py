# SPDX-License-Identifier: Apache-2.0
"""The leaderboard: MLflow in, a static site out. Never imports jax."""
