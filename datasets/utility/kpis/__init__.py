"""The figures of the utility, and the rows that they are asked of."""

from __future__ import annotations

from typing import Final

from datasets.utility.kpis import billing, collection, network, outages, reliability, service

VIEWS: Final = (
    *reliability.VIEWS, *outages.VIEWS, *service.VIEWS, *billing.VIEWS, *collection.VIEWS, *network.VIEWS,
)  # fmt: skip
KPIS: Final = (
    *reliability.KPIS, *outages.KPIS, *service.KPIS, *billing.KPIS, *collection.KPIS, *network.KPIS,
)  # fmt: skip
