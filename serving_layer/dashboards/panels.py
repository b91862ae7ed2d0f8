"""Panels and dashboards with this project's look: one place for colours, gaps, legends, limits and links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, piechart, stat, table, timeseries, trend
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model

from serving_layer.dashboards.queries import CassandraQuery, Query

if TYPE_CHECKING:
    from meterlake.report_specs import Limits

TAG: Final = "meterlake"
GREEN, YELLOW, RED, GREY, BLUE = "#56A64B", "#F2CC0C", "#E02F44", "#8E8E8E", "#3274D9"
PARTS: Final = ("#E0B400", "#5794F2", "#B877D9", "#FF780A", "#73BF69")
"""Colours of parts of a whole, in their order; the rest is grey."""

UNITS: Final = {"kW": "kwatt", "kvar": "kvoltampreact", "V": "volt", "A": "amp", "Wh": "watth", "1": "none"}
"""Unit of a declaration -> unit of Grafana."""

P = TypeVar("P", timeseries.Panel, stat.Panel, table.Panel, bargauge.Panel, piechart.Panel, trend.Panel)
Steps = Sequence[tuple[float | None, str]]


def unit(name: str) -> str:
    """Return Grafana's name of a declaration's unit."""
    return UNITS.get(name, f"suffix: {name}")


def steps(*found: tuple[float | None, str]) -> build.ThresholdsConfig:
    """Return thresholds: each colour from its value on, the first from below."""
    listed = [model.Threshold(value, colour) for value, colour in found]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(listed)


def limits(found: Limits) -> build.ThresholdsConfig:
    """Return thresholds of a range in which a value must be."""
    return steps((None, RED), (found.low, GREEN), (found.high, RED))


def lines(title: str, doc: str, unit_name: str, queries: Sequence[Query], *, zero: bool = False) -> timeseries.Panel:
    """Return lines over time. A gap stays a gap. zero: whether the axis shows 0."""
    panel = _common(timeseries.Panel(), title, doc, unit_name, queries)
    panel = (
        panel.span_nulls(False)
        .line_width(1)
        .fill_opacity(8)
        .show_points(options.VisibilityMode.AUTO)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
    )
    return panel.axis_soft_min(0) if zero else panel


def bars(title: str, doc: str, unit_name: str, queries: Sequence[Query]) -> timeseries.Panel:
    """Return stacked bars over time."""
    return stacked(lines(title, doc, unit_name, queries).draw_style(options.GraphDrawStyle.BARS).fill_opacity(70))


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """Stack the series of a panel; what is below zero is stacked downwards, not clipped."""
    return panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))


def with_limits(panel: timeseries.Panel, found: Limits) -> timeseries.Panel:
    """Draw the limits into the picture, so that they are in sight also while all is well."""
    margin = (found.high - found.low) * 0.05
    panel = panel.thresholds(limits(found)).thresholds_style(dashed(area=True))
    return panel.axis_soft_min(found.low - margin).axis_soft_max(found.high + margin)


def dashed(*, area: bool = False) -> common.GraphThresholdsStyleConfig:
    """Return the style of limits in a picture: dashed lines, and what is beyond them shaded."""
    modes = options.GraphThresholdsStyleMode
    return common.GraphThresholdsStyleConfig().mode(modes.DASHED_AND_AREA if area else modes.DASHED)


def figure(title: str, doc: str, unit_name: str, queries: Sequence[Query]) -> stat.Panel:
    """Return large figures: the last value of each series."""
    return (
        _common(stat.Panel(), title, doc, unit_name, queries)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .color_mode(options.BigValueColorMode.VALUE)
        .graph_mode(options.BigValueGraphMode.NONE)
        .text_mode(options.BigValueTextMode.AUTO)
    )


def gauges(title: str, doc: str, unit_name: str, queries: Sequence[Query]) -> bargauge.Panel:
    """Return a bar a series: its last value."""
    return (
        _common(bargauge.Panel(), title, doc, unit_name, queries)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .orientation(options.VizOrientation.HORIZONTAL)
    )


def rows(title: str, doc: str, queries: Sequence[Query]) -> table.Panel:
    """Return a table."""
    return _common(table.Panel(), title, doc, "", queries).show_header(True).filterable(True)


def transformed(panel: P, *found: tuple[str, dict[str, Any]]) -> P:
    """Let Grafana transform a panel's answers: (name, options) one after the other."""
    for name, wanted in found:
        panel.with_transformation(model.DataTransformerConfig(name, options=wanted))
    return panel


def by_meter(panel: P, key: str) -> P:
    """Make a series of each meter, named by it, of rows with a column ``key``."""
    panel.display_name(f"${{__field.labels.{key}}}")
    return transformed(panel, ("prepareTimeSeries", {"format": "multi"}))


def from_cassandra(panel: P, key: str) -> P:
    """Bring the plugin's series in order: rows come latest first, and carry the meter's name in a column."""
    return transformed(
        panel,
        ("filterFieldsByName", {"exclude": {"names": [key]}}),
        ("sortBy", {"fields": {}, "sort": [{"field": "time"}]}),
    )


def one_table(panel: table.Panel, order: str, names: dict[str, str], hidden: Iterable[str] = ()) -> table.Panel:
    """Make one table of the plugin's tables, one a meter. names: column -> title, in the order wanted."""
    shown = {"renameByName": names, "indexByName": {name: place for place, name in enumerate(names)}}
    return transformed(
        panel,
        ("merge", {}),
        ("sortBy", {"fields": {}, "sort": [{"field": order}]}),
        ("organize", {"excludeByName": dict.fromkeys(hidden, True), **shown}),
    )


def column(panel: P, name: str, **properties: object) -> P:
    """Set properties of the field with this name, such as ``unit`` or ``color``."""
    panel.override_by_name(name, [model.DynamicConfigValue(key, value) for key, value in properties.items()])
    return panel


def coloured(panel: P, names: Sequence[str], colours: Sequence[str] = PARTS) -> P:
    """Give series fixed colours by their names."""
    for name, colour in zip(names, colours, strict=False):
        column(panel, name, color={"mode": "fixed", "fixedColor": colour})
    return panel


def sized(panel: P, width: int, height: int = 8) -> P:
    """Set the size on the grid of 24 columns."""
    return panel.span(width).height(height)


def dashboard(uid: str, title: str, doc: str, since: str, refresh: str) -> build.Dashboard:
    """Return an empty dashboard, linked with all others, read-only. since: begin of its range until now."""
    link = build.DashboardLink("meterlake").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return (
        build.Dashboard(title)
        .uid(uid)
        .description(doc)
        .tags([TAG])
        .time(since, "now")
        .timezone("browser")
        .refresh(refresh)
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(link.as_dropdown(False).include_vars(True).keep_time(False))
    )


def with_ranges(found: build.Dashboard, *named: tuple[str, str]) -> build.Dashboard:
    """Offer ranges until now in the time picker: (title, begin), such as ``("Last hour", "now-1h")``."""
    listed: list[Builder[model.TimeOption]] = [
        build.TimeOption().display(title).from_val(since).to("now") for title, since in named
    ]
    return found.timepicker(build.TimePicker().quick_ranges(listed))


def with_panels(found: build.Dashboard, listed: Sequence[Builder[model.Panel]]) -> build.Dashboard:
    """Place panels on the grid from left to right, with numbers that stay the same for links and alerts."""
    for place, panel in enumerate(listed):
        panel.id(place + 1)  # type: ignore[attr-defined]
        found.with_panel(panel)
    return found


def choice(name: str, label: str, query: Query, *, hidden: bool = False) -> build.QueryVariable:
    """Return a variable whose values are asked for: one of them where ``hidden``, else several or all.

    "All" stands for the explicit list of values, since no other text is set for it.
    """
    found = (
        build.QueryVariable(name)
        .label(label)
        .datasource(query.source)
        .query(_variable_query(query))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
    if hidden:
        return found.hide(model.VariableHide.HIDE_VARIABLE)
    every = model.VariableOption(text="All", value="$__all", selected=True)
    return found.multi(True).include_all(True).current(every).sort(model.VariableSort.NATURAL_ASC)


def options_of(name: str, label: str, values: Sequence[str]) -> build.CustomVariable:
    """Return a variable with fixed values, the first chosen."""
    listed = [model.VariableOption(text=value, value=value, selected=value == values[0]) for value in values]
    return build.CustomVariable(name).label(label).values(",".join(values)).options(listed).current(listed[0])


def annotation(name: str, colour: str, query: Query, *, shown: bool = True) -> build.AnnotationQuery:
    """Return marks on the time axis, of columns time, timeEnd (for a range) and text."""
    found = build.AnnotationQuery().name(name).icon_color(colour).enable(shown).hide(False)
    return found.datasource(query.source).target(query)


def _variable_query(query: Query) -> dict[str, object]:
    if isinstance(query, CassandraQuery):
        return {"refId": "A", "query": query.text}
    return {**query.to_json(), "query": query.text}


def _common(panel: P, title: str, doc: str, unit_name: str, queries: Sequence[Query]) -> P:
    panel.title(title).description(doc).no_value("no data")
    if unit_name:
        panel.unit(unit_name)
    for place, query in enumerate(queries):
        named = query.named(chr(ord("A") + place))
        panel.datasource(named.source)
        panel.with_target(named)
    return panel


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().display_mode(options.LegendDisplayMode.TABLE)
    return (
        legend.placement(options.LegendPlacement.BOTTOM).show_legend(True).calcs(["min", "mean", "max", "lastNotNull"])
    )
