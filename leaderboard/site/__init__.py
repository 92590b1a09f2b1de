# SPDX-License-Identifier: Apache-2.0
"""The pages: rows, drawings, spreadsheets, and the folder that they make."""
