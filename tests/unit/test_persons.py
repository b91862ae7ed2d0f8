"""Which records of a lakehouse are a person's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from bank_samples import ACCOUNTS, BANK, BILLS, CUSTOMERS, NOBODY, WHEN, text

from datasets.telecom import DATASET as TELECOM
from datasets.utility import DATASET as UTILITY
from meterlake.columns import BIGINT
from meterlake.errors import DeclarationError, UsageError
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.fields import Field
from meterlake.lakehouse.persons import Belongings, owned_keys, people, person, ways
from meterlake.lakehouse.records import Event, Record, Reference

pytestmark = pytest.mark.unit


def document(**values: Any) -> bytes:
    return json.dumps(values).encode()


def test_every_personal_key_of_the_declared_lakehouses_leads_to_people() -> None:
    assert [item.name for item in people(UTILITY)] == ["customers"]
    assert [item.name for item in people(TELECOM)] == ["users"]
    for record in UTILITY.records:
        named = {field for field, reference in ways(UTILITY, record).items() if reference == "customers"}
        assert named == {field.name for field in record.fields if field.name == "customer_id"}, record.name
    phones = {
        record.name: {field for field, reference in ways(TELECOM, record).items() if reference == "users"}
        for record in TELECOM.records
    }
    assert phones["calls"] == phones["sms"] == {"from_phone_number", "to_phone_number"}
    assert phones["payments"] == phones["support"] == {"customer_phone", "phone_number"}
    assert phones["recharges"] == {"customer", "phone_number"}
    assert phones["users"] == {"phone_number"}
    assert not phones["devices"] | phones["cell_sites"] | phones["agents"]


@pytest.mark.parametrize(
    ("value", "theirs"),
    [
        (document(customer="C1"), True),
        (document(customer=" C1 "), True),
        (document(customer="C12"), False),
        (document(customer="C2", note="C1"), True),
        (document(customer="C2", note="a friend of C1"), False),
        (document(customer="C2", at="C1"), False),
        (document(customer=["C2", {"id": "C1"}]), True),
        (b'{"customer": "\\u0043\\u0031"}', True),
        (b'{"customer": "C1", "customer": "C2"}', True),
        (b'{"customer": "C1"', True),
        (b'["C1"]', True),
        (b"C1", True),
        (b"XC1", False),
        (b"C12", False),
        (b"\xff C1 \xff", True),
        (b"", False),
        (None, False),
    ],
)
def test_a_record_is_the_persons_where_a_field_of_keys_says_so(value: bytes | None, theirs: bool) -> None:
    belongings = Belongings(BANK, person(BANK, "C1"))
    assert belongings.has(CUSTOMERS, None, value) is theirs


def test_numbers_are_compared_as_they_are_written() -> None:
    key = Field("customer", BIGINT, "Number", pii=True)
    people_by_number = replace(CUSTOMERS, fields=(key, text("note", nullable=True), WHEN))
    bank = replace(BANK, references=(people_by_number,), events=())
    belongings = Belongings(bank, person(bank, "42"))
    assert belongings.has(people_by_number, None, b'{"customer": 42}')
    assert belongings.has(people_by_number, None, b'{"customer": "42"}')
    for other in (b'{"customer": 421}', b'{"customer": 1, "note": 42}', b'{"customer": 1, "other": 42}'):
        assert not belongings.has(people_by_number, None, other)
    with pytest.raises(UsageError, match="'C1' can be nobody of bank"):
        person(bank, "C1")


def test_keys_of_messages_count_and_keys_of_rows_do_not() -> None:
    belongings = Belongings(TELECOM, person(TELECOM, "+201000000001"))
    calls = TELECOM.event("calls")
    assert belongings.has(calls, b"+201000000001", None)
    assert belongings.has(calls, b"+201000000001", document(call_id="1"))
    assert not belongings.has(calls, b"+2010000000012", document(call_id="1"))
    utility = Belongings(UTILITY, person(UTILITY, "17"))
    assert not utility.has(UTILITY.event("complaints"), b"17", document(complaint_id="17", customer_id="18"))


def test_what_asks_for_something_owned_is_the_persons_too() -> None:
    belongings = Belongings(BANK, person(BANK, "C1"))
    seen: dict[str, set[bool]] = {}
    for account, owner in (("A1", "C1"), ("A2", "C2"), ("A3", "C1"), ("A3", "C2")):
        said = belongings.owner_of(ACCOUNTS, document(account=account, customer=owner))
        assert said is not None
        seen.setdefault(said[0], set()).add(said[1])
    assert belongings.owner_of(ACCOUNTS, b"not JSON") is None
    assert owned_keys(seen) == {"A1"}
    bill = document(bill="B1", account="A1")
    assert not belongings.has(BILLS, None, bill)
    belongings.add({"accounts": owned_keys(seen)})
    assert belongings.things == {"accounts": ["A1"]}
    assert belongings.has(BILLS, None, bill)
    assert not belongings.has(BILLS, None, document(bill="B2", account="A3"))
    assert belongings.has(ACCOUNTS, None, document(account="A3", customer="C1"))
    assert belongings.columns(BILLS) == {"account": {"A1"}}
    assert belongings.needles() == [b"A1", b"C1"]


def test_needles_are_what_json_writes_as_it_is() -> None:
    assert Belongings(TELECOM, person(TELECOM, "+201000000001")).needles() == [b"201000000001"]
    assert Belongings(BANK, person(BANK, "Ż-7")).needles() == [b"7"]
    assert Belongings(BANK, person(BANK, "Ż")).needles() is None


@pytest.mark.parametrize(
    ("lakehouse", "key", "of", "problem"),
    [
        (UTILITY, "  ", "", "'  ' names nobody"),
        (UTILITY, "C1\n2", "", "names nobody"),
        (TELECOM, "C00000001", "", r"can be nobody of telecom. Keys are, of users: string \\\+"),
        (TELECOM, "+201000000001", "agents", "telecom has no people 'agents'. There are users"),
        (replace(BANK, references=(NOBODY,), events=()), "C1", "", "no people"),
    ],
)  # fmt: skip
def test_who_can_be_nobody_is_refused(lakehouse: Lakehouse, key: str, of: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        person(lakehouse, key, of)


def test_of_says_which_people_where_there_are_several() -> None:
    staff = replace(CUSTOMERS, name="staff", topic="s", key="clerk", fields=(text("clerk", pii=True), WHEN))
    both = replace(BANK, references=(*BANK.references, staff))
    with pytest.raises(UsageError, match="'7' may be one of customers or staff"):
        person(both, "7")
    assert person(both, "7", "staff").reference == staff


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (
            replace(BILLS, fields=(*BILLS.fields, text("payer", person="customers"))),
            "'payer' holds keys of 'customers'",
        ),
        (replace(BILLS, fields=(*BILLS.fields, text("payer", pii=True, person="x"))), "'payer' holds keys of 'x'"),
        (replace(ACCOUNTS, owner="account"), "its owner 'account' is the key of no person"),
    ],
)
def test_what_leads_to_nobody_is_no_declaration(record: Record, problem: str) -> None:
    events = (record,) if isinstance(record, Event) else ()
    references = (CUSTOMERS, record) if isinstance(record, Reference) else (CUSTOMERS, ACCOUNTS)
    with pytest.raises(DeclarationError, match=problem):
        replace(BANK, events=events, references=references)
