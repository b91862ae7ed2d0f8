"""What is remembered of a meter whose messages show counters, and as which text it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import msgspec

from meterlake.registers import CounterReading, Edge, State

Values: TypeAlias = tuple[float | None, ...]
Amounts: TypeAlias = dict[str, tuple[int, bool]]
"""Of an interval: measure -> units, and whether they are estimated."""


class Shown(NamedTuple):
    """What the counters of a meter showed at an instant. units: of each counter of the source."""

    at_ms: int
    units: tuple[int | None, ...]
    serial: str = ""


@dataclass
class Made:
    """The reading of an interval as it was sent last: values of the reading, and the amounts behind them."""

    revision: int = -1
    values: Values = ()
    amounts: Amounts = field(default_factory=dict)


@dataclass
class MeterState:
    """What is known of a meter after its samples.

    counters: by measure. levels: start of an interval -> when, in milliseconds, and what was shown last in it.
    recent: samples within the source's lateness, in order of time. before: the counters before the first of them.
    made: start of an interval -> its reading, as far as a late sample may change it.
    """

    counters: dict[str, State] = field(default_factory=dict)
    levels: dict[int, tuple[int, Values]] = field(default_factory=dict)
    recent: list[Shown] = field(default_factory=list)
    before: dict[str, State] = field(default_factory=dict)
    made: dict[int, Made] = field(default_factory=dict)

    @property
    def newest_ms(self) -> int | None:
        """The time of the newest sample; None before the first one."""
        if self.recent:
            return self.recent[-1].at_ms
        return max((one.last.at * 1000 for one in self.counters.values()), default=None)

    def text(self) -> str:
        """Return it as text, for ``parsed``."""
        content = {
            "counters": _counters(self.counters),
            "levels": list(self.levels.items()),
            "recent": self.recent,
            "before": _counters(self.before),
            "made": [[begins, one.revision, one.values, one.amounts] for begins, one in self.made.items()],
        }
        return msgspec.json.encode(content).decode()

    @classmethod
    def parsed(cls, text: str) -> MeterState:
        """Return what ``text`` has written; of an earlier version, which took messages in order only, too."""
        content: dict[str, Any] = msgspec.json.decode(text)
        counters = _parsed(content["counters"])
        return cls(
            counters,
            {begins: (at, tuple(values)) for begins, (at, values) in content["levels"]},
            [Shown(at_ms, tuple(units), serial) for at_ms, units, serial in content.get("recent", ())],
            _parsed(content["before"]) if "before" in content else dict(counters),
            {
                begins: Made(revision, tuple(values), {name: (units, est) for name, (units, est) in amounts.items()})
                for begins, revision, values, amounts in content.get("made", ())
            },
        )


def _counters(states: dict[str, State]) -> dict[str, Any]:
    return {measure: [state.last[:3], state.total, state.edge] for measure, state in sorted(states.items())}


def _parsed(content: dict[str, Any]) -> dict[str, State]:
    return {
        measure: State(CounterReading(*last), total, None if edge is None else Edge(*edge))
        for measure, (last, total, edge) in content.items()
    }
