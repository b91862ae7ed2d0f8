"""Log lines: JSON in a file with all their figures, readable on the terminal, never a secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.contextvars import bound_contextvars

from meterlake import log

pytestmark = pytest.mark.unit


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "logs" / "stream-household.jsonl"
    log.configure(path)
    yield path
    log.configure(None)


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_holds_its_figures_and_what_was_bound(file: Path) -> None:
    with bound_contextvars(dataset="household", command="stream"):
        log.get_logger().info("micro-batch", query="views", batch_id=7, offsets={"0": [5, 9]}, duration_ms=12)
    (line,) = lines(file)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "event": "micro-batch",
        "level": "info",
        "dataset": "household",
        "command": "stream",
        "query": "views",
        "batch_id": 7,
        "offsets": {"0": [5, 9]},
        "duration_ms": 12,
    }


def test_debug_lines_go_to_the_file_only(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(file)  # standard error of this test
    log.get_logger().debug("micro-batch", batch_id=1)
    log.get_logger().warning("HDFS does not answer", retry_in_s=2)
    assert [line["level"] for line in lines(file)] == ["debug", "warning"]
    shown = capsys.readouterr().err
    assert "HDFS does not answer" in shown
    assert "retry_in_s=2" in shown
    assert "micro-batch" not in shown


def test_secrets_are_masked_by_type_and_by_name(file: Path) -> None:
    log.get_logger().info(
        "connecting", user="reader", grafana_token="abc", given=SecretStr("abc"), kafka={"sasl.password": "abc", "n": 1}
    )
    text = file.read_text()
    assert "abc" not in text
    (line,) = lines(file)
    assert (line["user"], line["grafana_token"], line["given"]) == ("reader", "***", "***")
    assert line["kafka"] == {"sasl.password": "***", "n": 1}


def test_nothing_is_written_before_the_first_line(tmp_path: Path) -> None:
    log.configure(tmp_path / "quiet.jsonl")
    assert not (tmp_path / "quiet.jsonl").exists()
    log.configure(None)


def test_the_file_rotates(file: Path) -> None:
    handler = next(result for result in logging.getLogger(log.LOGGER).handlers if hasattr(result, "maxBytes"))
    handler.maxBytes = 200
    for number in range(50):
        log.get_logger().debug("micro-batch", batch_id=number)
    assert len(list(file.parent.iterdir())) == log.FILES + 1
