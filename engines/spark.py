"""The Spark session: one a process, for all layers.

It runs in UTC, writes no log to the terminal, leaves nothing in the working directory, reads and writes HDFS by path,
knows the Iceberg tables of the Hive metastore as the catalog ``iceberg``, and Delta tables by path.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engines.spark_runtime import runtime
from meterlake import discovery
from meterlake.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import SparkSession

    from meterlake.settings import Settings

CATALOG = "iceberg"
"""Name of the catalog of Iceberg tables, in Spark and in Trino."""

_ADAPTIVE = "org.apache.spark.sql.execution.adaptive"
_LOG_CONFIG = Path(__file__).parent / "spark-log4j2.xml"
# Spark's own Hive 2.3 classes cannot talk to metastore 4: this jar must come before them.
_FIRST_JAR = "hive-standalone-metastore-common"


class SparkFailed(PermanentError):
    """The Spark driver did not start."""


class JavaEnded(TransientError):
    """The JVM of the session has ended: somebody has killed it, often the kernel, for memory."""

    def __init__(self, app_name: str) -> None:
        super().__init__(
            f"Spark's Java process has ended while {app_name} was under way.",
            hint="What was not finished is not seen. Run the same command again; where the machine was out of memory"
            " (`dmesg`), give Spark less: METERLAKE_SPARK_DRIVER_MEMORY.",
        )


class OtherSession(PermanentError):
    """A session with other settings is open in this process, which can have only one."""


@dataclass
class _Open:
    """The session that is open in this process, and how many hold it."""

    session: SparkSession
    conf: dict[str, str]
    holders: int = 1


_open: list[_Open] = []
_lock = threading.Lock()


@contextmanager
def session(
    settings: Settings, app_name: str = "meterlake", conf: Mapping[str, str] | None = None, *, brief: bool = False
) -> Iterator[SparkSession]:
    """Open the Spark session, and stop it when its last holder leaves.

    Inside an open session the same one comes back, whatever its ``app_name``: opening is cheap then.
    The JVM stays until the process ends, with the memory of the first session; a later one starts in a second.

    conf: Spark options on top of ``options``, winning over them. brief: whether this process ends after little work; a
    JVM that is started for that compiles quickly instead of well.
    Raises SparkFailed, NoRuntime, and what its provider raises; OtherSession when the open one has another value of
    an option; JavaEnded when the JVM has ended under the body.
    """
    from py4j.protocol import Py4JError, Py4JJavaError

    held = _hold(settings, app_name, options(settings, conf), brief)
    try:
        yield held.session
    except (Py4JError, ConnectionError) as error:
        if (isinstance(error, Py4JJavaError) and not _is_mute(error)) or not _has_ended(within_s=1):
            raise
        raise JavaEnded(app_name) from error
    finally:
        _release(held)


@contextmanager
def planned_once(session: SparkSession) -> Iterator[None]:
    """Plan each query once, before it begins. Planning what is left of it after every stage is for large data."""
    name = "spark.sql.adaptive.enabled"
    before = str(session.conf.get(name))
    session.conf.set(name, "false")
    try:
        yield
    finally:
        session.conf.set(name, before)


def carry_folders() -> None:
    """Let what stands in the folders of data sets travel to Python workers as a whole: they cannot import it."""
    from pyspark import cloudpickle

    for folder in discovery.loaded_folders():
        cloudpickle.register_pickle_by_value(folder)


def _hold(settings: Settings, app_name: str, wanted: dict[str, str], brief: bool) -> _Open:
    carry_folders()
    with _lock:
        if _open:
            _check_same(_open[0].conf, wanted)
            _open[0].holders += 1
        else:
            _open.append(_Open(_start(settings, app_name, wanted, brief), wanted))
        return _open[0]


def _release(held: _Open) -> None:
    with _lock:
        held.holders -= 1
        if not held.holders:
            _open.remove(held)
            _stop(held.session)


def _has_ended(within_s: float = 0) -> bool:
    """Return whether the JVM of the open session has ended, or does so in a moment."""
    from pyspark import SparkContext

    # Under spark-submit the JVM is not of this process. There is no public way to the one that is.
    java = getattr(SparkContext._gateway, "proc", None)  # noqa: SLF001
    try:
        return java is not None and java.wait(within_s) is not None
    except subprocess.TimeoutExpired:
        return False


def _is_mute(error: Exception) -> bool:
    """Return whether Java can no longer say what went wrong: it is asked only when the error is to be read."""
    from py4j.protocol import Py4JError

    try:
        str(error)
    except (Py4JError, ConnectionError):
        return True
    return False


def _forget() -> None:
    """Let the next session start a JVM: this one's has ended."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None  # noqa: SLF001
    SparkSession._instantiatedSession = None  # noqa: SLF001


def _stop(session: SparkSession) -> None:
    from py4j.protocol import Py4JError

    if _has_ended():
        return _forget()
    try:
        session.stop()
    except Py4JError as error:
        # A signal has cut a call to the JVM, whose answers no longer fit. It ends with the process.
        if not isinstance(error.__context__, SystemExit | KeyboardInterrupt):
            raise


def options(settings: Settings, conf: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return all Spark options of a session, ``conf`` included; pure but for what ``runtime`` does."""
    return {
        "spark.master": settings.spark_master,
        **_driver(settings),
        **_sql(settings),
        **_storage(settings),
        **_jars(settings),
        **_properties(settings.spark_properties),
        **(conf or {}),
    }


def _driver(settings: Settings) -> dict[str, str]:
    scratch = _scratch(settings)
    values = {
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Nobody else's tables: Hive's are read and written by path, Iceberg's through their own catalog.
        "spark.sql.catalogImplementation": "in-memory",
        # A path without scheme would mean HDFS.
        "spark.sql.warehouse.dir": (scratch / "warehouse").as_uri(),
    }
    if _is_local(settings):
        values |= {"spark.driver.host": settings.host, "spark.driver.bindAddress": settings.host}
    return values


def _sql(settings: Settings) -> dict[str, str]:
    return {
        "spark.sql.session.timeZone": "UTC",
        # Times in tables are UTC wall clock without zone; TIMESTAMP in SQL means that.
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        # Partition columns are text, as in Hive: year=2026 is not a number.
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.sql.shuffle.partitions": str(settings.spark_shuffle_partitions),
        # A run has more pieces of generated code than the 100 that are kept by default; the next run has the same ones.
        "spark.sql.codegen.cache.maxEntries": "2000",
        # Each query writes its plan as text for a page that nobody serves; the simple form is the shortest.
        "spark.sql.ui.explainMode": "simple",
        # A view is some dozens of folders: listing them takes the driver less than a job for it takes to begin.
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
        # It drops the part of a plan that turns out empty, and with it what was to be observed there: the wait for
        # that would never end.
        "spark.sql.adaptive.optimizer.excludedRules": f"{_ADAPTIVE}.AQEPropagateEmptyRelation",
    }


def _storage(settings: Settings) -> dict[str, str]:
    values = {
        "fs.defaultFS": settings.hdfs,
        # Compose's DataNode is known to the host by its name, not by its address in the container network.
        "dfs.client.use.datanode.hostname": "true",
        # A NameNode that is down is said within seconds.
        "ipc.client.connect.max.retries": "3",
        "ipc.client.connect.timeout": "5000",
        "ipc.client.connect.max.retries.on.timeouts": "2",
        # The NameNode hears of a finished block from the DataNode, often just after the writer has asked for it. By
        # default the writer then sleeps for 400 ms: most of what an update or a small file takes. Ten tries: 10 s.
        "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "10",
        "dfs.client.block.write.locateFollowingBlock.retries": "10",
        # A commit holds a lock in the metastore; by these signs of life one tells a dead holder (engines.metastore).
        "iceberg.hive.lock-heartbeat-interval-ms": "10000",
    }
    replication = settings.hdfs_replication or (None if settings.hdfs_url else 1)
    if replication:
        values["dfs.replication"] = str(replication)
    if not settings.hdfs_url:
        values["dfs.client.block.write.replace-datanode-on-failure.enable"] = "false"
    catalog = f"spark.sql.catalog.{CATALOG}"
    return {f"spark.hadoop.{key}": value for key, value in values.items()} | {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions,"
        "io.delta.sql.DeltaSparkSessionExtension",
        # A log of few commits is read by few tasks, not by fifty.
        "spark.databricks.delta.snapshotPartitions": "2",
        # What is merged has been computed and kept by then.
        "spark.databricks.delta.merge.materializeSource": "none",
        # Delta tables are named by their paths, in the session's own catalog.
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "hive",
        f"{catalog}.uri": settings.metastore,
        # Not below Hive's managed warehouse: the metastore refuses external tables there.
        f"{catalog}.warehouse": f"{settings.hdfs}/meterlake/tables",
        # What the other layer committed must be seen at once; the default holds tables for 30 s.
        f"{catalog}.cache-enabled": "false",
    }


def _jars(settings: Settings) -> dict[str, str]:
    files = sorted(runtime(settings).jars, key=lambda file: not file.name.startswith(_FIRST_JAR))
    if not files:
        return {}
    on_driver = {"spark.driver.extraClassPath": os.pathsep.join(map(str, files))}
    if _is_local(settings):
        return on_driver
    return on_driver | {
        "spark.jars": ",".join(map(str, files)),
        "spark.executor.extraJavaOptions": "-Duser.timezone=UTC",
    }


def _properties(file: Path | None) -> dict[str, str]:
    """Return the properties of a file as Spark's own spark-defaults.conf is written: name, white space or =, value."""
    if file is None:
        return {}
    lines = (line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines())
    pairs = (re.split(r"\s*=\s*|\s+", line, maxsplit=1) for line in lines if line and not line.startswith("#"))
    return {pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs}


def _start(settings: Settings, app_name: str, conf: dict[str, str], brief: bool) -> SparkSession:
    from pyspark import SparkConf
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    log = settings.home.resolve() / "logs" / f"spark-{_slug(app_name)}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    _scratch(settings).mkdir(parents=True, exist_ok=True)
    prepared = SparkConf(loadDefaults=False).setAll(list(conf.items()))
    prepared.set("spark.driver.extraJavaOptions", _java_options(settings, log, conf, brief))
    with _environment(_variables(settings)):
        try:
            return SparkSession.builder.config(conf=prepared).appName(app_name).getOrCreate()
        except PySparkRuntimeError as error:
            raise SparkFailed(
                f"The Spark driver (master {settings.spark_master}) did not start: {str(error).rstrip('.')}.",
                hint=f"The lines above are Java's own; its log is {log}. `meterlake doctor` checks Java and memory.",
            ) from error


def _variables(settings: Settings) -> dict[str, str]:
    """Return what pyspark takes from the environment alone."""
    variables = {"PYSPARK_PYTHON": sys.executable, "SPARK_HOME": str(settings.spark_home or _spark_home(settings))}
    if home := runtime(settings).java_home:
        variables["JAVA_HOME"] = str(home)
    if settings.hdfs_user:
        variables["HADOOP_USER_NAME"] = settings.hdfs_user
    return variables | {"SPARK_LOCAL_IP": settings.host} if _is_local(settings) else variables


def _compiling(brief: bool) -> list[str]:
    """Return options by which Java compiles for the second time, which takes longest, ten times as late as by default.

    Most of what a driver does is planning: thousands of calls, not millions, which gain less by it than it takes. What
    rows pass through gets there within a second all the same; where they are few, not even that pays.
    """
    if brief:
        # With one compiler Java keeps 48 MB of code by default: a run has more, and what has no room is not compiled.
        return ["-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=240m"]
    defaults = {"Invocation": 5000, "MinInvocation": 600, "Compile": 15_000, "BackEdge": 40_000}
    return [f"-XX:Tier4{name}Threshold={10 * count}" for name, count in defaults.items()]


def _java_options(settings: Settings, log: Path, conf: Mapping[str, str], brief: bool) -> str:
    words = [
        # The heap is the setting's; what Spark unpacks and spills goes beside the data, not to /tmp.
        "-Duser.timezone=UTC",
        "-XX:-UsePerfData",
        *_compiling(brief),
        f'"-Djava.io.tmpdir={_scratch(settings)}"',
        f"-Dlog4j2.configurationFile={_LOG_CONFIG.as_uri()}",
        f'"-Dmeterlake.log={log}"',
        settings.java_options,
        conf.get("spark.driver.extraJavaOptions", ""),
    ]
    return " ".join(word for word in words if word)


def _check_same(current: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for key, value in wanted.items():
        if current.get(key) != value:
            raise OtherSession(
                f"A Spark session with {key}={current.get(key)} is open in this process; {value} was asked for.",
                hint="Leave that session first, or run it in a process of its own.",
            )


def _is_local(settings: Settings) -> bool:
    return settings.spark_master.startswith("local")


def _scratch(settings: Settings) -> Path:
    return settings.home.resolve() / "run" / "spark"


def _spark_home(settings: Settings) -> Path:
    """Return pyspark's own home; for a driver on this machine, one without ``python/lib``.

    From the archives there, each worker would compile pyspark, and read their directories before each task. Without
    them it imports the pyspark of its interpreter, which is the same.
    """
    import pyspark

    home = Path(pyspark.__file__).parent
    if not _is_local(settings):
        return home
    shown = _scratch(settings) / f"home-{zlib.crc32(str(home).encode()):08x}"
    shown.mkdir(parents=True, exist_ok=True)
    for name in ("bin", "jars"):
        with suppress(FileExistsError):  # of an earlier process, or of one that starts at the same time
            (shown / name).symlink_to(home / name)
    return shown


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "driver"


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the start of the JVM, and put them back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
