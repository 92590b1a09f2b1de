# SPDX-License-Identifier: Apache-2.0
"""Curvature: operators (what is multiplied) and algorithms (what is asked of them), strangers to each other."""
