"""The telecom lakehouse: calls, messages, payments, recharges and support, of people who live."""

from __future__ import annotations

from typing import Final

from datasets.telecom.declaration import TELECOM

DATASET: Final = TELECOM
