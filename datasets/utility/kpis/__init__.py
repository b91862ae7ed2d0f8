"""The figures of the utility, and the rows that they are asked of."""

from __future__ import annotations

from typing import Final

from datasets.utility import predictions
from datasets.utility.kpis import billing, collection, network, outages, predicted, reliability, service

VIEWS: Final = (
    *reliability.VIEWS, *outages.VIEWS, *service.VIEWS, *billing.VIEWS, *collection.VIEWS, *network.VIEWS,
    predictions.VIEW, *predicted.VIEWS,
)  # fmt: skip
KPIS: Final = (
    *reliability.KPIS, *outages.KPIS, *service.KPIS, *billing.KPIS, *collection.KPIS, *network.KPIS,
    *predicted.KPIS,
)  # fmt: skip
