"""The electric utility's lakehouse: CRM, outage management and billing of a distribution company."""

from __future__ import annotations

from typing import Final

from datasets.utility.declaration import UTILITY

DATASET: Final = UTILITY
