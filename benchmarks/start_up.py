"""What commands cost of themselves: their help, and the time until they first turn to a server.

    python benchmarks/start_up.py --times 5                    # all commands
    python benchmarks/start_up.py --times 5 runs batch         # some

Needs no server, and starts none: a command ends when it opens its first connection or starts its first process. So none
does anything, but that those which need no server run to their end; what makes files is left out. The clients of Kafka
and of the object store connect where Python does not see it: commands that begin by them end when nothing has answered,
and the waiting is in their seconds, not in their CPU seconds.

Beside them, in the same rounds: Python alone, Python that imports typer, and the help of a typer command that does
nothing. CPU seconds are user and system; a busy machine changes them less than seconds, and how many modules are
imported not at all. Prints a JSON object for each, with medians.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cli.commands import COMMANDS, load

PEERS: Final = {
    "python -c pass": "pass",
    "python -c 'import typer'": "import typer",
    "a typer command --help": "import sys, typer; sys.argv.append('--help'); typer.run(lambda: None)",
}
TYPER: Final = "python -c 'import typer'"

USAGE: Final = 2
"""Exit code of a command whose words are wrong."""
NOWHERE: Final = "127.0.0.1:1"

COUNT: Final = """
import atexit, os, sys
def say():
    os.write(2, f"modules={len(sys.modules)}".encode())
atexit.register(say)
"""
"""Goes before what is measured: the last that is said is how many modules were imported."""
COMMAND: Final = "from cli import main; main()"
UNTIL_SERVER: Final = f"""
def end(event, _):
    if event in ("socket.connect", "subprocess.Popen"):
        say()
        os._exit(0)
sys.addaudithook(end)
{COMMAND}
"""

FILE: Final = """\
Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_metering_1;Sub_metering_2;Sub_metering_3
16/12/2006;17:24:00;4.216;0.418;234.840;18.400;0.000;1.000;17.000
"""
WORDS: Final = {
    "demo": "household",
    "up": "kafka",
    "down": "",
    "status": "",
    "logs": "kafka",
    "doctor": "",
    "load": "household {file} --meter-id m1",
    "correct": "household {file} --meter-id m1 --why measured",
    "simulate": "household",
    "land": "telecom",
    "archive": "household",
    "stream": "household",
    "batch": "household",
    "runs": "household",
    "rollback": "household 1",
    "query": "'SELECT 1'",
    "present": "half_hourly",
    "vee": "half_hourly",
    "cost": "half_hourly",
    "bill": "half_hourly m1 --from 2026-01-01 --to 2026-02-01",
    "explain": "household m1 2026-01-01T00:00Z",
    "lineage": "household minute",
    "export": "household --out {folder}/export.csv",
    "report": "household summary",
    "verify": "household",
    "quality": "household",
    "kpi": "utility saidi",
    "dictionary": "utility",
    "train": "utility",
    "drift": "utility",
    "clickhouse": "utility",
    "maintain": "household",
    "erase": "household m1 --why asked",
    "dataset list": "",
    "dataset contract": "household",
}
"""What each is given. Left out: what makes files, and the bridge, whose sources are somebody's own."""


@dataclass
class Measured:
    """Runs of one command line."""

    name: str
    code: str
    words: list[str]
    modules: int = 0
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def run(self, env: dict[str, str]) -> None:
        """Run it once more. Raises ValueError where a command does not take its words, or is broken."""
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(  # noqa: S603 - ours
            [sys.executable, "-c", COUNT + self.code, *self.words],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode == USAGE or "Traceback" in done.stderr:
            raise ValueError(f"{self.name}: {done.stderr}")
        self.wall.append(time.perf_counter() - begin)
        self.modules = int(done.stderr.rpartition("modules=")[2])
        self.cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def commands() -> list[str]:
    """Return all commands, those of groups by both names."""
    found = []
    for name in COMMANDS:
        parts = getattr(load(name), "commands", None)
        found += [f"{name} {part}" for part in parts] if parts else [name]
    return found


def measurements(names: list[str], folder: Path) -> list[Measured]:
    """Return what is measured, of the commands of these names. Their files are written to a folder."""
    file = folder / "readings.txt"
    file.write_text(FILE, encoding="utf-8")
    found = [Measured(name, code, []) for name, code in PEERS.items()]
    found.append(Measured("--help", COMMAND, ["--help"]))
    for name in names:
        found.append(Measured(f"{name} --help", COMMAND, [*name.split(), "--help"]))
        if name in WORDS:
            words = shlex.split(WORDS[name].format(file=file, folder=folder))
            found.append(Measured(f"{name} until a server", UNTIL_SERVER, [*name.split(), *words]))
    return found


def environment(home: Path) -> dict[str, str]:
    """Return the environment of commands: a home where nothing runs, and servers that are nowhere."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("METERLAKE_")}
    nowhere = {
        "METERLAKE_HOME": str(home),
        "METERLAKE_PORT_OFFSET": "17700",
        "METERLAKE_KAFKA_BOOTSTRAP": NOWHERE,
        "METERLAKE_LAKE_S3_ENDPOINT": f"http://{NOWHERE}",
        "METERLAKE_LAKE_ACCESS_KEY": "none",
        "METERLAKE_LAKE_SECRET_KEY": "none",
    }
    return ours | nowhere


def main() -> None:
    """Measure in rounds, each of which runs everything once; print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="commands; without: all")
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    begin = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        measured = measurements(options.names or commands(), Path(folder))
        env = environment(Path(folder, "home"))
        for _ in range(options.times):
            for each in measured:
                each.run(env)
    typer = next(statistics.median(each.cpu) for each in measured if each.name == TYPER)
    for each in measured:
        cpu = statistics.median(each.cpu)
        row = {
            "cpu_s": round(cpu, 3),
            "times_typer": round(cpu / typer, 1),
            "s": round(statistics.median(each.wall), 3),
            "modules": each.modules,
        }
        print(json.dumps({"what": each.name, **row}))
    print(json.dumps({"times": options.times, "load_before": begin, "load_after": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
