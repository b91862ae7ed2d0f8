"""The settings' reference file: every setting, its default and its reason, generated from ``Settings``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from meterlake.durations import duration_text
from meterlake.settings import PREFIX, ROOT, Settings

PATH = ROOT / "docs/settings.reference.env"

_HEAD = """\
# Every setting of meterlake with its default. Set one as an environment variable, or copy its line into a file `.env`
# in the checkout. Generated from meterlake/settings.py by `make generate`.
"""


def text() -> str:
    """Return the reference file."""
    return "\n".join([_HEAD, *(_entry(name, field) for name, field in Settings.model_fields.items())])


def _entry(name: str, field: FieldInfo) -> str:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    shown = extra.get("shown", _plain(field.default))
    return f"# {field.description}\n#{PREFIX}{name.upper()}={shown}\n"


def _plain(value: Any) -> str:  # noqa: ANN401 - defaults have several types
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, timedelta):
        return duration_text(value)
    return str(value)


if __name__ == "__main__":
    PATH.write_text(text())
