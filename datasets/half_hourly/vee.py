"""Validation and estimation of half-hourly consumption (docs/vee.md has how good each method is)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from meterlake.columns import STRING, TIMESTAMP, Column, decimal
from meterlake.declaration import per_hour
from meterlake.presentation import ReferenceTable
from meterlake.vee.declaration import (
    DaysAndGroup,
    GroupProfile,
    Linear,
    OutOfRange,
    Registers,
    SimilarDays,
    Spike,
    Stuck,
    SumCheck,
    Vee,
    WrongMultiplier,
    ZeroRun,
)

HOUR: Final = timedelta(hours=1)
LONGEST: Final = timedelta(days=45)

REGISTER: Final = ReferenceTable(
    name="register_read",
    title="Register reads",
    key=("meterpoint_id", "read_at"),
    columns=(
        Column("meterpoint_id", STRING, doc="the meterpoint"),
        Column("read_at", TIMESTAMP, doc="when it was read, UTC, on a half hour"),
        Column("reading_kwh", decimal(3), doc="what the register showed, kWh"),
    ),
)

VEE: Final = Vee(
    measure="consumption",
    rules=(
        # A supply of 100 A on one phase gives 12 kWh in a half hour; more is somebody's three phases, or wrong.
        OutOfRange(per_hour(0, 60), action="replace"),
        Spike(5.0, above=5.0, action="replace"),
        Stuck(timedelta(hours=12)),
        ZeroRun(timedelta(days=2)),
        WrongMultiplier(1000),
        SumCheck(tolerance="1"),
    ),
    methods=(
        Linear(longest=HOUR),
        SimilarDays(longest=12 * HOUR, days=28),
        DaysAndGroup(SimilarDays(longest=LONGEST, days=28), GroupProfile(longest=LONGEST)),
        GroupProfile(longest=LONGEST),
        Linear(longest=6 * HOUR),
    ),
    registers=Registers(reference=REGISTER, meter="meterpoint_id", at="read_at", value="reading_kwh"),
)
