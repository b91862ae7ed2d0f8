"""What setup.cfg asks for is what the code imports, in both directions, and the locks hold it for every Python."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "batch_layer",
    "cli",
    "datasets",
    "engines",
    "lakehouse",
    "meterlake",
    "producers",
    "serving_layer",
    "speed_layer",
    "stack",
}
NOT_IMPORTED = {
    "amqtt": "a command: the MQTT broker that the bridge is tested with",
    "check-jsonschema": "a command: docker-compose.yml against its schema",
    "ipykernel": "the process in which nbclient runs the notebooks",
    "import-linter": "a command: the architecture",
    "mypy": "a command: types",
    "pandas-stubs": "types for mypy",
    "py-spy": "a command: benchmarks/profiles.py starts it",
    "pytest-timeout": "a plugin of pytest",
    "pytest-xdist": "a plugin of pytest",
    "psycopg": "the driver of PostgreSQL: SQLAlchemy imports it where a URL names it",
    "ruff": "a command: lint and format",
    "types-psutil": "types for mypy",
    "types-pyyaml": "types for mypy",
}


def declared(extra: str = "") -> dict[str, Requirement]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    text = config["options.extras_require"][extra] if extra else config["options"]["install_requires"]
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(result.name): result for result in map(Requirement, lines)}


def optional() -> set[str]:
    """Return what runs only where an extra of its own was installed."""
    return {name for extra in ("clickhouse", "prediction") for name in declared(extra)}


modules_of_distributions = cache(packages_distributions)


@cache
def imported(*folders: str) -> frozenset[str]:
    """Return the distributions that the code in some folders imports."""
    distributions, modules = modules_of_distributions(), set()
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    others = modules - PACKAGES - sys.stdlib_module_names
    return frozenset(canonicalize_name(name) for module in others for name in distributions.get(module, []))


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE))


def test_all_that_runs_is_imported() -> None:
    assert declared().keys() - imported(*sorted(PACKAGES)) - NOT_IMPORTED.keys() == set()


def test_all_that_is_imported_is_declared() -> None:
    assert imported(*sorted(PACKAGES)) - declared().keys() == optional()


def test_what_is_optional_is_tested() -> None:
    assert optional() <= declared("dev").keys()


def test_development_packages_are_used_and_declared() -> None:
    used = imported("tests", "benchmarks", "notebooks")
    assert declared("dev").keys() - used - NOT_IMPORTED.keys() == optional()
    assert used - declared().keys() - declared("dev").keys() - {"setuptools"} == set()


def test_packages_of_notebooks_are_apart_from_what_runs() -> None:
    apart = declared("notebooks")
    assert apart.items() <= declared("dev").items()
    assert not apart.keys() & (declared().keys() | optional() | imported(*sorted(PACKAGES)))
    assert apart.keys() - NOT_IMPORTED.keys() <= imported("notebooks")
    assert not apart.keys() & locked("requirements.lock").keys()


def test_no_reason_is_left_over() -> None:
    assert NOT_IMPORTED.keys() <= declared().keys() | declared("dev").keys()
    assert not NOT_IMPORTED.keys() & imported(*sorted(PACKAGES), "tests", "benchmarks", "notebooks")


@pytest.mark.parametrize(("name", "extras"), [("requirements.lock", [""]), ("requirements-dev.lock", ["", "dev"])])
def test_the_locks_hold_what_is_declared(name: str, extras: list[str]) -> None:
    pinned = locked(name)
    for result in (result for extra in extras for result in declared(extra).items()):
        assert result[1].specifier.contains(pinned[result[0]]), result


def test_both_locks_agree() -> None:
    run, dev = locked("requirements.lock"), locked("requirements-dev.lock")
    assert run.items() <= dev.items()
    assert not run.keys() & {"hypothesis", "import-linter", "mypy", "pytest", "ruff"}
