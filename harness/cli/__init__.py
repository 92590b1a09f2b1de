# SPDX-License-Identifier: Apache-2.0
"""What `gdzoo` prints of the harness: commands and their tables."""
