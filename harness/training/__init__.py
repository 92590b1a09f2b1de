# SPDX-License-Identifier: Apache-2.0
"""The map of gradient descent, iterated: a cell made ready to train, optimizers, the compiled loop."""
