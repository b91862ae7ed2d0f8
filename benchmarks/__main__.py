"""All measurements, each a command with a table in docs/benchmarks.md: servers are started, figures are kept.

    make bench                                  # all: some hours
    make bench NAMES="producing binding"        # some
    make bench SMALL=1                          # each for a minute or so: it works, its figures say nothing

They have a home of their own (METERLAKE_HOME, without it .meterlake/bench), whose data nobody needs. What a measurement
prints is kept with the date and the load of the machine in out/bench/NAME.json. The accuracy of estimates
(vee_accuracy.py) is not among them: it wants a file of yours.

Exit code 1 where a measurement has failed, or says that something is wrong or grows.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from meterlake.clock import system_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parent


@dataclass(frozen=True)
class Benchmark:
    """A measurement: its file with what it is given, as a whole and small; the servers that it needs.

    beside: a command that runs meanwhile.
    """

    command: str
    small: str
    servers: str = ""
    beside: str = ""


STREAM: Final = "stream household --with-archive"
BENCHMARKS: Final = {
    "backlog": Benchmark(
        "backlog.py --meters 2000 --seconds 300", "backlog.py --meters 20 --seconds 60", "kafka cassandra metastore"
    ),
    "archive_backlog": Benchmark(
        "backlog.py --meters 2000 --seconds 300 --query archive",
        "backlog.py --meters 20 --seconds 60 --query archive",
        "kafka cassandra metastore",
    ),
    "batch_day": Benchmark(
        "batch_growth.py day --meters 200 --commit 2", "batch_growth.py day --meters 2 --hours 3 --every 30 --commit 30"
    ),
    "batch_years": Benchmark(
        "batch_growth.py years --meters 8", "batch_growth.py years --meters 1 --years 1 --hours 3 --every 30"
    ),
    "batch_peers": Benchmark("batch_peers.py", "batch_peers.py --meters 20 --seconds 60 --rounds 1"),
    "binding": Benchmark("binding.py", "binding.py --rows 1000 --turns 1"),
    "fleet_dashboards": Benchmark(
        "fleet_dashboards.py --fill", "fleet_dashboards.py --fill --meters 20 --minutes 10 --rounds 1", "core"
    ),
    "freshness": Benchmark("freshness.py", "freshness.py --meters 10 --seconds 20", "core", STREAM),
    "half_hourly_fleet": Benchmark("half_hourly_fleet.py", "half_hourly_fleet.py --meters 20 --days 3 --more 1"),
    "lakehouse_events": Benchmark("lakehouse_events.py", "lakehouse_events.py --events 20000", "lakehouse"),
    "lakehouse_growth": Benchmark(
        "lakehouse_growth.py", "lakehouse_growth.py --customers 50 --years 1 --days 1", "lakehouse"
    ),
    "lateness": Benchmark("lateness.py", "lateness.py --meters 4 --minutes 4 --batch-every 1m", "core"),
    "load_many": Benchmark("load_many.py", "load_many.py --files 20", "core"),
    "prediction": Benchmark("prediction.py", "prediction.py --customers 500 --days 120"),
    "producing": Benchmark("producing.py", "producing.py --meters 20 --seconds 30 --turns 1", "kafka"),
    "profile_batch": Benchmark(
        "profiles.py batch --out out/bench", "profiles.py batch --out out/bench --meters 20 --seconds 60 --runs 1"
    ),
    "profile_stream": Benchmark(
        "profiles.py stream --out out/bench",
        "profiles.py stream --out out/bench --meters 20 --seconds 60",
        "kafka cassandra metastore",
    ),
    "publish_under_readers": Benchmark("publish_under_readers.py", "publish_under_readers.py --turns 20", "core"),
    "run_records": Benchmark("run_records.py", "run_records.py --runs 100 --times 2", "core"),
    "scale_out": Benchmark(
        "scale_out.py", "scale_out.py --meters 20 --seconds 60 --rounds 1", "kafka cassandra metastore"
    ),
    "soak": Benchmark("soak.py", "soak.py --meters 4 --minutes 4 --batch-every 1m", "core"),
    "start_up": Benchmark("start_up.py", "start_up.py --times 1"),
    "storage": Benchmark("storage.py", "storage.py --meters 2 --minutes 3"),
    "utility_sources": Benchmark("utility_sources.py", "utility_sources.py --customers 200 --days 30"),
}


def meterlake(words: str) -> list[str]:
    """Return a command line of ours."""
    return [sys.executable, "-m", "cli", *shlex.split(words)]


def run(words: str) -> None:
    """Run a command of ours; what it prints goes beside the results."""
    subprocess.run(meterlake(words), stdout=sys.stderr, check=True)  # noqa: S603 - ours


@contextmanager
def running(words: str) -> Iterator[None]:
    """Let a command of ours run meanwhile, and end it as Ctrl-C does."""
    if not words:
        yield
        return
    with subprocess.Popen(meterlake(words), stdout=sys.stderr) as process:  # noqa: S603 - ours
        try:
            yield
        finally:
            process.terminate()


def measured(benchmark: Benchmark, *, small: bool) -> tuple[int, list[Any]]:
    """Run a measurement on its servers; return its exit code and what it has printed: figures, or else lines."""
    file, *words = shlex.split(benchmark.small if small else benchmark.command)
    if benchmark.servers:
        run(f"up {benchmark.servers}")
        if benchmark.servers == "core":
            run("ddl --apply")
    with running(benchmark.beside):
        command = [sys.executable, str(FOLDER / file), *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - ours
    return done.returncode, figures(done.stdout) or done.stdout.splitlines()


def figures(printed: str) -> list[Any]:
    """Return the JSON objects among what was printed."""
    found, decoder, rest = [], json.JSONDecoder(), printed
    while (at := rest.find("{")) >= 0:
        try:
            value, end = decoder.raw_decode(rest[at:])
        except json.JSONDecodeError:
            rest = rest[at + 1 :]
            continue
        found.append(value)
        rest = rest[at + end :]
    return found


def main() -> int:
    """Return 1 where one has failed."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=f"without: all. {', '.join(BENCHMARKS)}")
    parser.add_argument("--small", action="store_true", help="whether they work, not how fast")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "bench")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(BENCHMARKS)):
        parser.error(f"{', '.join(unknown)}: there are {', '.join(BENCHMARKS)}")
    os.environ.setdefault("METERLAKE_HOME", str(ROOT / ".meterlake" / "bench"))
    os.environ.setdefault("METERLAKE_PORT_OFFSET", "14000")
    options.out.mkdir(parents=True, exist_ok=True)
    failed = []
    try:
        for name in options.names or BENCHMARKS:
            begin, load = system_clock(), os.getloadavg()[0]
            code, result = measured(BENCHMARKS[name], small=options.small)
            seconds = (system_clock() - begin).total_seconds()
            about = {"at": f"{begin:%Y-%m-%d %H:%M}", "cores": os.cpu_count(), "load_before": round(load, 1)}
            kept = {"name": name, **about, "seconds": round(seconds), "exit_code": code, "figures": result}
            (options.out / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
            print(f"{name:<22} {seconds:6.0f} s  exit code {code}, {len(result)} results", flush=True)
            if code or not result:
                failed.append(name)
    finally:
        run("down")
    if failed:
        print(f"Look at {', '.join(failed)}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
