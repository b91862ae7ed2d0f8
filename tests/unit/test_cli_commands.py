"""What the help says of commands before they are imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cli.commands import COMMANDS, load

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    known, command = COMMANDS[name], load(name)
    first = (command.help or "").split("\n\n")[0].replace("\n", " ")
    assert (known.help, known.topic) == (first, getattr(command, "rich_help_panel", None))


def test_help_imports_no_command_and_no_engine() -> None:
    words = "import sys, cli; sys.argv = ['meterlake', '--help']\ntry: cli.main()\nexcept SystemExit: pass\n"
    words += "print(sorted({name.split('.')[0] for name in sys.modules} & {'engines', 'stack', 'pyspark', 'sqlglot'}))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "demo" in done.stdout


def test_a_name_that_is_near_is_offered() -> None:
    from typer.testing import CliRunner

    from cli.app import app

    assert "Did you mean 'load'?" in CliRunner().invoke(app, ["lod"]).output
