"""Panels and dashboards with this project's look: one place for colours, gaps, legends, limits and links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    common,
    histogram,
    piechart,
    stat,
    table,
    text,
    timeseries,
    trend,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import text as text_model

from meterlake.physical_units import physical_unit
from serving_layer.dashboards.queries import CassandraQuery, Query

if TYPE_CHECKING:
    from meterlake.report_specs import Limits

TAG: Final = "meterlake"
GREEN, YELLOW, RED, GREY, BLUE, ORANGE = "#56A64B", "#F2CC0C", "#E02F44", "#8E8E8E", "#3274D9", "#FF9830"
PARTS: Final = ("#E0B400", "#5794F2", "#B877D9", "#FF780A", "#73BF69")
"""Colours of parts of a whole, in their order; the rest is grey."""

P = TypeVar(
    "P",
    text.Panel,
    timeseries.Panel,
    stat.Panel,
    table.Panel,
    bargauge.Panel,
    piechart.Panel,
    trend.Panel,
    barchart.Panel,
    histogram.Panel,
)
Steps = Sequence[tuple[float | None, str]]


def unit(name: str) -> str:
    """Return Grafana's name of a declaration's unit."""
    return physical_unit(name).grafana_id


def steps(*marks: tuple[float | None, str]) -> build.ThresholdsConfig:
    """Return thresholds: each colour from its value on, the first from below."""
    listed = [model.Threshold(value, colour) for value, colour in marks]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(listed)


def limits(declared: Limits) -> build.ThresholdsConfig:
    """Return thresholds of a range in which a value must be."""
    return steps((None, RED), (declared.low, GREEN), (declared.high, RED))


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


def with_limits(panel: timeseries.Panel, declared: Limits) -> timeseries.Panel:
    """Draw the limits into the picture, so that they are in sight also while all is well."""
    margin = (declared.high - declared.low) * 0.05
    panel = panel.thresholds(limits(declared)).thresholds_style(dashed(area=True))
    return panel.axis_soft_min(declared.low - margin).axis_soft_max(declared.high + margin)


def filled(panel: timeseries.Panel, low: str, middle: str, high: str) -> timeseries.Panel:
    """Draw three series as one line in a band. They are found by their names, so these must be what is shown."""
    column(panel, high, **{"custom.fillBelowTo": low, "custom.lineWidth": 0})
    column(panel, low, **{"custom.lineWidth": 0})
    return coloured(panel, (low, middle, high), (GREY, BLUE, GREY))


def dashed(*, area: bool = False) -> common.GraphThresholdsStyleConfig:
    """Return the style of limits in a picture: dashed lines, and what is beyond them shaded."""
    modes = options.GraphThresholdsStyleMode
    return common.GraphThresholdsStyleConfig().mode(modes.DASHED_AND_AREA if area else modes.DASHED)


def figure(
    title: str, doc: str, unit_name: str, queries: Sequence[Query], calcs: Sequence[str] = ("lastNotNull",)
) -> stat.Panel:
    """Return large figures: of each series its last value, or what ``calcs`` name, such as ``p90``."""
    return (
        _common(stat.Panel(), title, doc, unit_name, queries)
        .reduce_options(common.ReduceDataOptions().calcs(list(calcs)).values(False))
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


def ranking(title: str, doc: str, unit_name: str, query: Query, *, count: int, lowest: bool = False) -> bargauge.Panel:
    """Return a bar each of the rows with the highest (or lowest) ``value``, named by their one text."""
    panel = (
        _common(bargauge.Panel(), title, doc, unit_name, [query])
        .reduce_options(common.ReduceDataOptions().values(True).limit(count).fields("/^value$/").calcs(["lastNotNull"]))
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .orientation(options.VizOrientation.HORIZONTAL)
        .min(0)
    )
    return transformed(panel, ("sortBy", {"fields": {}, "sort": [{"field": "value", "desc": not lowest}]}))


def critical(panel: stat.Panel) -> stat.Panel:
    """Colour a critical figure that is missing: no data is no good news, and must not look like it."""
    nothing = model.ValueMappingResult(text="no data", color=ORANGE)
    mapped = model.DashboardSpecialValueMapOptions(match=model.SpecialValueMatch.NULL_AND_NAN, result=nothing)
    return panel.mappings([model.SpecialValueMap(options=mapped)])


def row(title: str) -> build.Row:
    """Return a heading over the panels below it."""
    return build.Row(title)


def note(content: str) -> text.Panel:
    """Return a line of text, in Markdown; variables are filled in."""
    return text.Panel().mode(text_model.TextMode.MARKDOWN).content(content).transparent(True)


def histogram_of(title: str, doc: str, unit_name: str, query: Query) -> histogram.Panel:
    """Return how many rows have a value of which size."""
    return _common(histogram.Panel(), title, doc, unit_name, [query]).fill_opacity(70).bucket_count(30)


def categories(title: str, doc: str, unit_name: str, query: Query, x_field: str) -> barchart.Panel:
    """Return bars beside each other over the texts of a column."""
    return (
        _common(barchart.Panel(), title, doc, unit_name, [query])
        .x_field(x_field)
        .orientation(options.VizOrientation.VERTICAL)
        .show_value(options.VisibilityMode.NEVER)
        .fill_opacity(80)
        .group_width(0.8)
        .legend(_plain_legend())
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI))
    )


def rows(title: str, doc: str, queries: Sequence[Query]) -> table.Panel:
    """Return a table."""
    return _common(table.Panel(), title, doc, "", queries).show_header(True).filterable(True)


def transformed(panel: P, *result: tuple[str, dict[str, Any]]) -> P:
    """Let Grafana transform a panel's answers: (name, options) one after the other."""
    for name, wanted in result:
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


def hatched(panel: timeseries.Panel, name: str) -> timeseries.Panel:
    """Draw bars that are estimated as an empty, dashed frame: Grafana has no hatching."""
    frame = {"custom.fillOpacity": 0, "custom.lineStyle": {"fill": "dash", "dash": [4, 4]}}
    return column(panel, name, color={"mode": "fixed", "fixedColor": ORANGE}, **frame)


def coloured(panel: P, names: Sequence[str], colours: Sequence[str] = PARTS) -> P:
    """Give series fixed colours by their names."""
    for name, colour in zip(names, colours, strict=False):
        column(panel, name, color={"mode": "fixed", "fixedColor": colour})
    return panel


def coloured_by_end(panel: P, ends: Sequence[str], colours: Sequence[str] = PARTS) -> P:
    """Give series fixed colours by the end of their names, such as ``Kitchen`` of ``plug-1: Kitchen``."""
    for end, colour in zip(ends, colours, strict=False):
        matching(panel, f"/{re.escape(end)}$/", color={"mode": "fixed", "fixedColor": colour})
    return panel


def matching(panel: P, pattern: str, **properties: object) -> P:
    """Set properties of the fields whose names match a regular expression, which stands in slashes."""
    panel.override_by_regexp(pattern, [model.DynamicConfigValue(key, value) for key, value in properties.items()])
    return panel


def titled(panel: P, names: Mapping[str, str]) -> P:
    """Give columns or series titles that people read. names: column -> title."""
    for name, title in names.items():
        column(panel, name, displayName=title)
    return panel


def sized(panel: P, width: int, height: int = 8) -> P:
    """Set the size on the grid of 24 columns."""
    return panel.span(width).height(height)


def halves(listed: Sequence[P], height: int = 8) -> list[P]:
    """Set the size of panels that stand two in a row; a last one alone has the row for itself."""
    alone = len(listed) % 2
    return [sized(panel, 24 if alone and place == len(listed) else 12, height) for place, panel in enumerate(listed, 1)]


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


def with_ranges(result: build.Dashboard, *named: tuple[str, str]) -> build.Dashboard:
    """Offer ranges until now in the time picker: (title, begin), such as ``("Last hour", "now-1h")``."""
    listed: list[Builder[model.TimeOption]] = [
        build.TimeOption().display(title).from_val(since).to("now") for title, since in named
    ]
    return result.timepicker(build.TimePicker().quick_ranges(listed))


def with_panels(result: build.Dashboard, listed: Sequence[Builder[model.Panel] | build.Row]) -> build.Dashboard:
    """Place panels on the grid from left to right, with numbers that stay the same for links and alerts."""
    for place, panel in enumerate(listed):
        panel.id(place + 1)  # type: ignore[union-attr]
        if isinstance(panel, build.Row):
            result.with_row(panel)
        else:
            result.with_panel(panel)
    return result


def choice(name: str, label: str, query: Query, *, pattern: str = "") -> build.QueryVariable:
    """Return a variable of which several values or all can be chosen.

    "All" stands for the explicit list of values, since no other text is set for it. pattern: regular expression, in
    slashes, by which the browser keeps values.
    """
    every = model.VariableOption(text="All", value="$__all", selected=True)
    result = _asked(name, label, query).multi(True).include_all(True).current(every)
    return (result.regex(pattern) if pattern else result).sort(model.VariableSort.NATURAL_ASC)


def hidden(result: build.QueryVariable) -> build.QueryVariable:
    """Hide a variable that nobody chooses."""
    return result.hide(model.VariableHide.HIDE_VARIABLE)


def computed(name: str, query: Query) -> build.QueryVariable:
    """Return a hidden variable with the one value that its query answers."""
    return hidden(_asked(name, name, query))


def search(name: str, label: str) -> build.TextBoxVariable:
    """Return a field for a text, empty at first."""
    return build.TextBoxVariable(name).label(label).default_value("")


def options_of(name: str, label: str, values: Sequence[str]) -> build.CustomVariable:
    """Return a variable with fixed values, the first chosen."""
    listed = [model.VariableOption(text=value, value=value, selected=value == values[0]) for value in values]
    return build.CustomVariable(name).label(label).values(",".join(values)).options(listed).current(listed[0])


def annotation(name: str, colour: str, query: Query, *, shown: bool = True) -> build.AnnotationQuery:
    """Return marks on the time axis, of columns time, timeEnd (for a range) and text."""
    result = build.AnnotationQuery().name(name).icon_color(colour).enable(shown).hide(False)
    return result.datasource(query.source).target(query)


def _asked(name: str, label: str, query: Query) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(query.source)
        .query(_variable_query(query))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


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


def _plain_legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().display_mode(options.LegendDisplayMode.LIST).calcs([])
    return legend.placement(options.LegendPlacement.BOTTOM).show_legend(True)
