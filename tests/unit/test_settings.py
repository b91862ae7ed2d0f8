"""Settings: overridden by the environment, refused with the variable's name, and all in the reference."""

from __future__ import annotations

import pytest

from meterlake import reference
from meterlake.errors import UsageError
from meterlake.settings import Settings, load_settings

pytestmark = pytest.mark.unit


def test_settings_are_what_the_environment_says_now(monkeypatch: pytest.MonkeyPatch) -> None:
    for offset in (100, 200):
        monkeypatch.setenv("METERLAKE_PORT_OFFSET", str(offset))
        assert load_settings().port_offset == offset


def test_the_reference_file_is_up_to_date() -> None:
    assert reference.PATH.read_text() == reference.text(), "run `make generate`"


def test_the_offset_moves_every_port() -> None:
    assert Settings(port_offset=100).port("kafka") == Settings().port("kafka") + 100
    assert Settings(port_offset=100).trino == "http://127.0.0.1:8180"


def test_an_address_that_is_set_wins_over_the_native_stack() -> None:
    settings = Settings(kafka_bootstrap="a:1,b:2", cassandra_hosts="c1:9042, c2:9042", hive_url="h:10001")
    assert settings.kafka == "a:1,b:2"
    assert settings.cassandra == [("c1", 9042), ("c2", 9042)]
    assert settings.hive == ("h", 10001)


def test_a_wrong_value_names_variable_value_and_expectation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERLAKE_PORT_OFFSET", "many")
    with pytest.raises(UsageError, match="METERLAKE_PORT_OFFSET='many': Input should be a valid integer"):
        load_settings()


def test_passwords_do_not_show() -> None:
    assert "s3cret" not in repr(Settings(metastore_db_password="s3cret"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("90s", 90), ("15m", 900), ("9h", 32_400), ("3 d", 259_200), ("1 d 12 h", 129_600)],
)
def test_durations_are_written_as_people_do(text: str, seconds: int) -> None:
    assert Settings(speed_ttl=text).speed_ttl.total_seconds() == seconds  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "9", "9 weeks", "h", "-3h"])
def test_a_wrong_duration_says_what_is_expected(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERLAKE_SPEED_TTL", text)
    with pytest.raises(UsageError, match=r"METERLAKE_SPEED_TTL=.*expected a number and a unit, such as 90s"):
        load_settings()
