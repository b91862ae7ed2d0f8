"""Superset's data sets, charts and dashboard of a lakehouse's figures, as the bundle that it imports.

A fact or a view is a data set, with the figures over its rows as metrics: Superset filters and groups them as it likes.
A figure over rows that are summed up first is a data set of its own, the statement of ``meterlake kpi``, which puts the
dashboard's filters into its rows. Each figure is a chart, and each page a tab. Identities are made of names, so that
importing again changes what is there and adds nothing.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

import yaml
from sqlglot import exp

from lakehouse.kpi import columns_of, every_row, expression, query, rows_of
from meterlake.errors import PermanentError
from meterlake.lakehouse.model import Page

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.model import Filters, Kpi

DATABASE: Final = "Trino"
PARTS: Final = {"dataset": "SqlaTable", "chart": "Slice", "dashboard": "Dashboard"}
"""What Superset imports, in order, and what it calls that."""
_FORMATS: Final = {"1": ",.3~f", "min": ",.1~f", "PKR": ",.2~f"}
_PER_ROW, _COLUMNS, _HEIGHT, _MOST_ROWS = 3, 12, 50, 10_000
_FILTERS: Final = "filters"
_FILTERED: Final = (
    "{{% if filter_values('{name}') %}}\"{name}\" IN {{{{ filter_values('{name}', remove_filter=True)|where_in }}}}"
    "{{% else %}}TRUE{{% endif %}}"
)
"""A condition of rows, which Superset writes: the values of a filter, if it has some."""
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
        f"databases/{DATABASE}.yaml": {
            "database_name": DATABASE, "sqlalchemy_uri": url, "expose_in_sqllab": True, "extra": {},
            "uuid": database, "version": "1.0.0",
        },
        f"dashboards/{lakehouse.name}.yaml": _dashboard(lakehouse),
    }  # fmt: skip
    datasets = {_dataset_of(kpi): _summed(lakehouse, kpi) for kpi in lakehouse.kpis if kpi.per}
    datasets |= {name: _rows(lakehouse, name) for name in sorted({kpi.fact for kpi in lakehouse.kpis if not kpi.per})}
    if lakehouse.filters:
        datasets[_FILTERS] = _values(lakehouse, lakehouse.filters)
    for name, content in datasets.items():
        table = f"{lakehouse.name}_{name}"
        made[f"datasets/{DATABASE}/{table}.yaml"] = {
            "table_name": table,
            "schema": lakehouse.namespace("gold"),
            "catalog": "lake",
            "filter_select_enabled": True,
            "uuid": identity("dataset", lakehouse.name, name),
            **content,
            "version": "1.0.0",
            "database_uuid": database,
        }
    for kpi in lakehouse.kpis:
        made[f"charts/{lakehouse.name}_{kpi.name}.yaml"] = _chart(lakehouse, kpi)
    return {path: yaml.safe_dump(content, sort_keys=False, allow_unicode=True) for path, content in made.items()}


def bundle(texts: dict[str, str], name: str, part: str = "dashboard") -> bytes:
    """Return the files as the archive that Superset takes for a dashboard, or just its data sets or charts.

    Superset replaces only what an archive is of; whatever else is in it, it takes where it is missing.
    """
    folders = ("databases", "datasets", "charts", "dashboards")
    wanted = folders[: folders.index(f"{part}s") + 1]
    content = {path: text for path, text in texts.items() if path.startswith(wanted)}
    about = {"version": "1.0.0", "type": PARTS[part], "timestamp": "2026-01-01T00:00:00+00:00"}
    content["metadata.yaml"] = yaml.safe_dump(about, sort_keys=False)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted(content.items()):
            archive.writestr(zipfile.ZipInfo(f"{name}/{path}", _STAMP), text, zipfile.ZIP_DEFLATED)
    return written.getvalue()


def limited(lakehouse: Lakehouse, columns: Collection[str]) -> list[str]:
    """Return the data sets of which a role may see only the rows with some values of columns; without columns: all."""
    names = {_dataset_of(kpi): () if kpi.per else _groups(lakehouse, kpi.fact) for kpi in lakehouse.kpis}
    if lakehouse.filters:
        names[_FILTERS] = lakehouse.filters.columns
    return [f"{lakehouse.name}_{name}" for name, of_it in sorted(names.items()) if set(columns) <= set(of_it)]


def clause(limits: Mapping[str, Sequence[str]]) -> str:
    """Return the condition of rows that have one of the values of each column."""
    terms = (exp.column(name, quoted=True).isin(*values) for name, values in limits.items())
    return " AND ".join(term.sql("trino") for term in terms)


def _dataset_of(kpi: Kpi) -> str:
    return f"{kpi.fact}_{kpi.name}" if kpi.per else kpi.fact


def _groups(lakehouse: Lakehouse, rows: str) -> tuple[str, ...]:
    """Return what rows may be grouped by, but for what is personal."""
    fact = next((item for item in lakehouse.facts if item.name == rows), None)
    fields = lakehouse.event(fact.event).fields if fact else ()
    personal = {field.name for field in fields if field.pii}
    return tuple(name for name in columns_of(lakehouse, rows) if name not in personal)


def _rows(lakehouse: Lakehouse, rows: str) -> dict[str, Any]:
    """Return the data set of a fact or a view: its figures are metrics."""
    kpis = [kpi for kpi in lakehouse.kpis if kpi.fact == rows and not kpi.per]
    return {
        "description": "; ".join(kpi.title for kpi in kpis),
        "sql": every_row(lakehouse, rows),
        "columns": [_column(name) for name in _groups(lakehouse, rows)],
        "metrics": [_metric(kpi, expression(kpi)) for kpi in kpis],
    }


def _summed(lakehouse: Lakehouse, kpi: Kpi) -> dict[str, Any]:
    """Return the data set of a figure over sums: rows are filtered before they are summed up."""
    filters = lakehouse.filters.columns if lakehouse.filters else ()
    names = [name for name in filters if name in columns_of(lakehouse, kpi.fact)]
    return {
        "description": f"{kpi.title}. {kpi.source}. {kpi.caveat}".strip(),
        "sql": query(lakehouse, kpi, kpi.grain, [_FILTERED.format(name=name) for name in names]),
        "columns": [*map(_column, kpi.grain), _column(kpi.name, "DOUBLE", groups=False)],
        "metrics": [_metric(kpi, f'MAX("{kpi.name}")')],
    }


def _values(lakehouse: Lakehouse, filters: Filters) -> dict[str, Any]:
    """Return the data set of what filters offer."""
    return {
        "description": "What the dashboard is filtered by",
        "sql": rows_of(lakehouse, filters.view, filters.columns, "trino", "lake"),
        "columns": [_column(name) for name in filters.columns],
        "metrics": [],
    }


def _column(name: str, kind: str | None = None, *, groups: bool = True) -> dict[str, Any]:
    return {
        "column_name": name, "type": kind, "is_dttm": False, "groupby": groups, "filterable": groups, "is_active": True,
    }  # fmt: skip


def _metric(kpi: Kpi, sql: str) -> dict[str, Any]:
    about = f"{kpi.source}. {kpi.caveat}".strip()
    return {"metric_name": kpi.name, "verbose_name": kpi.title, "expression": sql, "description": about}


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
        "dataset_uuid": identity("dataset", lakehouse.name, _dataset_of(kpi)),
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
        "metadata": {
            "cross_filters_enabled": True,
            "native_filter_configuration": _native_filters(lakehouse, lakehouse.filters) if lakehouse.filters else [],
        },
        "version": "1.0.0",
        "published": True,
    }


def _native_filters(lakehouse: Lakehouse, filters: Filters) -> list[dict[str, Any]]:
    """Return Superset's filters: each depends on those before it."""
    dataset = identity("dataset", lakehouse.name, _FILTERS)
    return [
        {
            "id": f"NATIVE_FILTER-{name}",
            "type": "NATIVE_FILTER",
            "filterType": "filter_select",
            "name": name.replace("_", " ").capitalize(),
            "description": "",
            "targets": [{"datasetUuid": dataset, "column": {"name": name}}],
            "controlValues": {"multiSelect": True, "searchAllOptions": True, "enableEmptyFilter": False,
                              "defaultToFirstItem": False, "inverseSelection": False},
            "defaultDataMask": {"extraFormData": {}, "filterState": {}, "ownState": {}},
            "cascadeParentIds": [f"NATIVE_FILTER-{before}" for before in filters.columns[:number]],
            "scope": {"rootPath": ["ROOT_ID"], "excluded": []},
        }
        for number, name in enumerate(filters.columns)
    ]  # fmt: skip
