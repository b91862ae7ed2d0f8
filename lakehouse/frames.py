"""A lakehouse as pandas frames, for notebooks: what readers see, asked of Trino."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engines import trino
from lakehouse import kpi
from meterlake import registry
from meterlake.errors import PermanentError
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import pandas as pd

    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.settings import Settings


class NothingToRead(PermanentError):
    """A lakehouse has no tables yet, or none of what a notebook is about."""


@dataclass(frozen=True)
class Lake:
    """A lakehouse that has been filled. Numbers come as floats: exact ones are what the commands are for."""

    settings: Settings
    lakehouse: Lakehouse

    def ask(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """Return the rows of a query, as Trino writes it, over facts, dimensions and views of the declaration.

        Raises DeclarationError for a table that is not there, and what Trino's client raises.
        """
        return self._frame(kpi.asked(self.lakehouse, sql), parameters)

    def figure(self, name: str, *by: str, since: date | None = None, until: date | None = None) -> pd.DataFrame:
        """Return a figure by columns, as `meterlake kpi` has it; without columns one row of the total."""
        return self._frame(*kpi.statement(self.lakehouse, name, by, since, until))

    def total(self, name: str, since: date | None = None, until: date | None = None) -> float:
        """Return a figure as one number; NaN where it has none."""
        value = self.figure(name, since=since, until=until)[name].iloc[0]
        return float("nan") if value is None else float(value)

    def _frame(self, sql: str, parameters: Sequence[Any]) -> pd.DataFrame:
        from decimal import Decimal

        import pandas as pd

        columns, rows = trino.select(self.settings, sql, list(parameters) or None)
        plain = [[float(value) if isinstance(value, Decimal) else value for value in row] for row in rows]
        return pd.DataFrame(plain, columns=columns).infer_objects()


def opened(name: str) -> Lake:
    """Return a lakehouse, with the settings of the environment.

    Raises NothingToRead where no batch has filled it, EngineUnavailable where Trino does not answer, UnknownName.
    """
    settings, lakehouse = load_settings(), registry.required_lakehouse(name).declaration
    gold = lakehouse.namespace("gold")
    rows = trino.rows(settings, "SELECT table_name FROM lake.information_schema.tables WHERE table_schema = ?", [gold])
    missing = sorted({fact.name for fact in lakehouse.facts} - {row[0] for row in rows})
    if missing:
        raise NothingToRead(
            f"Trino at {settings.trino} has no table lake.{gold}.{missing[0]}.",
            hint=f"`meterlake land {name}` and `meterlake batch {name}` fill it; `make demo-utility` fills an example."
            " METERLAKE_HOME and METERLAKE_PORT_OFFSET must be those of the servers that you filled.",
        )
    return Lake(settings, lakehouse)
