"""The data dictionary of a lakehouse: every table, column, unit, rule and figure on one page, from the declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterlake.lakehouse.records import Event, Reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.fields import Field
    from meterlake.lakehouse.model import Dimension, Fact, Kpi, Mart
    from meterlake.lakehouse.prediction import Prediction
    from meterlake.lakehouse.records import Record


def page(lakehouse: Lakehouse) -> str:
    """Return the page, in Markdown."""
    lines = [
        f"# {lakehouse.title}: data dictionary",
        "",
        f"Made by `meterlake dictionary {lakehouse.name}`. Instants are UTC; days and seconds of a day are those of"
        f" {lakehouse.time_zone}.",
    ]
    for kind, records in (("Events", lakehouse.events), ("References", lakehouse.references)):
        lines += ["", f"## {kind}"]
        for record in records:
            lines += ["", *_record(record)]
    lines += ["", "## Dimensions"]
    for dimension in lakehouse.dimensions:
        lines += ["", *_dimension(lakehouse, dimension)]
    lines += ["", "## Facts"]
    for fact in lakehouse.facts:
        lines += ["", *_fact(lakehouse, fact)]
    if lakehouse.views:
        lines += ["", "## Rows of figures", "", "| name | figures of it may be by |", "|--|--|"]
        lines += [
            f"| `{view.name}` | {', '.join(f'`{name}`' for name in view.dimensions)} |" for view in lakehouse.views
        ]
    if lakehouse.kpis:
        lines += ["", "## Figures", "", "| figure | meaning | unit | better | formula | by | defined by |"]
        lines += ["|--|--|--|--|--|--|--|", *map(_kpi, lakehouse.kpis)]
    if lakehouse.predictions:
        lines += ["", "## Predictions", "", "| prediction | of the next day | from | features |", "|--|--|--|--|"]
        lines += map(_prediction, lakehouse.predictions)
    if lakehouse.marts:
        lines += ["", "## Marts", "", "| mart | question | of | by | figures |", "|--|--|--|--|--|"]
        lines += map(_mart, lakehouse.marts)
    return "\n".join(lines) + "\n"


def _record(record: Event | Reference) -> Iterator[str]:
    yield f"### {record.name}: {record.title}"
    yield ""
    identity = ", ".join(f"`{name}`" for name in record.identity)
    kept = ""
    if isinstance(record, Reference):
        words = {"overwrite": " The latest record of a key counts.", "versions": " Each version is kept."}
        kept = words[record.history]
    if isinstance(record, Event) and record.day_in_id:
        kept = f" The identity names its day (`{record.day_in_id.replace('|', chr(92) + '|')}`)."
    origin = f"Topic `{record.topic}`"
    if record.extract:
        origin = (
            f"Table `{record.extract.table}` of the database `{record.extract.database}`, landed as `{record.topic}`"
        )
    yield f"{origin}; identified by {identity}; its time is `{record.time}`.{kept}"
    yield ""
    yield "| field | meaning | type | unit | may be missing | allowed | personal |"
    yield "|--|--|--|--|--|--|--|"
    for field in record.fields:
        yield _field(record, field)
    if record.checks:
        yield ""
        yield "| check | an accepted record meets | meaning |"
        yield "|--|--|--|"
        for check in record.checks:
            yield f"| `{check.name}` | `{check.sql}` | {check.title} |"


def _field(record: Record, field: Field) -> str:
    low, high = field.between
    allowed = [
        f"`{field.pattern}`".replace("|", "\\|") if field.pattern else "",
        ", ".join(field.one_of),
        f"{low} or more" if low is not None and high is None else "",
        f"{high} or less" if low is None and high is not None else "",
        f"{low} to {high}" if low is not None and high is not None else "",
        "check digit" if field.digits else "",
        *(f"a key of {known.reference}" for known in record.known if known.field == field.name),
    ]
    words = "; ".join(filter(None, allowed))
    unit = "" if field.unit == "1" else field.unit
    missing, personal = ("yes" if flag else "" for flag in (field.nullable, field.pii))
    return f"| `{field.name}` | {field.title} | {field.type.sql('trino')} | {unit} | {missing} | {words} | {personal} |"


def _dimension(lakehouse: Lakehouse, dimension: Dimension) -> list[str]:
    reference = lakehouse.reference(dimension.reference)
    number = 2 if reference.history == "versions" else 1
    attributes = ", ".join(f"`{name}`" for name in dimension.attributes)
    levels = f" From coarse to fine: {', '.join(f'`{name}`' for name in dimension.levels)}." if dimension.levels else ""
    return [
        f"### {dimension.name}",
        "",
        f"Type {number}, of `{reference.name}`. Key `{dimension.key}`; {attributes}; `valid_from`, `valid_to`,"
        f" `is_current`; `is_placeholder`: whether only its key is known.{levels}",
    ]


def _fact(lakehouse: Lakehouse, fact: Fact) -> list[str]:
    event = lakehouse.event(fact.event)
    rows = [f"| `{lookup.column}` | {lookup.dimension}, by `{lookup.field}` | |" for lookup in fact.lookups]
    words = {"additive": "sums", "semi_additive": "sums, but not over time", "not_additive": "no sums"}
    rows += [
        f"| `{measure.field}` | {event.field(measure.field).title} | {words[measure.additivity]} |"
        for measure in fact.measures
    ]
    return [
        f"### {fact.name}",
        "",
        f"{fact.grain}. Further: `transaction_sk`, `date_sk`, `time_sk`, and all fields of `{event.name}`.",
        "",
        "| column | meaning | what it may be used for |",
        "|--|--|--|",
        *rows,
    ]


def _kpi(kpi: Kpi) -> str:
    by = ", ".join(f"`{name}`" for name in kpi.grain)
    formula = f"`{kpi.sql}` of `{kpi.fact}`"
    if kpi.per:
        inner = ", ".join(f"{name} = {sql}" for name, sql in kpi.inner.items())
        formula += f", summed up by {', '.join(kpi.per)}: `{inner}`"
    source = f"{kpi.source}. {kpi.caveat}" if kpi.caveat else kpi.source
    return f"| `{kpi.name}` | {kpi.title} | {kpi.unit} | {kpi.better} | {formula} | {by} | {source} |"


def _mart(mart: Mart) -> str:
    by = ", ".join(["`date_sk`", *(f"`{name}`" if name == sql else f"`{name}`: `{sql}`" for name, sql in mart.by)])
    figures = ", ".join(f"`{name}`: `{sql}`" for name, sql in mart.figures)
    return f"| `{mart.name}` | {mart.title} | `{mart.fact}` | {by} | {figures} |"


def _prediction(prediction: Prediction) -> str:
    features = ", ".join(f"`{name}`: {title}" for name, title in prediction.features.items())
    return f"| `{prediction.name}` | {prediction.title} | `{prediction.view}` | {features} |"
