"""Cumulative registers: from the readings of a counter to the amounts of intervals, exactly.

All numbers are integers: seconds since 1970 UTC, and units of a measure's resolution. An amount is the difference of
the counter at the two ends of its interval. Where the counter was read at both, it is exact; else it is *estimated*:
the counter is taken to have run evenly between two readings (``across_gap="spread"``), or the whole difference is put
into the last interval (``"one_interval"``), or nothing is made of it (``"drop"``). Whatever is spread adds up to the
difference, to the last unit.

A reading from which no amount can be made is refused with the first reason that applies: ``out_of_order`` ·
``equal_stamp`` (the same again) · ``conflicting_stamp`` (another value: the first counts) · ``off_grid`` ·
``first_reading`` · ``meter_exchange`` (another serial number, and its first value is not known) ·
``counter_went_back`` · ``gap_too_long`` · ``across_gap``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AcrossGap: TypeAlias = Literal["one_interval", "spread", "drop"]

OUT_OF_ORDER: Final = "out_of_order"
EQUAL_STAMP: Final = "equal_stamp"
CONFLICTING_STAMP: Final = "conflicting_stamp"
OFF_GRID: Final = "off_grid"
FIRST_READING: Final = "first_reading"
METER_EXCHANGE: Final = "meter_exchange"
COUNTER_WENT_BACK: Final = "counter_went_back"
GAP_TOO_LONG: Final = "gap_too_long"
ACROSS_GAP: Final = "across_gap"


class CounterReading(NamedTuple):
    """What a counter showed at an instant. serial: of the meter, if known. place: of the record that says so."""

    at: int
    units: int
    serial: str = ""
    place: int = 0


class IntervalAmount(NamedTuple):
    """The amount of one interval. place: of the reading that ended it."""

    begins: int
    units: int
    estimated: bool
    place: int


class Refused(NamedTuple):
    """A reading that ends no interval, and why."""

    place: int
    reason: str


class KnownExchange(NamedTuple):
    """A meter exchange: what the old meter showed at last, and the new one at first."""

    at: int
    final: int
    first: int


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a counter is read.

    interval_s: length of the intervals, which begin at its multiples. modulus: the counter begins at 0 again when it
    reaches it; the shorter way round counts. resets: a smaller value means that it began at 0 again, for whatever
    reason. longest_gap_s: across a longer time nothing is made. snap_s: a reading that is so near to an interval's end
    counts as one at it. exchanges: in order of time.
    """

    interval_s: int
    modulus: int | None = None
    resets: bool = False
    across_gap: AcrossGap = "drop"
    longest_gap_s: int = 366 * 86_400
    snap_s: int = 0
    exchanges: tuple[KnownExchange, ...] = ()


class Edge(NamedTuple):
    """The counter at the begin of an interval that is not complete yet. total: as in ``State``."""

    at: int
    total: int
    exact: bool


@dataclass(frozen=True)
class State:
    """What is known of a counter after its readings: all that the next one needs.

    It is small and plain, so that a stream can keep one a counter, and a load can begin where another ended.
    total: the counter without its roll-overs, exchanges and resets. edge: None where no interval has begun.
    """

    last: CounterReading
    total: int
    edge: Edge | None


Outcome: TypeAlias = IntervalAmount | Refused


class Counter:
    """Takes the readings of one counter in order of time, and says what each makes."""

    def __init__(self, rule: Rule, state: State | None = None) -> None:
        self._rule, self.state = rule, state

    def take(self, reading: CounterReading) -> list[Outcome]:
        """Return the amounts of the intervals that a reading ends, or why there is none.

        The list is empty for a reading inside an interval, where amounts are spread.
        """
        reading = self._snapped(reading)
        state, spread = self.state, self._rule.across_gap == "spread"
        if state:
            reason = _repeated(state.last, reading)
            if reason:
                return [Refused(reading.place, reason)]
        if not spread and reading.at % self._rule.interval_s:
            return [Refused(reading.place, OFF_GRID)]
        if state is None:
            return self._begin(reading, FIRST_READING)
        if reading.at == state.last.at:  # the first value of another meter, at the time of the last of this one
            self.state = replace(state, last=reading)
            return []
        return self._continue(state, reading)

    def _continue(self, state: State, reading: CounterReading) -> list[Outcome]:
        length = reading.at - state.last.at
        step = self._step(state.last, reading)
        if step is None:
            if _is_exchange(state.last, reading):
                return self._begin(reading, METER_EXCHANGE)
            return [Refused(reading.place, COUNTER_WENT_BACK)]
        if length > self._rule.longest_gap_s:
            return self._begin(reading, GAP_TOO_LONG)
        amount, known = step
        if self._rule.across_gap != "spread" and length > self._rule.interval_s:
            if self._rule.across_gap == "drop":
                return self._begin(reading, ACROSS_GAP)
            self._begin(reading, ACROSS_GAP)
            return [IntervalAmount(reading.at - self._rule.interval_s, amount, True, reading.place)]
        return self._spread(state, reading, amount, known)

    def _spread(self, state: State, reading: CounterReading, amount: int, known: bool) -> list[Outcome]:
        """Make the intervals up to a reading. known: whether the amount since the last reading is all that there was.

        The counter at an interval's end is floored, so that the amounts add up.
        """
        made: list[Outcome] = []
        interval_s, begin, length = self._rule.interval_s, state.last.at, reading.at - state.last.at
        edge = state.edge and (state.edge if known else state.edge._replace(exact=False))
        for at in range(begin - begin % interval_s + interval_s, reading.at + 1, interval_s):
            end = Edge(at, state.total + amount * (at - begin) // length, at == reading.at)
            if edge:
                made.append(
                    IntervalAmount(edge.at, end.total - edge.total, not (edge.exact and end.exact), reading.place)
                )
            edge = end
        self.state = State(reading, state.total + amount, edge)
        return made

    def _begin(self, reading: CounterReading, reason: str) -> list[Outcome]:
        """Begin again with a reading, since there is nothing to subtract from it."""
        on_grid = reading.at % self._rule.interval_s == 0
        self.state = State(reading, reading.units, Edge(reading.at, reading.units, exact=True) if on_grid else None)
        return [Refused(reading.place, reason)]

    def _step(self, last: CounterReading, reading: CounterReading) -> tuple[int, bool] | None:
        """Return how far the counter ran from one reading to the next, and whether that is all; None if not known."""
        base, ran = last.units, 0
        exchanges = [one for one in self._rule.exchanges if last.at < one.at <= reading.at]
        for exchange in exchanges:
            part = self._difference(base, exchange.final)
            if part is None:
                return None
            base, ran = exchange.first, ran + part[0]
        if not exchanges and _is_exchange(last, reading):
            return None
        part = self._difference(base, reading.units)
        return part and (ran + part[0], part[1])

    def _difference(self, base: int, units: int) -> tuple[int, bool] | None:
        amount, modulus = units - base, self._rule.modulus
        if amount >= 0:
            return amount, True
        if modulus and 2 * (amount + modulus) < modulus and amount + modulus >= 0:
            return amount + modulus, True
        return (units, False) if self._rule.resets and units >= 0 else None

    def _snapped(self, reading: CounterReading) -> CounterReading:
        beyond = reading.at % self._rule.interval_s
        short = self._rule.interval_s - beyond
        if beyond and min(beyond, short) <= self._rule.snap_s:
            return reading._replace(at=reading.at - beyond if beyond <= short else reading.at + short)
        return reading


def outcomes(readings: Iterable[CounterReading], rule: Rule, state: State | None = None) -> Iterator[Outcome]:
    """Yield what the readings of one counter make, in their order. state: after the readings before them."""
    counter = Counter(rule, state)
    for reading in readings:
        yield from counter.take(reading)


def _is_exchange(last: CounterReading, reading: CounterReading) -> bool:
    return bool(last.serial and reading.serial and last.serial != reading.serial)


def _repeated(last: CounterReading, reading: CounterReading) -> str | None:
    if reading.at < last.at:
        return OUT_OF_ORDER
    if reading.at > last.at or _is_exchange(last, reading):
        return None
    return EQUAL_STAMP if reading.units == last.units else CONFLICTING_STAMP
