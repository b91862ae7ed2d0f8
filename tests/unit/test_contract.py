"""Data contracts: they are of the standard, say what the declaration says, and a change that breaks them is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import open_data_contract_standard
import pytest
import sqlglot
import yaml
from typer.testing import CliRunner

from cli.app import app
from cli.contract_command import FILE
from lakehouse.contract import contract as of_lakehouse
from meterlake import registry
from meterlake.contract.changes import changes, next_version
from meterlake.contract.odcs import document
from meterlake.contract.series import contract as of_series

pytestmark = pytest.mark.unit

SERIES = ("household", "half_hourly")
LAKEHOUSES = tuple(sorted(registry.listing().lakehouses))
Document = dict[str, Any]


@lru_cache
def made(name: str) -> Document:
    entry = registry.lakehouse(name)
    promised = of_lakehouse(entry.declaration) if entry else of_series(registry.declaration(name))
    return document(promised, "1.0.0")


def of(name: str) -> Document:
    return copy.deepcopy(made(name))


def loaded(text: str) -> Document:
    result: Document = yaml.load(text, yaml.CSafeLoader)
    return result


def table(contract: Document, name: str) -> Document:
    (result,) = [item for item in contract["schema"] if item["name"] == name]
    return result


def column(contract: Document, name: str, column: str) -> Document:
    (result,) = [item for item in table(contract, name)["properties"] if item["name"] == column]
    return result


@pytest.mark.parametrize("name", [*SERIES, *LAKEHOUSES])
def test_it_is_valid_by_the_standard_s_own_schema(name: str) -> None:
    schema = json.loads((files(open_data_contract_standard) / "schema.json").read_text())
    jsonschema.Draft201909Validator(schema).validate(of(name))


@pytest.mark.parametrize("name", [*SERIES, *LAKEHOUSES])
def test_ours_are_published_and_nothing_breaks_them(name: str) -> None:
    entry = registry.lakehouse(name) or registry.entry(name)
    assert entry.folder is not None
    published = loaded((entry.folder / FILE).read_text(encoding="utf-8"))
    result = changes(published, of(name))
    assert result == [], f"`meterlake dataset contract {name} --write` publishes it"


@pytest.mark.parametrize("name", [*SERIES, *LAKEHOUSES])
def test_every_rule_is_sql_of_trino_and_every_reference_leads_somewhere(name: str) -> None:
    contract = of(name)
    places = {item["name"]: {each["name"] for each in item["properties"]} for item in contract["schema"]}
    for item in contract["schema"]:
        for rule in item.get("quality", []):
            if rule["type"] == "sql":
                sqlglot.parse_one(rule["query"], read="trino")
            else:
                assert set(rule["arguments"]["properties"]) <= places[item["name"]]
        for each in item["properties"]:
            for way in each.get("relationships", []):
                target, _, key = way["to"].partition(".")
                assert key in places[target]


def test_a_lakehouse_s_contract_says_what_is_declared() -> None:
    contract = of("telecom")
    money = column(contract, "fact_payment", "payment_amount")
    assert (money["physicalType"], money["customProperties"]) == (
        "decimal(18,2)",
        [{"property": "unit", "value": "of its currency"}],
    )
    assert column(contract, "dim_user", "user_sk")["primaryKey"] is True
    assert column(contract, "dim_user", "name")["required"] is False
    assert column(contract, "fact_calls", "from_user_sk")["relationships"] == [
        {"type": "foreignKey", "to": "dim_user.user_sk"}
    ]
    personal = {item["name"] for item in table(contract, "telecom.users")["properties"] if "classification" in item}
    declared = registry.required_lakehouse("telecom").declaration.reference("users")
    assert personal == {field.name for field in declared.fields if field.pii}


def test_a_series_contract_says_what_is_declared() -> None:
    contract = of("household")
    power = column(contract, "merged_household_minute", "global_active_power_sum")
    assert (power["logicalType"], power["physicalType"], power["required"]) == ("number", "decimal(18,3)", True)
    keys = [item["name"] for item in table(contract, "merged_household_hour")["properties"] if item.get("primaryKey")]
    assert keys == ["meter_id", "hour"]
    assert {item["name"] for item in contract["schema"]} >= {
        "household",
        "household_gaps",
        registry.declaration("household").readings_topic,
    }


def removed(contract: Document) -> None:
    table(contract, "fact_calls")["properties"].pop()


def renamed(contract: Document) -> None:
    table(contract, "fact_sms")["name"] = "fact_messages"


def retyped(contract: Document) -> None:
    column(contract, "fact_payment", "payment_amount")["physicalType"] = "double"


def other_unit(contract: Document) -> None:
    column(contract, "fact_payment", "payment_amount")["customProperties"] = [{"property": "unit", "value": "USD"}]


def nullable(contract: Document) -> None:
    column(contract, "fact_calls", "from_user_sk")["required"] = False


def demanded(contract: Document) -> None:
    topic = table(contract, "telecom.users")
    topic["properties"].append({"name": "nickname", "logicalType": "string", "required": True})


def offered(contract: Document) -> None:
    topic = table(contract, "telecom.users")
    topic["properties"].append({"name": "nickname", "logicalType": "string", "required": False})


def unruled(contract: Document) -> None:
    table(contract, "fact_recharge")["quality"].pop(0)


def other_table(contract: Document) -> None:
    contract["schema"].append({"name": "fact_roaming", "physicalType": "table", "properties": []})


def reworded(contract: Document) -> None:
    column(contract, "dim_user", "user_sk")["description"] = "key"


@pytest.mark.parametrize(
    ("change", "weight", "place", "version"),
    [
        (removed, "breaking", "fact_calls.", "2.0.0"),
        (renamed, "breaking", "fact_sms", "2.0.0"),
        (retyped, "breaking", "fact_payment.payment_amount", "2.0.0"),
        (other_unit, "breaking", "fact_payment.payment_amount", "2.0.0"),
        (nullable, "breaking", "fact_calls.from_user_sk", "2.0.0"),
        (demanded, "breaking", "telecom.users.nickname", "2.0.0"),
        (unruled, "breaking", "fact_recharge, ", "2.0.0"),
        (offered, "addition", "telecom.users.nickname", "1.3.0"),
        (other_table, "addition", "fact_roaming", "1.3.0"),
        (reworded, "words", "dim_user.user_sk", "1.2.6"),
    ],
)
def test_a_change_is_named_with_its_weight(
    change: Callable[[Document], None], weight: str, place: str, version: str
) -> None:
    old = of("telecom")
    new = copy.deepcopy(old)
    change(new)
    result = changes(old, new)
    assert result[0].weight == weight
    assert result[0].place.startswith(place)
    assert next_version("1.2.5", result) == version
    assert changes(new, new) == []


def test_the_command_prints_it_and_refuses_what_breaks_it(tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["dataset", "contract", "telecom", *words])

    first = run()
    assert first.exit_code == 0
    published = loaded(first.stdout)
    assert published["version"] == "1.0.0"
    offered_then = copy.deepcopy(published)
    table(offered_then, "fact_calls")["properties"].append({"name": "tower", "logicalType": "string"})
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(offered_then))
    broken = run("--against", str(tmp_path / "old.yaml"))
    assert broken.exit_code == 1
    assert "breaking: fact_calls.tower is not there any more" in broken.stderr
    assert "--major publishes it" in broken.stderr
    again = run("--against", str(tmp_path / "old.yaml"), "--major")
    assert (again.exit_code, loaded(again.stdout)["version"]) == (0, "2.0.0")


@pytest.mark.parametrize("text", ["a: [", "- 1", "kind: DataContract", "kind: DataContract\nversion: one"])
def test_what_is_no_contract_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "old.yaml").write_text(text)
    result = CliRunner().invoke(
        app, ["dataset", "contract", "telecom", "--against", str(tmp_path / "old.yaml")], catch_exceptions=True
    )
    assert str(tmp_path / "old.yaml") in str(result.exception)
