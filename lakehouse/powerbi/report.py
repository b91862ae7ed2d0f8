"""A report of a semantic model, as PBIR: one page with a choice of days, figures, and each fact and KPI by day."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from lakehouse.layers.tables import DATE

if TYPE_CHECKING:
    from lakehouse.powerbi.model import Measure, Model

_SCHEMAS: Final = "https://developer.microsoft.com/json-schemas/fabric/item/report/definition"
_PAGE: Final = "overview"
_WIDTH: Final = 1280
_HEIGHT: Final = 720
_GAP: Final = 16
_TOP: Final = 112
"""Height of the row of figures."""
_ACROSS: Final = 3
"""Charts side by side."""
Shown = tuple[str, "Measure"]
"""A figure and its table."""


def definition(model: Model) -> dict[str, str]:
    """Return path -> text of a report's definition."""
    visuals = [*_head(model), *_charts(model)]
    theme = {"name": "CY24SU10", "reportVersionAtImport": {"visual": "2.1.0", "report": "3.0.0", "page": "2.0.0"}}
    files: dict[str, dict[str, Any]] = {
        "version.json": _document("versionMetadata/1.0.0", version="2.0.0"),
        "report.json": _document("report/3.0.0", themeCollection={"baseTheme": {**theme, "type": "SharedResources"}}),
        "pages/pages.json": _document("pagesMetadata/1.0.0", pageOrder=[_PAGE], activePageName=_PAGE),
        f"pages/{_PAGE}/page.json": _document(
            "page/2.0.0",
            name=_PAGE,
            displayName=f"{model.title}: overview",
            displayOption="FitToPage",
            height=_HEIGHT,
            width=_WIDTH,
        ),
    }
    for visual in visuals:
        files[f"pages/{_PAGE}/visuals/{visual['name']}/visual.json"] = _document("visualContainer/2.1.0", **visual)
    return {path: text(document) for path, document in files.items()}


def text(document: dict[str, Any]) -> str:
    """Return a document as it is saved."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _document(kind: str, **parts: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"$schema": f"{_SCHEMAS}/{kind}/schema.json", **parts}


def _facts(model: Model) -> list[Shown]:
    return [(table.name, table.measures[0]) for table in model.tables if table.measures]


def _kpis(model: Model) -> list[Shown]:
    return [(table.name, item) for table in model.tables for item in table.measures if item.folder == "KPIs"]


def _head(model: Model) -> list[dict[str, Any]]:
    """Return a choice of days, and a card for each fact and KPI, side by side."""
    shown = [*_facts(model), *_kpis(model)]
    width = (_WIDTH - _GAP) // (len(shown) + 1) - _GAP
    places = [_place(at, _GAP + at * (width + _GAP), _GAP, width, _TOP) for at in range(len(shown) + 1)]
    days = _visual("days", places[0], "slicer", {"Values": [_column(DATE, "date_value")]})
    cards = [
        _visual(f"figure_{at}", places[at], "card", {"Values": [_measure(*item)]}) for at, item in enumerate(shown, 1)
    ]
    return [days, *cards]


def _charts(model: Model) -> list[dict[str, Any]]:
    """Return a chart for each fact and KPI, by day."""
    shown = [(item, "columnChart") for item in _facts(model)] + [(item, "lineChart") for item in _kpis(model)]
    rows = -(-len(shown) // _ACROSS)
    width = (_WIDTH - _GAP) // _ACROSS - _GAP
    height = (_HEIGHT - _TOP - 2 * _GAP) // rows - _GAP
    charts = []
    for at, (item, kind) in enumerate(shown):
        row, column = divmod(at, _ACROSS)
        left, top = _GAP + column * (width + _GAP), _TOP + 2 * _GAP + row * (height + _GAP)
        place = _place(len(shown) + 1 + at, left, top, width, height)
        fields = {"Category": [_column(DATE, "date_value")], "Y": [_measure(*item)]}
        charts.append(_visual(f"by_day_{at + 1}", place, kind, fields))
    return charts


def _place(order: int, x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "z": order, "width": width, "height": height, "tabOrder": order}


def _visual(name: str, place: dict[str, int], kind: str, fields: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    state = {role: {"projections": projections} for role, projections in fields.items()}
    visual = {"visualType": kind, "query": {"queryState": state}, "drillFilterOtherVisuals": True}
    return {"name": name, "position": place, "visual": visual}


def _column(table: str, column: str) -> dict[str, Any]:
    return _field("Column", table, column)


def _measure(table: str, measure: Measure) -> dict[str, Any]:
    return _field("Measure", table, measure.name)


def _field(kind: str, table: str, name: str) -> dict[str, Any]:
    result = {kind: {"Expression": {"SourceRef": {"Entity": table}}, "Property": name}}
    return {"field": result, "queryRef": f"{table}.{name}", "nativeQueryRef": name}
