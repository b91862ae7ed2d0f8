"""Every error a user can cause: it says what, where, what was expected, and what to do.

Only a ``TransientError`` is worth a retry; a ``PermanentError`` stays wrong until somebody acts.
The command line prints the message without a traceback and exits with ``exit_code``.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

NOTHING_LOADED: Final = "Nothing was loaded."
"""How hints about a file that stops a load begin."""

_LISTED: Final = 60
"""So many known names are listed."""


class MeterlakeError(Exception):
    """Base of all errors of this project.

    what: the fact, naming the thing and the value. hint: what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, hint: str = "") -> None:
        self.what = what
        self.hint = hint
        super().__init__(f"{what} {hint}".strip())

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it travel between processes: its own arguments are not those that an exception keeps."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[MeterlakeError], args: tuple[Any, ...], attributes: dict[str, Any]) -> MeterlakeError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class PermanentError(MeterlakeError):
    """Repeating the same call cannot help."""


class TransientError(MeterlakeError):
    """A later try may work: a server is starting, restarting or out of reach."""


class LeaseLost(TransientError):
    """A lease was not renewed in time, and somebody else may be at work."""

    def __init__(self, dataset: str, term: str) -> None:
        self.dataset = dataset
        super().__init__(
            f"The lease on {dataset} was lost: it was not renewed for {term} (HDFS away, or this process stopped).",
            hint="Nothing more was changed. What had been recorded as begun is finished by the next command:"
            f" see `meterlake runs {dataset}`, then run again.",
        )


class RunUnderWay(TransientError):
    """Another process works on the same data set. until: UTC."""

    def __init__(self, dataset: str, owner: str, until: str) -> None:
        self.dataset, self.owner = dataset, owner
        super().__init__(
            f"Another run of {dataset} is under way: {owner}; its lease is good until {until} UTC.",
            hint=f"Wait until it has finished (`meterlake runs {dataset}`); a dead one loses its lease by itself.",
        )


class UsageError(PermanentError):
    """The command's words are wrong."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that is not one of the known ones. It lists them, or says ``rule`` in their place, where they are many."""

    def __init__(self, kind: str, name: str, known: Iterable[str], rule: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        close = get_close_matches(name, self.known, n=1)
        guess = f"Did you mean {close[0]!r}? " if close else ""
        super().__init__(f"Unknown {kind} {name!r}.", hint=f"{guess}{rule or self._listed()}")

    def _listed(self) -> str:
        more = len(self.known) - _LISTED
        return f"Known: {', '.join(self.known[:_LISTED])}{f' and {more} more' if more > 0 else ''}."


class DeclarationError(PermanentError):
    """A data set's declaration contradicts itself; found when it is constructed, before anything runs."""

    def __init__(self, where: str, problem: str, *, expected: str) -> None:
        self.where, self.problem, self.expected = where, problem, expected
        super().__init__(f"{where}: {problem}.", hint=f"{expected}.")


class ExpressionError(PermanentError):
    """A rule or derived value is not an expression that every engine computes alike."""

    def __init__(self, sql: str, problem: str, *, expected: str) -> None:
        self.sql, self.problem, self.expected = sql, problem, expected
        super().__init__(f"Expression {sql!r}: {problem}.", hint=f"{expected}.")


class OutOfBalance(PermanentError):
    """Readings got lost or were counted twice between what was read and what was decided."""

    NOT_PUBLISHED = "Nothing was published. Run again; if it stays, report it with the run's record: it is a bug."

    def __init__(self, place: str, read: int, parts: dict[str, int], hint: str = NOT_PUBLISHED) -> None:
        self.place, self.read, self.parts = place, read, parts
        total = sum(parts.values())
        listed = " + ".join(f"{count} {name}" for name, count in parts.items())
        super().__init__(
            f"{place}: {read} readings were read, but {listed} makes {total}: {abs(read - total)} "
            f"{'are missing' if total < read else 'too many'}.",
            hint=hint,
        )


class TtlTooShort(PermanentError):
    """Speed rows would expire before batch has covered them."""

    def __init__(self, dataset: str, ttl: str, needed: str) -> None:
        self.dataset, self.ttl, self.needed = dataset, ttl, needed
        super().__init__(
            f"Cassandra TTL of {dataset} ({ttl}) is shorter than batch interval + lateness + one missed run "
            f"({needed}): minutes would be lost between the layers.",
            hint=f"Set METERLAKE_SPEED_TTL to at least {needed.replace(' ', '')}, or run batch more often.",
        )


class KafkaRetentionTooShort(PermanentError):
    """Kafka would drop messages that a speed query which begins again needs."""

    def __init__(self, dataset: str, retention: str, needed: str) -> None:
        self.dataset, self.retention, self.needed = dataset, retention, needed
        super().__init__(
            f"Kafka keeps the readings of {dataset} for {retention}, shorter than batch interval + lateness + one "
            f"missed run ({needed}): a query that begins again would show minutes that lack readings.",
            hint=f"Set retention.ms of its topic to at least {needed} (METERLAKE_KAFKA_RETENTION for new topics), or"
            " run batch more often.",
        )


class RollbackLosesMinutes(PermanentError):
    """The speed rows that an older boundary needs have expired."""

    def __init__(self, dataset: str, since: str, until: str, ttl: str) -> None:
        self.dataset, self.since, self.until = dataset, since, until
        super().__init__(
            f"Rolling {dataset} back would put the boundary at {since}, but speed rows live {ttl}: the minutes "
            f"from {since} to {until} would be in neither layer.",
            hint="Roll back to a newer run, or accept that range with --allow-gap.",
        )
