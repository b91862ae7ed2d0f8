"""What of lakehouses is personal, and who sees it in Trino."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from datasets.telecom import DATASET as TELECOM
from datasets.utility import DATASET as UTILITY
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.personal import masked, pseudonym_key
from stack import access

pytestmark = pytest.mark.unit

NULL, NOTHING = "CAST(NULL AS varchar)", "CAST(NULL AS VARCHAR)"
PSEUDONYM = "lower(substr(to_hex(hmac_sha256(to_utf8(customer_id), to_utf8('k'))), 1, 24))"


def test_persons_are_masked_in_every_layer() -> None:
    result = {(item.schema, item.table): item.columns for item in masked(UTILITY, "k")}
    assert result["utility_gold", "dim_customer"] == {
        "customer_id": PSEUDONYM,
        "customer_name": NOTHING,
        "phone": NOTHING,
    }
    assert result["utility_gold", "fact_payment"] == {"customer_id": PSEUDONYM}
    assert result["utility_bronze", "customers"] == {"value": NULL, "key": NULL}
    silver = result["utility_silver", "customers"]
    assert set(silver) == {"customer_id", "customer_name", "phone", "record_id", "rejection_reasons"}
    assert result["utility_silver", "quarantine"] == {"value": NULL}
    assert ("utility_gold", "fact_feeder_energy_day") not in result
    without = {(item.schema, item.table): item.columns for item in masked(UTILITY, "")}
    assert set(without["utility_gold", "dim_customer"].values()) == {"CAST(NULL AS VARCHAR)"}


@pytest.mark.parametrize("declared", [UTILITY, TELECOM], ids=lambda item: item.name)
def test_no_personal_field_of_gold_is_forgotten(declared: Lakehouse) -> None:
    gold = (item for item in masked(declared, "k") if item.schema.endswith("gold"))
    result = {(item.table, column) for item in gold for column in item.columns}
    facts = {
        (fact.name, field.name) for fact in declared.facts for field in declared.event(fact.event).fields if field.pii
    }
    wanted = facts | {
        (item.name, name)
        for item in declared.dimensions
        for name in item.attributes
        if declared.reference(item.reference).field(name).pii
    }
    assert result == wanted
    assert len(wanted) > 5


def rule(user: str, catalog: str, schema: str, table: str, users: list[str]) -> dict[str, object]:
    """Return the first rule that fits, as Trino chooses it."""
    asked = {"user": user, "catalog": catalog, "schema": schema, "table": table}
    for result in json.loads(f"[{access.table_rules(users, 'k')}]"):
        if all(re.fullmatch(result[name], value) for name, value in asked.items() if name in result):
            return dict(result)
    return {}


def test_rules_let_those_see_persons_who_are_named() -> None:
    users = ["me", "a.b"]
    place = ("lake", "utility_gold", "dim_customer")
    for user in users:
        assert "columns" not in rule(user, *place, users)
    for user in ("you", "aXb", "grafana"):
        result = rule(user, *place, users)
        assert result["privileges"] == ["SELECT"]
        masks = {"customer_id": PSEUDONYM, "customer_name": "CAST(NULL AS VARCHAR)", "phone": "CAST(NULL AS VARCHAR)"}
        assert result["columns"] == [{"name": name, "mask": mask} for name, mask in masks.items()]
        assert rule(user, "lake", "utility_gold", "dim_customer$files", users)["privileges"] == []
        assert "columns" not in rule(user, "lake", "utility_gold", "fact_outage", users)
        assert rule(user, "hive", "household", "dim_customer", users)["privileges"] == access.ALL
    assert json.loads(f"[{access.table_rules([], '')}]") == [{"privileges": access.ALL}]


def test_pseudonyms_change_with_the_secret_and_do_not_give_it_away() -> None:
    assert pseudonym_key("") == ""
    one, other = pseudonym_key("secret"), pseudonym_key("secrets")
    assert one != other
    assert re.fullmatch("[0-9a-f]{64}", one)


def test_a_lakehouse_without_persons_masks_nothing() -> None:
    feeders = tuple(item for item in UTILITY.references if item.name == "feeders")
    days = tuple(item for item in UTILITY.events if item.name == "feeder_days")
    alone = replace(
        UTILITY,
        references=feeders,
        events=days,
        dimensions=(),
        facts=(),
        views=(),
        kpis=(),
        predictions=(),
        pages=(),
        filters=None,
    )
    assert list(masked(alone, "k")) == []
