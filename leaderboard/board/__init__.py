# SPDX-License-Identifier: Apache-2.0
"""What the board says of runs and cells: columns, counts, intervals, scores, comparisons."""
