"""The SQL that decodes and judges a record, from its declaration: every reason for which it is rejected."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from lakehouse.layers.tables import REASONS
from meterlake.lakehouse.fields import parse
from meterlake.lakehouse.records import Event

if TYPE_CHECKING:
    from meterlake.columns import LogicalType
    from meterlake.lakehouse.fields import Field
    from meterlake.lakehouse.records import Record

UNKNOWN_REASON: Final = "unknown"
"""Code of what must be known, and is not: it may be known later."""
_ZONE: Final = "(Z|[+-][0-9]{2}:?[0-9]{2})$"
_DAYS: Final = 2_932_896
"""From 1970-01-01 to 9999-12-31."""


def decoded(source: str) -> str:
    """Return the query that parses values. ``document`` is NULL where the value is no JSON object and nothing else.

    Spark's parser is content with what begins as JSON. In brackets, what follows the object is an error; where it
    closes them itself, braces find it.
    """
    return f"""
SELECT *, CASE WHEN ltrim(value) LIKE '{{%' AND try_variant_get(listed, '$[1]', 'variant') IS NULL
    AND (instr(value, ']') = 0 OR try_parse_json(concat('{{"r":', value, '}}')) IS NOT NULL) THEN listed END AS document
FROM (SELECT *, try_parse_json(concat('[', value, ']')) AS listed FROM {source})"""


def typed(record: Record, source: str) -> str:
    """Return the query that makes values of the fields; ``raw_…`` is the text that each had."""
    raw = ", ".join(f"{_text(field.name)} AS `raw_{field.name}`" for field in record.fields)
    values = ", ".join(f"{_value(field.type, f'`raw_{field.name}`')} AS `{field.name}`" for field in record.fields)
    texts = ", ".join(f"`raw_{field.name}`" for field in record.fields)
    return f"""
SELECT *, {values}, md5(to_json(struct({texts}))) AS payload_md5
FROM (SELECT *, {raw}, coalesce(try_variant_get(document, '$[0].revision', 'bigint'), 0) AS sent_revision
      FROM {source})"""


def judged(record: Record, source: str) -> str:
    """Return the query of records with the reasons that lie in themselves, and with their identity."""
    reasons = ", ".join([*map(_reason, record.fields), *_conditions(record)])
    return f"""
SELECT *, {_identity(record)} AS record_id, {_revision(record)} AS revision,
    filter(CAST(array({reasons}) AS {REASONS}), reason -> reason IS NOT NULL) AS rejection_reasons
FROM {source}"""


def unknown(field: str, key: str) -> str:
    """Return the reason that the key in a field is not known. found: SQL that is NULL where it is not."""
    return f"CASE WHEN `{field}` IS NOT NULL AND {key} IS NULL THEN {_struct(UNKNOWN_REASON, field, f'`{field}`')} END"


def day_of_id(event: Event, column: str) -> str:
    """Return the day that ids name, in whatever time zone; NULL where one names none."""
    expression = re.compile(event.day_in_id)
    ((kind, number),) = expression.groupindex.items()
    pattern = re.sub(r"\(\?P<\w+>", "(", event.day_in_id)
    found = f"regexp_extract(CAST({column} AS STRING), {_literal(f'^(?:{pattern})$')}, {number})"
    if kind == "day":
        return f"try_cast({found} AS DATE)"
    days = f"try_cast({found} AS INT)"
    return f"CASE WHEN {days} BETWEEN 0 AND {_DAYS} THEN date_add(DATE'1970-01-01', {days}) END"


def _text(name: str) -> str:
    return f"nullif(try_variant_get(document, '$[0].{name}', 'string'), '')"


def _value(kind: LogicalType, raw: str) -> str:
    match kind.kind:
        case "string":
            return raw
        case "decimal":
            exact = f"try_cast({raw} AS DECIMAL(38, 12))"
            value = f"try_cast({raw} AS {kind.sql('spark')})"
            return f"CASE WHEN {exact} = {value} THEN {value} END"
        case "double":
            return f"CASE WHEN {raw} RLIKE '^-?[0-9]' THEN try_cast({raw} AS DOUBLE) END"
        case "boolean":
            return f"CASE {raw} WHEN 'true' THEN true WHEN 'false' THEN false END"
        case "timestamp":
            moment = f"CAST(try_cast({raw} AS TIMESTAMP_LTZ) AS TIMESTAMP_NTZ)"
            return f"CASE WHEN {raw} RLIKE '{_ZONE}' THEN {moment} END"
        case _:
            return f"try_cast({raw} AS {kind.sql('spark')})"


def _reason(field: Field) -> str:
    raw, value = f"`raw_{field.name}`", f"`{field.name}`"
    missing = "NULL" if field.nullable else _struct("missing", field.name, raw)
    cases = [(f"{raw} IS NULL", missing), (f"{value} IS NULL", _struct("wrong_type", field.name, raw))]
    if field.pattern:
        cases.append((f"NOT {value} RLIKE {_literal(f'^({field.pattern})$')}", _struct("pattern", field.name, raw)))
    if field.one_of:
        texts = ", ".join(map(_literal, field.one_of))
        cases.append((f"{value} NOT IN ({texts})", _struct("not_one_of", field.name, raw)))
    if field.digits == "luhn":
        cases.append((f"NOT luhn_check({value})", _struct("check_digit", field.name, raw)))
    low, high = field.between
    bounds = [f"{value} < {low}"] * (low is not None) + [f"{value} > {high}"] * (high is not None)
    if bounds:
        cases.append((" OR ".join(bounds), _struct("out_of_range", field.name, raw)))
    return "CASE " + " ".join(f"WHEN {condition} THEN {reason}" for condition, reason in cases) + " END"


def _conditions(record: Record) -> list[str]:
    """Return the reasons that lie between fields, and in the time of arrival."""
    seconds = int(record.tolerance.total_seconds())
    future = f"`{record.time}` > arrived_at + INTERVAL '{seconds}' SECOND"
    checks = [
        f"CASE WHEN NOT ({_quoted(check.sql)}) THEN {_struct(check.name, '', 'NULL')} END" for check in record.checks
    ]
    in_future = f"CASE WHEN {future} THEN {_struct('in_future', record.time, f'`raw_{record.time}`')} END"
    return [*checks, in_future, *_not_its_day(record)]


def _not_its_day(record: Record) -> list[str]:
    """Return the reason that the time is not of the day that the id names: in no time zone are they a day apart."""
    if not isinstance(record, Event) or not record.day_in_id:
        return []
    near = f"abs(datediff(CAST(`{record.time}` AS DATE), {day_of_id(record, f'`{record.id}`')})) <= 1"
    other = f"`{record.time}` IS NOT NULL AND `{record.id}` IS NOT NULL AND NOT coalesce({near}, false)"
    return [f"CASE WHEN {other} THEN {_struct('not_its_day', record.id, f'`raw_{record.id}`')} END"]


def _quoted(sql: str) -> str:
    """Return an expression with its columns in quotes: a field may be called like a type."""
    tree = parse(sql, sql)
    for column in tree.find_all(exp.Column):
        column.set("this", exp.to_identifier(column.name, quoted=True))
    return tree.sql("spark")


def _identity(record: Record) -> str:
    """Return what identifies a record; one that does not say it is nobody else's copy."""
    origin = "concat(source_partition, '-', source_offset)"
    names = record.identity[:1] if getattr(record, "history", "") == "overwrite" else record.identity
    parts = [f"CAST(`{name}` AS STRING)" for name in names]
    return "coalesce(" + " || '|' || ".join(parts) + f", {origin})"


def _revision(record: Record) -> str:
    """Return what decides which of several records counts: the latest time where they overwrite each other."""
    if getattr(record, "history", "") == "overwrite":
        return f"coalesce(unix_micros(CAST(`{record.time}` AS TIMESTAMP_LTZ)), 0)"
    return "sent_revision"


def _struct(code: str, field: str, value: str) -> str:
    name = _literal(field) if field else "NULL"
    return f"named_struct('code', '{code}', 'field', {name}, 'value', {value})"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
