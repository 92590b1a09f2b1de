# SPDX-License-Identifier: Apache-2.0
"""Runs out of a store, as plain documents: read strictly, checked, written as JSON."""
