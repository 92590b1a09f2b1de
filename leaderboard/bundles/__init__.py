# SPDX-License-Identifier: Apache-2.0
"""Bundles: runs that others submit, read strictly, checked, computed again, labelled."""
