"""Superset's data sets, charts and dashboard of a lakehouse's figures, as the bundle that it imports.

A figure is a data set (the statement of ``meterlake kpi``) and a chart; each page is a tab. Identities are made of
names, so that importing again changes what is there and adds nothing.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

import yaml

from lakehouse.kpi import statement
from meterlake.errors import PermanentError
from meterlake.lakehouse.model import Page

if TYPE_CHECKING:
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.model import Kpi

DATABASE: Final = "Trino"
_FORMATS: Final = {"1": ",.3~f", "min": ",.1~f", "PKR": ",.2~f"}
_PER_ROW, _COLUMNS, _HEIGHT, _MOST_ROWS = 3, 12, 50, 10_000
_STAMP: Final = (2026, 1, 1, 0, 0, 0)
"""Of files in the bundle: the same declaration makes the same bytes."""


def identity(*words: str) -> str:
    """Return the identity of what has a name."""
    return str(uuid5(NAMESPACE_URL, "/".join(("meterlake", *words))))


def files(lakehouse: Lakehouse, url: str) -> dict[str, str]:
    """Return path -> text of the bundle. url: of Trino; where Superset has the database, that stays as it is.

    Raises PermanentError where the lakehouse has no figures.
    """
    database = identity("database", DATABASE)
    if not lakehouse.kpis:
        raise PermanentError(f"{lakehouse.where} has no figures.", hint="Declare kpis= for it.")
    made: dict[str, Any] = {
        "metadata.yaml": {"version": "1.0.0", "type": "Dashboard", "timestamp": "2026-01-01T00:00:00+00:00"},
        f"databases/{DATABASE}.yaml": {
            "database_name": DATABASE, "sqlalchemy_uri": url, "expose_in_sqllab": True, "extra": {},
            "uuid": database, "version": "1.0.0",
        },
        f"dashboards/{lakehouse.name}.yaml": _dashboard(lakehouse),
    }  # fmt: skip
    for kpi in lakehouse.kpis:
        made[f"datasets/{DATABASE}/{lakehouse.name}_{kpi.name}.yaml"] = _dataset(lakehouse, kpi, database)
        made[f"charts/{lakehouse.name}_{kpi.name}.yaml"] = _chart(lakehouse, kpi)
    return {path: yaml.safe_dump(content, sort_keys=False, allow_unicode=True) for path, content in made.items()}


def bundle(texts: dict[str, str], name: str) -> bytes:
    """Return the files as the archive that Superset takes."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted(texts.items()):
            archive.writestr(zipfile.ZipInfo(f"{name}/{path}", _STAMP), text, zipfile.ZIP_DEFLATED)
    return written.getvalue()


def _dataset(lakehouse: Lakehouse, kpi: Kpi, database: str) -> dict[str, Any]:
    sql, _ = statement(lakehouse, kpi.name, None, None, None)
    words = dict.fromkeys(kpi.grain, ("VARCHAR", True)) | {kpi.name: ("DOUBLE", False)}
    columns = [
        {
            "column_name": name,
            "type": kind,
            "is_dttm": False,
            "groupby": groups,
            "filterable": groups,
            "is_active": True,
        }
        for name, (kind, groups) in words.items()
    ]
    return {
        "table_name": f"{lakehouse.name}_{kpi.name}",
        "description": f"{kpi.title}. {kpi.source}. {kpi.caveat}".strip(),
        "schema": lakehouse.namespace("gold"),
        "catalog": "lake",
        "sql": sql,
        "filter_select_enabled": True,
        "uuid": identity("dataset", lakehouse.name, kpi.name),
        "columns": columns,
        "metrics": [{"metric_name": kpi.name, "verbose_name": kpi.title, "expression": f'MAX("{kpi.name}")'}],
        "version": "1.0.0",
        "database_uuid": database,
    }


def _chart(lakehouse: Lakehouse, kpi: Kpi) -> dict[str, Any]:
    """Return bars by the one column of its grain, or else a table."""
    bars = len(kpi.grain) == 1
    kind = "echarts_timeseries_bar" if bars else "table"
    form: dict[str, Any] = {"viz_type": kind, "metrics": [kpi.name], "row_limit": _MOST_ROWS}
    if bars:
        number = _FORMATS.get(kpi.unit, "SMART_NUMBER")
        form |= {"x_axis": kpi.grain[0], "groupby": [], "y_axis_format": number, "x_axis_title": kpi.grain[0]}
        form |= {"y_axis_title": kpi.unit, "show_legend": False, "x_axis_sort_asc": True}
    else:
        form |= {"query_mode": "aggregate", "groupby": list(kpi.grain)}
    query = {
        "columns": list(kpi.grain),
        "metrics": [kpi.name],
        "orderby": [[name, True] for name in kpi.grain],
        "row_limit": _MOST_ROWS,
        "filters": [],
        "extras": {},
    }
    context = {
        "datasource": {"id": 0, "type": "table"},
        "force": False,
        "queries": [query],
        "form_data": form,
        "result_format": "json",
        "result_type": "full",
    }
    return {
        "slice_name": kpi.title,
        "description": f"{kpi.source}. {kpi.caveat}".strip(),
        "viz_type": kind,
        "params": form,
        "query_context": json.dumps(context),
        "uuid": identity("chart", lakehouse.name, kpi.name),
        "version": "1.0.0",
        "dataset_uuid": identity("dataset", lakehouse.name, kpi.name),
    }


def _dashboard(lakehouse: Lakehouse) -> dict[str, Any]:
    """Return the dashboard: a tab a page, three charts a row."""
    titles = {kpi.name: kpi.title for kpi in lakehouse.kpis}
    pages = lakehouse.pages or (Page("Figures", tuple(titles)),)
    tabs = [f"TAB-{number}" for number in range(len(pages))]
    position: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"id": "ROOT_ID", "type": "ROOT", "children": ["TABS-0"]},
        "TABS-0": {"id": "TABS-0", "type": "TABS", "children": tabs, "parents": ["ROOT_ID"], "meta": {}},
    }
    for tab, page in zip(tabs, pages, strict=True):
        rows = [page.kpis[begin : begin + _PER_ROW] for begin in range(0, len(page.kpis), _PER_ROW)]
        above = ["ROOT_ID", "TABS-0"]
        names = [f"ROW-{tab}-{number}" for number in range(len(rows))]
        position[tab] = {"id": tab, "type": "TAB", "children": names, "parents": above, "meta": {"text": page.title}}
        for row, kpis in zip(names, rows, strict=True):
            charts = [f"CHART-{name}" for name in kpis]
            style = {"background": "BACKGROUND_TRANSPARENT"}
            position[row] = {"id": row, "type": "ROW", "children": charts, "parents": [*above, tab], "meta": style}
            for chart, kpi in zip(charts, kpis, strict=True):
                meta = {
                    "uuid": identity("chart", lakehouse.name, kpi),
                    "sliceName": titles[kpi],
                    "width": _COLUMNS // _PER_ROW,
                    "height": _HEIGHT,
                    "chartId": 0,
                }
                parents = [*above, tab, row]
                position[chart] = {"id": chart, "type": "CHART", "children": [], "parents": parents, "meta": meta}
    return {
        "dashboard_title": lakehouse.title,
        "slug": lakehouse.name.replace("_", "-"),
        "uuid": identity("dashboard", lakehouse.name),
        "position": position,
        "metadata": {"cross_filters_enabled": True},
        "version": "1.0.0",
        "published": True,
    }
