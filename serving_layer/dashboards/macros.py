"""What Grafana and its plugins make of a query before a server sees it: variables and macros filled in.

Written from the plugins' behaviour (Trino plugin 1.1, Cassandra plugin 3.3), so that a check asks the servers what a
panel would ask. What is not known here is an error: it would reach the server as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from datetime import datetime

    from serving_layer.dashboards.queries import Query

_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
_MACRO: Final = re.compile(r"\$__(\w+)\(([^()]*)\)")
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")


class UnknownMacro(PermanentError):
    """A query has what no plugin fills in."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"Nothing fills in {name!r}.", hint=f"Known: {', '.join(known)}.")


@dataclass(frozen=True)
class Dashboard:
    """What a viewer has chosen. since, until: aware. values: variable -> its value, or several."""

    since: datetime
    until: datetime
    values: Mapping[str, str | Sequence[str]] = field(default_factory=dict)


def trino(query: Query, chosen: Dashboard) -> str:
    """Return the SQL that the Trino plugin sends: variables first (in the browser), then macros (in its backend).

    Several values become quoted literals with commas between them, a single one is put in as it is.
    Raises UnknownMacro, and PermanentError for a macro right before a closing bracket, which the plugin would swallow.
    """
    if result := re.search(r"\$__\w+\([^()]*\)\)", query.text):
        raise PermanentError(
            f"The Trino plugin takes {result.group()!r} with one bracket too many.",
            hint="Put a space between the macro and the bracket that follows.",
        )
    text = _filled(query.text, {name: _trino_value(value) for name, value in chosen.values.items()})
    since, until = (moment.strftime(_FORMAT) for moment in (chosen.since, chosen.until))

    def macro(match: re.Match[str]) -> str:
        known = {
            "timeFilter": f"{match[2]} BETWEEN TIMESTAMP '{since}' AND TIMESTAMP '{until}'",
            "dateFilter": f"{match[2]} BETWEEN date '{since[:10]}' AND date '{until[:10]}'",
            "timeFrom": f"TIMESTAMP '{since}'",
            "timeTo": f"TIMESTAMP '{until}'",
        }
        if match[1] not in known:
            raise UnknownMacro(match.group(), [f"$__{name}" for name in known])
        return known[match[1]]

    return _MACRO.sub(macro, text)


def cassandra(query: Query, chosen: Dashboard) -> str:
    """Return the CQL that the Cassandra plugin sends: times in milliseconds, lists by ``sqlstring``."""
    texts = {name: value if isinstance(value, str) else _list(value) for name, value in chosen.values.items()}
    since, until = (str(round(moment.timestamp() * 1000)) for moment in (chosen.since, chosen.until))
    return _filled(query.text, {**texts, "__timeFrom": since, "__timeTo": until})


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        if name in values:
            return values[name]
        if match[3] and text[match.end() : match.end() + 1] == "(" and name.startswith("__"):
            return match.group()  # a macro: filled in later
        raise UnknownMacro(match.group(), [f"${known}" for known in values])

    return _VARIABLE.sub(value, text)


def _trino_value(value: str | Sequence[str]) -> str:
    return value.replace("'", "''") if isinstance(value, str) else _list(value)


def _list(values: Sequence[str]) -> str:
    quoted = (value.replace("'", "''") for value in values)
    return ",".join(f"'{value}'" for value in quoted)
