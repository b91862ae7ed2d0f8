"""When the DAGs of a data set run by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from meterlake.errors import DeclarationError


@dataclass(frozen=True)
class Schedule:
    """When a data set's DAGs run by themselves, and what becomes of failures.

    cron: five fields, in the data set's time zone. retries: of a task that failed; after ``pause``, then ever later.
    deadline: a run that has not ended so long after it was queued is reported.
    """

    cron: str
    retries: int = 3
    pause: timedelta = timedelta(minutes=1)
    deadline: timedelta = timedelta(hours=4)

    def __post_init__(self) -> None:
        where = f"Schedule {self.cron!r}"
        if len(self.cron.split()) != 5:
            raise DeclarationError(where, "is no cron expression", expected="Write five fields, such as '0 0 * * *'")
        if self.retries < 0:
            raise DeclarationError(where, f"its retries are {self.retries}", expected="Write 0 for none")
        for name, time in (("pause", self.pause), ("deadline", self.deadline)):
            if time <= timedelta(0):
                raise DeclarationError(where, f"its {name} is {time}", expected="Write a time above zero")


DAILY: Final = Schedule("0 0 * * *")
HOURLY: Final = Schedule("0 * * * *", deadline=timedelta(hours=1))
