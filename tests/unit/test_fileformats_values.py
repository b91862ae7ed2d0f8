"""Times and numbers of files as Python reads them; text files have the same in SQL (``test_text…``)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from reader_samples import epoch

from meterlake.fileformats.values import RefusedValue, Stamp, instant, number, physical, stamp
from meterlake.wallclock import zone

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("given", "pattern", "expected", "is_utc"),
    [
        ("31/12/1999 23:59:59.000", "d/M/yyyy H:mm:ss.SSS", "1999-12-31 23:59:59", False),
        ("1.3.2026 7:05", "d.M.yyyy H:mm", "2026-03-01 07:05", False),
        ("1-Mar-26 01:30 PM", "d-MMM-yy hh:mm a", "2026-03-01 13:30", False),
        ("28.02.2026 24:00", "dd.MM.yyyy HH:mm", "2026-03-01 00:00", False),
        ("2026-03-01 00:30 +0530", "yyyy-MM-dd HH:mm XX", "2026-02-28 19:00", True),
        ("2026-03-01 00:30:00.0Z", "yyyy-MM-dd HH:mm:ss.SXXX", "2026-03-01 00:30", True),
        ("20260301", "yyyyMMdd", "2026-03-01", False),
        ("2026-03-01T00:30:00-03:00", "iso", "2026-03-01 03:30", True),
        ("2026-03-01", "iso", "2026-03-01", False),
        ("1772325000", "epoch_s", "2026-03-01 00:30", True),
        (1772325000.0, "epoch_s", "2026-03-01 00:30", True),
        (1772325000000, "epoch_ms", "2026-03-01 00:30", True),
        ("46082.75", "excel_days", "2026-03-01 18:00", False),
        (datetime(2026, 3, 1, 0, 30), "d/M/yyyy", "2026-03-01 00:30", False),  # noqa: DTZ001
        (datetime(2026, 3, 1, 0, 30, tzinfo=UTC), "epoch_s", "2026-03-01 00:30", True),
        (date(2026, 3, 1), "iso", "2026-03-01", False),
    ],
)
def test_times(given: object, pattern: str, expected: str, is_utc: bool) -> None:
    assert stamp(given, pattern) == Stamp(epoch(expected), is_utc)


@pytest.mark.parametrize(
    ("given", "pattern"),
    [
        ("31/2/2026 1:00", "d/M/yyyy H:mm"),
        ("1/3/2026", "d/M/yyyy H:mm"),
        ("1/3/2026 25:00", "d/M/yyyy H:mm"),
        ("1/3/2026 24:30", "d/M/yyyy H:mm"),
        ("1/3/2026 1:00:00.5", "d/M/yyyy H:mm:ss.S"),
        ("\u0661/3/2026 1:00", "d/M/yyyy H:mm"),
        ("2026-03-01 00:30 +0599", "yyyy-MM-dd HH:mm XX"),
        ("2026-03-01 00:30", "yyyy-MM-dd HH:mmXXX"),
        ("2026-W09-1", "iso"),
        ("2026-03-01T00:00:00.5", "iso"),
        ("yesterday", "iso"),
        (5, "iso"),
        (None, "iso"),
        (None, "epoch_s"),
        ("1e300", "epoch_s"),
        (0.5, "epoch_s"),
        (1772325000500, "epoch_ms"),
        ("", "excel_days"),
        ("4e9", "excel_days"),
        ("0001-01-01T00:00:00+23:00", "iso"),
    ],
)
def test_what_is_no_time(given: object, pattern: str) -> None:
    with pytest.raises(RefusedValue, match="bad_time"):
        instant(stamp(given, pattern), timedelta(0), None)


def test_the_clock_on_the_wall() -> None:
    paris = zone("Europe/Paris")
    assert instant(Stamp(epoch("2026-07-01 02:00"), is_utc=False), paris, None) == epoch("2026-07-01 00:00")
    assert instant(Stamp(epoch("2026-07-01 02:00"), is_utc=True), paris, None) == epoch("2026-07-01 02:00")
    twice = Stamp(epoch("2026-10-25 02:30"), is_utc=False)
    assert [instant(twice, paris, place) for place in (1, 2)] == [epoch("2026-10-25 00:30"), epoch("2026-10-25 01:30")]
    for moment, reason in (
        (twice, "ambiguous_time"),
        (Stamp(epoch("2026-03-29 02:30"), is_utc=False), "no_such_local_time"),
        (Stamp(-(10**9), is_utc=False), "bad_time"),
    ):
        with pytest.raises(RefusedValue, match=reason):
            instant(moment, paris, None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (" 1.50 ", "1.50"),
        ("-.5e1", "-5"),
        (3, "3"),
        (0.1, "0.1"),
        (Decimal("2.5"), "2.5"),
        ("1e-400", "0"),
        (None, None),
        ("", None),
        ("n/a", None),
    ],
)
def test_numbers(given: object, expected: str | None) -> None:
    assert number(given, ("", "n/a")) == (None if expected is None else Decimal(expected))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("1,5", "bad_value"),
        ("1 000", "bad_value"),
        ("0x10", "bad_value"),
        ("1d", "bad_value"),
        ("\u0661", "bad_value"),
        ("NaN", "bad_value"),
        (True, "bad_value"),
        (b"1", "bad_value"),
        ([1], "bad_value"),
        (float("nan"), "not_finite"),
        (float("-inf"), "not_finite"),
        ("1e309", "not_finite"),
        (10**400, "not_finite"),
    ],
)
def test_what_is_no_number(given: object, reason: str) -> None:
    with pytest.raises(RefusedValue, match=reason):
        number(given)


def test_values_are_the_nearest_doubles() -> None:
    assert physical(Decimal("0.1234"), Fraction(1000)) == 123.4
    assert physical(Decimal("0.07"), Fraction(1000)) == 70.0
    assert physical(Decimal(1), Fraction(1, 3)) == 1 / 3
    assert physical(Decimal("12345.678"), Fraction(1, 1000)) == 12.345678
    with pytest.raises(RefusedValue, match="not_finite"):
        physical(Decimal("1e308"), Fraction(1000))
