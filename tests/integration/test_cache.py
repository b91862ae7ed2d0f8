"""The shared cache: two fresh checkouts that fill it at the same time, and one that is killed while it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from meterlake.settings import Settings, load_settings
from stack.runtime import locks, maven

pytestmark = pytest.mark.integration

NAME = "spark"
CHECKOUT = f"""
import sys
from pathlib import Path
from meterlake.settings import load_settings
from stack.runtime import maven
from stack.runtime.java import ensure_java
print("begin", flush=True)
sys.stdin.readline()
settings = load_settings()
files = maven.resolve({NAME!r}, settings)
print(*files, sep="\\n")
print(maven.unpacked("hive-schema", settings))
print(ensure_java(17, settings).executable)
"""
# What Maven does is written down, and the repository is the cache that `make fetch` has filled: no network is needed.
MAVEN = """#!/bin/sh
echo "begin $$" >> {log}
{real} -s {settings} "$@"
code=$?
echo "end $$" >> {log}
exit $code
"""
MIRROR = (
    """<settings><mirrors><mirror><id>cache</id><mirrorOf>*</mirrorOf><url>{url}</url></mirror></mirrors></settings>"""
)


class Machine:
    """One user's machine: an empty cache, and a Maven that answers from what is on this one."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(cache_dir=folder / "cache")
        self.log = folder / "maven.log"
        self.log.touch()
        (folder / "bin").mkdir()
        (folder / "settings.xml").write_text(MIRROR.format(url=(load_settings().cache_dir / "maven").as_uri()))
        program = folder / "bin" / "mvn"
        program.write_text(MAVEN.format(log=self.log, settings=folder / "settings.xml", real=maven.find_maven()))
        program.chmod(0o755)
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "METERLAKE_CACHE_DIR": str(self.settings.cache_dir)}

    def checkout(self) -> subprocess.Popen[str]:
        """Start one that fills the cache when it is told to."""
        process = subprocess.Popen(
            [sys.executable, "-c", CHECKOUT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begin\n"
        return process

    def check(self, said: str) -> None:
        """What a checkout was given is all there, and is what was locked."""
        *files, schema, java = said.splitlines()
        wanted = locks.read_lock(NAME)
        assert [locks.sha256(Path(file)) for file in files] == [item.sha256 for item in wanted]
        assert list(Path(schema).glob("scripts/**/*.sql"))
        assert subprocess.run([java, "-version"], check=False, capture_output=True).returncode == 0
        assert not list(self.settings.cache_dir.rglob("*.partial"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_two_checkouts_that_fill_it_at_once_take_turns(machine: Machine) -> None:
    both = [machine.checkout() for _ in range(2)]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        said, errors = process.communicate(timeout=900)
        assert process.returncode == 0, errors
        machine.check(said)
    runs = [line.split()[0] for line in machine.log.read_text().splitlines()]
    # Once for the jars and once for the archive, one after the other: the second checkout found them there.
    assert runs == ["begin", "end"] * 2


def test_one_that_is_killed_leaves_no_lock_and_nothing_half_made(machine: Machine) -> None:
    killed = machine.checkout()
    assert killed.stdin is not None
    killed.stdin.write("go\n")
    killed.stdin.flush()
    until = time.monotonic() + 900
    while not list(machine.settings.cache_dir.glob("maven/**/*.pom")):
        assert time.monotonic() < until
        assert killed.poll() is None
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert maven.missing(machine.settings, [NAME]) == [NAME]
    said, errors = (other := machine.checkout()).communicate("go\n", timeout=900)
    assert other.returncode == 0, errors
    machine.check(said)
