"""Every error a user can cause: it says what, where, what was expected, and what to do.

Only a ``TransientError`` is worth a retry; a ``PermanentError`` stays wrong until somebody acts.
The command line prints the message without a traceback and exits with ``exit_code``.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class MeterlakeError(Exception):
    """Base of all errors of this project.

    what: the fact, naming the thing and the value. hint: what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, hint: str = "") -> None:
        self.what = what
        self.hint = hint
        super().__init__(f"{what} {hint}".strip())


class PermanentError(MeterlakeError):
    """Repeating the same call cannot help."""


class TransientError(MeterlakeError):
    """A later try may work: a server is starting, restarting or out of reach."""


class UsageError(PermanentError):
    """The command's words are wrong."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that is not one of the known ones; always lists them."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        close = get_close_matches(name, self.known, n=1)
        guess = f"Did you mean {close[0]!r}? " if close else ""
        super().__init__(f"Unknown {kind} {name!r}.", hint=f"{guess}Known: {', '.join(self.known)}.")


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
