"""What a data set declares for validation and estimation: rules, and methods in order. Plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from meterlake.columns import BIGINT, DATE, STRING, TIMESTAMP, Column, decimal
from meterlake.errors import DeclarationError
from meterlake.ranges import Range, Rate
from meterlake.units import exact_units

if TYPE_CHECKING:
    from meterlake.declaration import Measure, MeterSeries
    from meterlake.presentation import ReferenceTable

Action = Literal["replace", "report"]
"""What becomes of the readings that a rule finds: an estimate is used instead, or they are used and reported."""

DAY: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Validation:
    """A rule; use one of those below. action: ``replace`` puts estimates in place of what it finds."""

    action: Action = "report"

    name: ClassVar[str]


@dataclass(frozen=True)
class OutOfRange(Validation):
    """A value below or above what can be: narrower than the declared range, beyond which readings are rejected."""

    between: Range | Rate

    name = "out_of_range"


@dataclass(frozen=True)
class Negative(Validation):
    """A value below zero, of a meter that only counts up."""

    name = "negative"


@dataclass(frozen=True)
class Spike(Validation):
    """A value of more than ``times`` the meter's usual peak, and more than ``above`` (physical units, an interval).

    The usual peak is the median of the highest values of the meter's local days, the last ``days`` before this one;
    where fewer than ``at_least`` of them have readings nothing is found.
    """

    times: float
    above: float = 0.0
    days: int = 28
    at_least: int = 3

    name = "spike"


@dataclass(frozen=True)
class Stuck(Validation):
    """One and the same value, not zero, for so long, without a gap."""

    at_least: timedelta

    name = "stuck"


@dataclass(frozen=True)
class ZeroRun(Validation):
    """Zero for so long, without a gap."""

    at_least: timedelta

    name = "zero_run"


@dataclass(frozen=True)
class WrongMultiplier(Validation):
    """A day's sum of about ``factor`` times the meter's usual day (a third to three times that), or so small a part.

    It is what a wrong unit or a wrong multiplier of the meter makes. The usual day is the median of the last ``days``.
    """

    factor: int = 1000
    days: int = 28
    at_least: int = 3

    name = "wrong_multiplier"


@dataclass(frozen=True)
class SumCheck(Validation):
    """Between two reads of a register the intervals add up to something else than it has counted.

    tolerance: physical units that may differ (registers show whole units).
    """

    tolerance: str = "0"

    name = "sum_check"


@dataclass(frozen=True)
class Linear:
    """The straight line between the values on both sides of the gap."""

    longest: timedelta

    name: ClassVar[str] = "linear"


@dataclass(frozen=True)
class SimilarDays:
    """The mean of the same time on days of the same kind before the gap (working days, week-ends).

    days: so far it looks back. at_least: so many such days must be known at each time. fades: half-life of how far the
    values beside the gap are from their own mean: near them the estimate follows them.
    """

    longest: timedelta
    days: int = 28
    at_least: int = 2
    fades: timedelta = timedelta(hours=1)

    name: ClassVar[str] = "similar_days"


@dataclass(frozen=True)
class GroupProfile:
    """The mean of all other meters at that very time, scaled to this meter's level beside the gap.

    The level is taken from ``beside`` on each side. at_least: so many meters must be known at each time.
    """

    longest: timedelta
    beside: timedelta = DAY
    at_least: int = 3

    name: ClassVar[str] = "group_profile"


@dataclass(frozen=True)
class DaysAndGroup:
    """Similar days and the group's profile together: their mean, in which the days count twice.

    The days know the habits of this meter, the group what was special about that time. Where the group can say nothing,
    it is the days alone; where those cannot, this method cannot.
    """

    days: SimilarDays
    group: GroupProfile

    name: ClassVar[str] = "days_and_group"

    @property
    def longest(self) -> timedelta:
        """The longest gap that both may fill."""
        return min(self.days.longest, self.group.longest)


Method = Linear | SimilarDays | GroupProfile | DaysAndGroup

METHODS: Final = tuple(kind.name for kind in (Linear, SimilarDays, GroupProfile, DaysAndGroup))
OF_GROUP: Final = (GroupProfile.name, DaysAndGroup.name)
"""Methods whose estimates depend on what other meters have."""


@dataclass(frozen=True, kw_only=True)
class Registers:
    """Reads of registers that count what the intervals add up to. They are loaded as a reference table is, if there.

    meter: the column with the meter. at: of the time, UTC, on the grid. value: of what the register showed, in the
    measure's unit.
    """

    reference: ReferenceTable
    meter: str
    at: str
    value: str

    def __post_init__(self) -> None:
        where = f"Registers {self.reference.name!r}"
        types = {column.name: column.type for column in self.reference.columns}
        for name in (self.meter, self.at, self.value):
            if name not in types:
                raise DeclarationError(where, f"there is no column {name!r}", expected=f"Use {', '.join(types)}")
        if types[self.at] != TIMESTAMP or types[self.value].kind != "decimal":
            raise DeclarationError(
                where, f"{self.at!r} and {self.value!r} are no time and decimal", expected="Declare them so"
            )


@dataclass(frozen=True, kw_only=True)
class Vee:
    """Validation and estimation of one measure of a meter series.

    methods: in order; a gap is filled by the first that may fill its length and has what it needs. registers: estimates
    add up to them. after_batch: whether a batch run does it, too.
    """

    measure: str
    rules: tuple[Validation, ...] = ()
    methods: tuple[Method, ...] = ()
    registers: Registers | None = None
    after_batch: bool = True

    def __post_init__(self) -> None:
        where = f"Vee of {self.measure!r}"
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise DeclarationError(where, f"a rule is there twice ({', '.join(names)})", expected="Keep one of each")
        for rule in self.rules:
            _check_rule(rule, f"{where}, rule {rule.name}")
        for method in self.methods:
            if method.longest <= timedelta(0):
                raise DeclarationError(
                    f"{where}, method {method.name}", f"longest is {method.longest}", expected="Give more than 0"
                )

    def rule(self, kind: type[Validation]) -> Validation | None:
        """Return the rule of a kind, if it is declared."""
        return next((rule for rule in self.rules if isinstance(rule, kind)), None)

    def of(self, series: MeterSeries) -> Measure:
        """Return the measure. Raises DeclarationError where the series has none of this name."""
        known = [measure.name for measure in series.measures]
        if self.measure not in known:
            raise DeclarationError(
                f"Vee of {series.name!r}", f"there is no measure {self.measure!r}", expected=f"Use {', '.join(known)}"
            )
        return series.measure(self.measure)

    @property
    def parts(self) -> tuple[Method, ...]:
        """The methods, each that is made of two as these."""
        pairs = ((one.days, one.group) if isinstance(one, DaysAndGroup) else (one,) for one in self.methods)
        return tuple(part for pair in pairs for part in pair)

    @property
    def looks_back(self) -> timedelta:
        """How far before a gap its estimate may read."""
        days = [timedelta(days=method.days + 1) for method in self.parts if isinstance(method, SimilarDays)]
        beside = [method.beside for method in self.parts if isinstance(method, GroupProfile)]
        return max((*days, *beside, DAY))

    @property
    def runs_reach(self) -> timedelta:
        """How far from a reading others may lie that make it part of a run."""
        runs = [rule.at_least for rule in self.rules if isinstance(rule, Stuck | ZeroRun)]
        return max((*runs, timedelta(0)))

    @property
    def usual_days(self) -> int:
        """How many days make what is usual for a meter."""
        return max((rule.days for rule in self.rules if isinstance(rule, Spike | WrongMultiplier)), default=0)


def _check_rule(rule: Validation, where: str) -> None:
    if rule.action not in ("replace", "report"):
        raise DeclarationError(where, f"its action is {rule.action!r}", expected="Use replace or report")
    if rule.action == "replace" and isinstance(rule, WrongMultiplier | SumCheck):
        raise DeclarationError(
            where, "it is about days or periods, of which nobody knows what is wrong", expected="Leave it at report"
        )
    if isinstance(rule, Stuck | ZeroRun) and rule.at_least <= timedelta(0):
        raise DeclarationError(where, f"at_least is {rule.at_least}", expected="Give more than 0")
    if isinstance(rule, Spike) and rule.times <= 1:
        raise DeclarationError(where, f"times is {rule.times:g}", expected="Give more than 1")


def tolerance_units(rule: SumCheck, scale: int) -> int:
    """Return the tolerance of a sum check in units of the measure."""
    return exact_units(Decimal(rule.tolerance), scale)


def finding_columns(series: MeterSeries, vee: Vee) -> tuple[Column, ...]:
    """Return the columns of findings: one row a meter, rule, and run of intervals."""
    value = decimal(vee.of(series).scale)
    return (
        Column(series.key, STRING, doc="the meter"),
        Column("rule", STRING, doc="what was found"),
        Column("begins", TIMESTAMP, doc="start of the first interval, UTC"),
        Column("ends", TIMESTAMP, doc="end of the last one, not included, UTC"),
        Column("day", DATE, doc="local day of the start"),
        Column("intervals", BIGINT, doc="how many"),
        Column("action", STRING, doc="replace: estimates are used instead; report: the values are used"),
        Column("value", value, nullable=True, doc="the value that is furthest from what was expected"),
        Column("expected", value, nullable=True, doc="the limit that it passes, or what it should be"),
    )


def estimate_columns(series: MeterSeries, vee: Vee) -> tuple[Column, ...]:
    """Return the columns of estimates: one row a meter and interval."""
    measure = vee.of(series)
    return (
        Column(series.key, STRING, doc="the meter"),
        Column("interval_start", TIMESTAMP, doc="start of the interval, UTC"),
        Column("day", DATE, doc="its local day"),
        Column(f"{measure.name}_estimate", decimal(measure.scale), doc=f"the estimate of the sum, {measure.unit}"),
        Column("estimated_s", BIGINT, doc="seconds that it stands for"),
        Column("reason", STRING, doc="missing, or replaced: a reading is there, and a rule does not trust it"),
        Column("method", STRING, doc="how it was made"),
        Column("inputs", STRING, doc="of what it was made"),
        Column("gap_begins", TIMESTAMP, doc="start of its gap, UTC"),
        Column("gap_ends", TIMESTAMP, doc="end of its gap, not included, UTC"),
    )


def day_columns(series: MeterSeries, vee: Vee) -> tuple[Column, ...]:
    """Return the columns of days as they were validated last: one row a meter and local day."""
    measure = vee.of(series)
    value = decimal(measure.scale)
    return (
        Column(series.key, STRING, doc="the meter"),
        Column("day", DATE, doc="local day"),
        Column("expected", BIGINT, doc="intervals of the day"),
        Column("intervals", BIGINT, doc="intervals with readings"),
        Column("covered_s", BIGINT, doc="seconds covered by readings"),
        Column(f"{measure.name}_sum", value, doc=f"sum of what was read, {measure.unit}"),
        Column(f"{measure.name}_peak", value, doc="the highest interval"),
        Column("content", BIGINT, doc="a hash of all its intervals: it differs where one does"),
    )
