"""Queries of panels, variables and annotations, in the form that each Grafana data source plugin takes.

A query knows the columns that its panel needs (``needs``), so that a check can run it and compare.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Literal, Self

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef

Kind = Literal["time", "number", "text"]
Needs = Mapping[str, Kind]

TRINO: Final = DataSourceRef("trino-datasource", "meterlake-trino")
CASSANDRA: Final = DataSourceRef("hadesarchitect-cassandra-datasource", "meterlake-cassandra")
PROMETHEUS: Final = DataSourceRef("prometheus", "meterlake-prometheus")

_TABLE: Final = 1
"""Trino plugin: rows as they are. Its other form, time series, answers no rows with an error in some versions."""


@dataclass(frozen=True)
class Query(Dataquery, Builder[Dataquery]):
    """A statement, and the columns that its panel needs of the answer.

    sparse: no rows are a right answer, too, such as where nothing was rejected.
    """

    source: ClassVar[DataSourceRef]

    text: str
    needs: Needs = field(default_factory=dict)
    ref: str = "A"
    sparse: bool = False

    def build(self) -> Self:
        """Return itself: a query is its own builder."""
        return self

    def named(self, ref: str) -> Self:
        """Return the query under another name within its panel."""
        return replace(self, ref=ref)

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """Return what Grafana keeps of it."""


@dataclass(frozen=True)
class TrinoQuery(Query):
    """SQL for the Trino plugin; macros such as ``$__timeFilter(hour)``."""

    source: ClassVar[DataSourceRef] = TRINO

    def to_json(self) -> dict[str, object]:
        """Return the target."""
        return {"datasource": TRINO, "refId": self.ref, "rawSQL": self.text, "format": _TABLE}


@dataclass(frozen=True)
class CassandraQuery(Query):
    """CQL for the Cassandra plugin; the first column tells series apart, ``$__timeFrom`` is in milliseconds.

    alias: name of the numbers, such as ``{{ meter_id }}``.
    """

    source: ClassVar[DataSourceRef] = CASSANDRA

    alias: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the target."""
        return {
            "datasource": CASSANDRA,
            "refId": self.ref,
            "queryType": "query",
            "rawQuery": True,
            "target": self.text,
            "alias": self.alias,
        }


@dataclass(frozen=True)
class PrometheusQuery(Query):
    """PromQL. legend: name of each series. now: the present value alone, not a range."""

    source: ClassVar[DataSourceRef] = PROMETHEUS

    legend: str = ""
    now: bool = False

    def to_json(self) -> dict[str, object]:
        """Return the target."""
        return {
            "datasource": PROMETHEUS,
            "refId": self.ref,
            "expr": self.text,
            "legendFormat": self.legend or "__auto",
            "instant": self.now,
            "range": not self.now,
        }
