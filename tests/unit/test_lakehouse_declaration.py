"""Lakehouses are declared, found and checked: what is wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from datasets.telecom.declaration import CALLS, TELECOM
from datasets.telecom.references import AGENTS
from datasets.utility.declaration import UTILITY
from lakehouse import kpi
from lakehouse.layers import tables, verdict
from meterlake import discovery, registry
from meterlake.columns import INT, STRING, TIMESTAMP, decimal
from meterlake.errors import DeclarationError, UnknownName, UsageError
from meterlake.lakehouse.dictionary import page
from meterlake.lakehouse.fields import Check, Field, Known
from meterlake.lakehouse.model import Dimension, Fact, Kpi, Lookup, Measure, View
from meterlake.lakehouse.sources import Extract

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]


def _lookup(**changes: Any) -> Fact:
    fact = TELECOM.facts[0]
    return replace(fact, lookups=(replace(fact.lookups[0], **changes),))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Field("Amount", INT, "x"), "the name 'Amount' is none"),
        (lambda: Field("is_rejected", INT, "x"), "the tables have a column of that name"),
        (lambda: Field("amount", decimal(2), "x", pattern="a"), "a decimal has no pattern"),
        (lambda: Field("name", STRING, "x", between=(1, None)), "a string has no range"),
        (lambda: Field("score", INT, "x", between=(5, 1)), "nothing is between 5 and 1"),
        (lambda: Field("name", STRING, "x", pattern="("), "the pattern '(' is none"),
        (lambda: Check("sum", "a = = b", "x"), "'a = = b' is no expression"),
        (lambda: replace(CALLS, id="number"), "its id names the field 'number'"),
        (lambda: replace(CALLS, day_in_id="C-(?P<days>"), "is no regular expression"),
        (lambda: replace(CALLS, day_in_id=r"C-(\d+)"), "names nothing, not the day that 'timestamp' is made of"),
        (lambda: replace(CALLS, day_in_id=r"C-(?P<hour>\d+)"), "names hour, not the day that 'timestamp' is made of"),
        (lambda: replace(CALLS, day_in_id=r"(?P<day>.)(?P<days>.)"), "names day, days, not the day"),
        (lambda: replace(CALLS, time="status"), "its time 'status' is no timestamp"),
        (lambda: replace(CALLS, fields=(*CALLS.fields, CALLS.fields[0])), "the field 'call_id' occurs 2 times"),
        (lambda: replace(CALLS, checks=(Check("c", "duration > 0", "x"),)), "its check 'c' names the field 'duration'"),
        (lambda: replace(CALLS, known=(Known("cell", "cell_sites"),)), "names the field 'cell'"),
        (
            lambda: replace(TELECOM, events=(replace(CALLS, known=(Known("status", "words"),)),)),
            "Event 'calls' asks for the reference 'words'",
        ),
        (
            lambda: replace(
                TELECOM, references=(replace(AGENTS, known=(Known("agent_id", "users"),)), *TELECOM.references[:3])
            ),
            "the reference 'agents' asks for another one",
        ),
        (
            lambda: replace(CALLS, extract=Extract(database="d", table="t", key="k", deletions="compare")),
            "deletions='compare', and no field 'is_deleted'",
        ),
        (lambda: replace(TELECOM, time_zone="Africa/Atlantis"), "there is no time zone 'Africa/Atlantis'"),
        (lambda: replace(TELECOM, most_rejected=20), "most_rejected=20 is no share"),
        (
            lambda: replace(TELECOM, events=(CALLS, replace(CALLS, name="more"))),
            "the topic 'telecom.calls' occurs 2 times",
        ),
        (
            lambda: replace(TELECOM, dimensions=(Dimension("dim_user", "users", "user_sk", ("name",)),)),
            "the dimension 'dim_user' does not begin with its key",
        ),
        (
            lambda: replace(TELECOM, dimensions=(Dimension("d", "users", "d_sk", ("phone_number", "age")),)),
            "the dimension 'd' has the attribute 'age'",
        ),
        (lambda: replace(TELECOM, facts=(_lookup(dimension="dim_moon"),)), "looks into the dimension 'dim_moon'"),
        (lambda: replace(TELECOM, facts=(_lookup(field="moon"),)), "looks up by 'moon'"),
        (lambda: replace(TELECOM, facts=(_lookup(column="amount"),)), "the column 'amount' occurs 2 times"),
        (
            lambda: replace(
                TELECOM,
                facts=(Fact("f", "calls", "x", (Lookup("dim_user", "call_id", "u"),), (Measure("x", "additive"),)),),
            ),
            "the fact 'f' measures 'x'",
        ),
        (
            lambda: Kpi(name="k", title="", unit="1", fact="f", sql="1 +", grain=(), better="lower", source=""),
            "'1 +' is no expression",
        ),
    ],
)
def test_what_contradicts_itself_is_named(make: Callable[[], object], words: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        make()
    assert words in str(caught.value)
    assert caught.value.hint


def test_lakehouses_are_found_beside_meters() -> None:
    assert registry.required_lakehouse("telecom").declaration is TELECOM
    assert "telecom" not in registry.names()
    with pytest.raises(UsageError, match="telecom is a lakehouse: this command is for data sets of meters"):
        registry.declaration("telecom")
    with pytest.raises(UsageError, match="household is a data set of meters"):
        registry.required_lakehouse("household")
    with pytest.raises(UnknownName, match="Did you mean 'telecom'"):
        registry.required_lakehouse("telecoms")


def test_two_of_one_name_are_a_problem(tmp_path: Path) -> None:
    meters = (
        "from dataclasses import replace\nfrom datasets.household import DATASET as OURS\n"
        "from meterlake.dataset import DataSet\n"
        "DATASET = DataSet(declaration=replace(OURS.declaration, name='telecom'))"
    )
    texts = {"one": "from datasets.telecom.declaration import TELECOM as DATASET", "two": meters}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    (problem,) = discovery.in_folder(tmp_path).problems
    assert problem.problem == "'telecom' is a lakehouse, too"


def test_tables_have_the_columns_of_the_described_system() -> None:
    by_name = {table.name: table for table in tables.every(TELECOM) if table.layer == "gold"}
    assert by_name["fact_recharge"].names == [
        *("transaction_sk", "date_sk", "time_sk", "user_sk", "transaction_id", "event_type", "customer"),
        *("balance_after", "balance_before", "amount", "currency", "payment_method", "phone_number", "timestamp"),
    ]
    assert dict(by_name["fact_recharge"].columns)["amount"] == "DECIMAL(18,2)"
    assert by_name["dim_date"].names == ["date_sk", "date_value", "year", "month", "day", "day_of_week", "is_weekend"]
    assert {"user_sk", "phone_number", "name", "email", "address"} <= set(by_name["dim_user"].names)
    assert len(by_name) == 11


def test_figures_of_views_know_where_they_may_not_be_asked() -> None:
    views = (
        View("a", "SELECT date_sk, status FROM fact_calls", ("date_sk", "status")),
        View("b", "SELECT * FROM a", ("status",)),
    )
    asked = Kpi(name="k", title="", unit="1", fact="b", sql="COUNT(*)", grain=("status",), better="lower", source="")
    given = replace(TELECOM, views=views, kpis=(asked,))
    assert kpi.statement(given, "k", (), None, None) == (
        "WITH a AS (SELECT date_sk, status FROM lake.telecom_gold.fact_calls), b AS (SELECT * FROM a)"
        " SELECT COUNT(*) AS k FROM b",
        [],
    )
    with pytest.raises(UnknownName, match="column of b 'date_sk'"):
        kpi.statement(given, "k", ("date_sk",), None, None)
    with pytest.raises(DeclarationError, match="View 'a': it reads 'nothing'"):
        kpi.statement(
            replace(given, views=(replace(views[0], sql="SELECT 1 FROM nothing"), views[1])), "k", (), None, None
        )
    with pytest.raises(DeclarationError, match="the figure 'k' is by 'date_sk'"):
        replace(given, kpis=(replace(asked, grain=("date_sk",)),))
    with pytest.raises(DeclarationError, match="one of per and inner is missing"):
        replace(asked, per=("status",))


def test_the_dictionary_is_that_of_the_declaration() -> None:
    assert (ROOT / "docs" / "utility-dictionary.md").read_text(encoding="utf-8") == page(UTILITY)
    text = page(TELECOM)
    assert (ROOT / "docs" / "telecom-dictionary.md").read_text(encoding="utf-8") == text
    assert "| `from_imei` | Device of the sender | VARCHAR |  |  | check digit | yes |" in text
    assert "| `satisfaction_score` | From 1 to 5 | INTEGER |  | yes | 1 to 5 |  |" in text
    assert "| `agent_id` | Who helped | VARCHAR |  |  | a key of agents |  |" in text


def test_figures_divide_as_spark_does() -> None:
    sql, parameters = kpi.statement(TELECOM, "call_drop_rate", ("call_type",), date(2026, 11, 1), None)
    assert sql == (
        "SELECT \"call_type\", CAST(COUNT_IF(status = 'dropped') AS DOUBLE)"
        " / NULLIF(NULLIF(COUNT_IF(status IN ('completed', 'dropped')), 0), 0) AS call_drop_rate"
        " FROM lake.telecom_gold.fact_calls"
        ' WHERE date_sk >= ? GROUP BY "call_type" ORDER BY "call_type"'
    )
    assert parameters == ["20261101"]
    with pytest.raises(UnknownName, match="Known: call_drop_rate"):
        kpi.statement(TELECOM, "drop_rate", (), None, None)
    with pytest.raises(UnknownName, match="Did you mean 'call_type'"):
        kpi.statement(TELECOM, "call_drop_rate", ("call_typ",), None, None)


def test_a_day_that_an_id_names_is_that_of_the_time() -> None:
    outer = replace(CALLS, day_in_id=r"(C|D)-(?P<day>\d{4}-\d\d-\d\d)-.*")
    assert verdict.day_of_id(outer, "x") == (
        r"try_cast(regexp_extract(CAST(x AS STRING), '^(?:(C|D)-(\\d{4}-\\d\\d-\\d\\d)-.*)$', 2) AS DATE)"
    )
    assert "'not_its_day'" in verdict.judged(outer, "source")
    assert "'not_its_day'" not in verdict.judged(CALLS, "source")
    named = {event.name for event in (*TELECOM.events, *UTILITY.events) if event.day_in_id}
    assert named == {"feeder_days", "feeder_loads", "transformer_days"}
    text = page(UTILITY)
    assert text.count("The identity names its day") == 3


def test_fields_with_the_names_of_types_are_in_quotes() -> None:
    event = replace(CALLS, checks=(Check("c", "timestamp > TIMESTAMP '2020-01-01'", "x"),), known=())
    sql = verdict.judged(event, "source")
    assert "NOT (`timestamp` > CAST('2020-01-01' AS TIMESTAMP" in sql
    assert "named_struct('code', 'pattern', 'field', 'from_tac'" in sql
    assert verdict._literal("it's a \\d") == "'it\\'s a \\\\d'"  # noqa: SLF001
    assert Field("t", TIMESTAMP, "When").column().doc == "When"
