"""The figures of the utility, and the rows that they are asked of."""

from __future__ import annotations

from typing import Final

from datasets.utility import predictions
from datasets.utility.kpis import billing, collection, network, outages, predicted, reliability, service
from meterlake.lakehouse.model import Page

VIEWS: Final = (
    *reliability.VIEWS, *outages.VIEWS, *service.VIEWS, *billing.VIEWS, *collection.VIEWS, *network.VIEWS,
    predictions.VIEW, *predicted.VIEWS,
)  # fmt: skip
KPIS: Final = (
    *reliability.KPIS, *outages.KPIS, *service.KPIS, *billing.KPIS, *collection.KPIS, *network.KPIS,
    *predicted.KPIS,
)  # fmt: skip
PAGES: Final = tuple(
    Page(title, tuple(kpi.name for kpi in module.KPIS))
    for title, module in (
        ("Reliability", reliability), ("Outages", outages), ("Customer service", service), ("Billing", billing),
        ("Collection and losses", collection), ("Network and load", network),
        ("Predicted outages", predicted),
    )
)  # fmt: skip
"""The tabs of the dashboard."""
