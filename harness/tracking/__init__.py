# SPDX-License-Identifier: Apache-2.0
"""MLflow: what runs look like there, how they get there, and the store itself."""
