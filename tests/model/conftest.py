"""Says in the head of the report with which seed the model's fresh schedules can be run again."""

from __future__ import annotations

from model_conf import SEED


def pytest_report_header() -> str:
    return f"fresh schedules of the model: METERLAKE_MODEL_SEED={SEED}"
