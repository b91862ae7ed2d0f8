"""What the help says of commands before they are imported."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cli.commands import COMMANDS, load

pytestmark = pytest.mark.unit

HEAVY = {
    "cassandra", "confluent_kafka", "duckdb", "jinja2", "matplotlib", "numpy", "pandas", "prometheus_client", "pyarrow",
    "pyiceberg", "pyspark", "requests", "sqlalchemy", "sqlglot", "structlog", "tenacity", "yaml",
}  # fmt: skip
"""What a command needs only when it does something."""
NOT_FOR_HELP = HEAVY | {"engines", "pydantic", "pydantic_settings", "stack"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    known, command = COMMANDS[name], load(name)
    first = (command.help or "").split("\n\n")[0].replace("\n", " ")
    assert (known.help, known.topic) == (first, getattr(command, "rich_help_panel", None))


def test_help_imports_no_command_and_no_engine() -> None:
    words = "import sys, cli; sys.argv = ['meterlake', '--help']\ntry: cli.main()\nexcept SystemExit: pass\n"
    words += f"print(sorted({{name.split('.')[0] for name in sys.modules}} & {NOT_FOR_HELP!r}))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "demo" in done.stdout


LOAD_EACH = """
import json, os, sys
from cli.commands import COMMANDS, load
for module, name in {known.module: name for name, known in COMMANDS.items()}.items():
    if not (child := os.fork()):
        load(name)
        print(json.dumps([module, sorted(set(sys.modules) & set(sys.argv[1:]))]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
"""Each module of commands in a process that has imported no other."""


def test_a_command_imports_no_heavy_library_before_it_runs() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD_EACH, *HEAVY], capture_output=True, text=True, check=True)
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    assert found == {known.module: [] for known in COMMANDS.values()}, done.stderr


def test_a_batch_that_may_find_nothing_new_imports_no_spark() -> None:
    words = "import sys, batch_layer.pipeline.batch\nprint({'pyspark', 'pyiceberg', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_name_that_is_near_is_offered() -> None:
    from typer.testing import CliRunner

    from cli.app import app

    assert "Did you mean 'load'?" in CliRunner().invoke(app, ["lod"]).output
