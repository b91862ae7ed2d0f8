"""Where CPU time goes in this process, in Spark's JVM and in its Python workers: stacks, each with its CPU seconds.

async-profiler in the JVM counts CPU time of all threads, those that compile and collect garbage too. py-spy looks at
Python processes 100 times a second, and counts what is not waiting; shares of it are scaled to the CPU time that the
kernel says. It must be allowed to look: as root, or with the sysctl kernel.yama.ptrace_scope = 0.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from flame_graph import Stack

JVM: Final = "Spark's JVM"
WORKERS: Final = "Python workers"
DRIVER: Final = "Python driver"
PROCESSES: Final = {"jvm": JVM, "workers": WORKERS, "driver": DRIVER, "kafka": "Kafka", "cassandra": "Cassandra"}
"""Names of what ``shares`` of the backlog measures."""
_THREAD: Final = re.compile(r"^\[(.*?)(?: tid=\d+)?\]$")


class NoSampling(SystemExit):
    """A profiler could not look."""


def java_stacks(text: str) -> Counter[Stack]:
    """Return samples by stack of async-profiler's collapsed form: ``[thread tid=1];a/B.c;a/D.e 12``."""
    found: Counter[Stack] = Counter()
    for line in text.splitlines():
        frames, _, count = line.rpartition(" ")
        thread, *calls = frames.split(";")
        found[(JVM, _thread(thread), *calls)] += int(count)
    return found


def _thread(name: str) -> str:
    """Return what a thread does, without what tells it from others that do the same."""
    matched = _THREAD.match(name)
    known = re.split(r" for | in stage |: |\(", matched[1] if matched else name)[0]
    return re.sub(r"(?<![A-Z])[-#]?\d+(\.\d+)*", "", known).strip() or "thread"


def python_stacks(text: str, driver: int) -> Counter[Stack]:
    """Return samples by stack of py-spy's raw form: ``process 1:"python";process 2:"python";a (b.py);c (d.py) 12``.

    driver: number of its process; all others are workers.
    """
    found: Counter[Stack] = Counter()
    for line in text.splitlines():
        frames, _, count = line.rpartition(" ")
        # A command line may have a semicolon.
        processes = list(re.finditer(r'process (\d+):"[^"]*";?', frames))
        rest = frames[processes[-1].end() :] if processes else frames
        of_driver = not processes or int(processes[-1][1]) == driver
        found[(DRIVER if of_driver else WORKERS, *(rest.split(";") if rest else ()))] += int(count)
    return found


def scaled(samples: Mapping[Stack, int], cpu: Mapping[str, float]) -> dict[Stack, float]:
    """Return the CPU seconds of each stack. cpu: those of each process; of servers there are no stacks."""
    totals: Counter[str] = Counter()
    for stack, count in samples.items():
        totals[stack[0]] += count
    found = {stack: cpu[stack[0]] * count / totals[stack[0]] for stack, count in samples.items() if cpu[stack[0]] > 0}
    for process, spent in cpu.items():
        if spent > 0 and not totals[process]:
            found[(process,)] = spent
    return found


def spy() -> str:
    """Return the program py-spy. Raises NoSampling."""
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise NoSampling("py-spy is not here; it comes with the packages for tests: make .venv/.dev, or pip.")
    return found


class Sampling:
    """Takes stacks, between ``begin`` and ``end``, as often as they are called."""

    def __init__(self, jvm: Any, jar: Path, folder: Path, shares: Callable[[], Mapping[str, float]]) -> None:  # noqa: ANN401 - Java has no types here
        """jar: async-profiler. folder: for what the profilers write. shares: CPU seconds so far of each process."""
        self._profiler, self._folder, self._shares = _java_profiler(jvm, jar), folder, shares
        self._spy: subprocess.Popen[bytes] | None = None
        self._before: Mapping[str, float] = {}

    def begin(self) -> None:
        """Begin."""
        self._profiler("start,event=ctimer,interval=5ms,threads")
        command = [spy(), "record", "--pid", str(os.getpid()), "--subprocesses", "--nolineno", "--format", "raw"]
        command += ["--rate", "100", "--output", str(self._folder / "python.txt")]
        self._spy = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - fixed words
        self._before = self._shares()

    def end(self) -> dict[Stack, float]:
        """Return CPU seconds by stack since ``begin``. Raises NoSampling."""
        assert self._spy is not None  # noqa: S101 - begun
        spent = psutil.Process(self._spy.pid).cpu_times()
        after = dict(self._shares())
        after["driver"] -= spent.user + spent.system  # a child of ours, and no work of ours
        self._profiler(f"stop,collapsed,threads,file={self._folder / 'java.txt'}")
        self._spy.send_signal(signal.SIGINT)
        if self._spy.wait(60):
            raise NoSampling("py-spy did not look at our processes: be root, or set kernel.yama.ptrace_scope to 0.")
        samples = java_stacks((self._folder / "java.txt").read_text(encoding="utf-8"))
        samples += python_stacks((self._folder / "python.txt").read_text(encoding="utf-8"), os.getpid())
        return scaled(samples, {PROCESSES[name]: after[name] - before for name, before in self._before.items()})


def _java_profiler(jvm: Any, jar: Path) -> Callable[[str], str]:  # noqa: ANN401
    """Load async-profiler into a running JVM; return what takes its commands."""
    java, array = jvm.java, jvm.java.lang.reflect.Array.newInstance
    urls = array(java.lang.Class.forName("java.net.URL"), 1)
    java.lang.reflect.Array.set(urls, 0, java.net.URL(jar.as_uri()))
    loaded = java.net.URLClassLoader(urls).loadClass("one.profiler.AsyncProfiler")
    text = java.lang.Class.forName("java.lang.String")

    def objects(values: Iterable[Any], of: str) -> Any:  # noqa: ANN401
        given = list(values)
        made = array(java.lang.Class.forName(of), len(given))
        for at, value in enumerate(given):
            java.lang.reflect.Array.set(made, at, value)
        return made

    none = objects([], "java.lang.Object")
    instance = loaded.getMethod("getInstance", objects([], "java.lang.Class")).invoke(None, none)
    execute = loaded.getMethod("execute", objects([text], "java.lang.Class"))
    return lambda command: str(execute.invoke(instance, objects([command], "java.lang.Object")))
