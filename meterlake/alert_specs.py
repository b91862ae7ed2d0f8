"""Alerts of a data set beside those that all have: bounds of a measure, as plain frozen values.

Silent meters, and levels outside the limits of the board, need no declaration here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from meterlake import registry
from meterlake.errors import DeclarationError

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries

Severity = Literal["critical", "warning"]

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TAKEN: Final = ("meter-silent", "meters-silent")


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A meter whose latest reading has a measure below ``low`` or above ``high``, each time for ``lasting``.

    name: lower-case words joined by ``-``; it stays when the title changes. low, high: in the measure's unit, one of
    them at least. limits: by whom they are, or what they mean. runbook: address of the page that says what to do;
    without it, that of levels outside their limits.
    """

    name: str
    measure: str
    low: float | None = None
    high: float | None = None
    title: str = ""
    limits: str = ""
    lasting: timedelta = timedelta(minutes=5)
    severity: Severity = "warning"
    runbook: str = ""

    def __post_init__(self) -> None:
        where = f"Alert {self.name!r}"
        if not _NAME.fullmatch(self.name) or self.name in _TAKEN:
            raise DeclarationError(
                where, "its name is none", expected=f"Lower-case words joined by '-', but not {' or '.join(_TAKEN)}"
            )
        if self.low is None and self.high is None:
            raise DeclarationError(where, "it has no bound", expected="Give low=, high= or both")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise DeclarationError(where, f"low={self.low} is not below high={self.high}", expected="Exchange them")
        if self.lasting < timedelta(0) or self.lasting % timedelta(seconds=1):
            raise DeclarationError(where, f"lasting={self.lasting} is none", expected="Give whole seconds, 0 or more")

    @property
    def bounds(self) -> str:
        """What is allowed, in words."""
        words = {"at least": self.low, "at most": self.high}
        return " and ".join(f"{word} {bound:g}" for word, bound in words.items() if bound is not None)


def alerts_of(dataset: MeterSeries) -> tuple[Alert, ...]:
    """Return the alerts of a data set's folder, checked."""
    known = registry.find(dataset.name)
    return check_alerts(dataset, known.alerts() if known else ())


def check_alerts(dataset: MeterSeries, alerts: tuple[Alert, ...]) -> tuple[Alert, ...]:
    """Return alerts that are of declared measures, each with a name of its own. Raises DeclarationError."""
    names, measures = set[str](), [measure.name for measure in dataset.measures]
    for alert in alerts:
        where = f"Alert {alert.name!r} of data set {dataset.name!r}"
        if alert.measure not in measures:
            raise DeclarationError(where, f"no measure {alert.measure!r}", expected=f"One of {', '.join(measures)}")
        if alert.name in names:
            raise DeclarationError(where, "there are two of that name", expected="Rename one")
        names.add(alert.name)
    return alerts
