# SPDX-License-Identifier: Apache-2.0
"""The risk L(theta) of a network on a training set, as a function of one flat vector, and its derivatives."""
