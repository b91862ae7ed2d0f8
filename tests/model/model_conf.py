"""The seed of the model's fresh schedules: one for a run of pytest."""

from __future__ import annotations

import os
import secrets
from typing import Final

SEED: Final = int(os.environ.get("METERLAKE_MODEL_SEED") or secrets.randbelow(2**32))
