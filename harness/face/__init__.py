# SPDX-License-Identifier: Apache-2.0
"""The face: what `import gdzoo` gives, over the same code that runs specs; one noun a file.

Everything here computes in float64 whatever the caller's jax is set to, and leaves those settings as they were.
"""
