# SPDX-License-Identifier: Apache-2.0
"""What `gdzoo` prints of the leaderboard: commands and their tables."""
