"""The grains of views."""

from __future__ import annotations

from typing import Final, Literal

Grain = Literal["minute", "hour", "day"]

GRAIN_SECONDS: Final[dict[Grain, int]] = {"minute": 60, "hour": 3600, "day": 86400}
"""Nominal lengths; a local day may be an hour shorter or longer (``timegrid.day_seconds``)."""
