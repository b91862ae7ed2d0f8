"""The session: one a process, in UTC, quiet, leaving nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from engines import spark as engine
from meterlake.settings import Settings
from stack.runtime.spark import runtime, spark_java_home

pytestmark = pytest.mark.spark


def test_a_second_session_is_the_same_one(
    spark: SparkSession, spark_settings: Settings, quick_jvm: dict[str, str]
) -> None:
    with engine.session(spark_settings, "another name", quick_jvm) as second:
        assert second is spark
    assert spark.range(3).count() == 3  # it was not stopped


def test_a_session_with_other_settings_is_refused(
    spark: SparkSession, spark_settings: Settings, quick_jvm: dict[str, str]
) -> None:
    other = spark_settings.model_copy(update={"metastore_url": "thrift://elsewhere:9083"})
    with pytest.raises(engine.OtherSession, match="thrift://elsewhere:9083"), engine.session(other, conf=quick_jvm):
        pass


def test_queries_are_planned_once_where_it_is_asked_for_and_nowhere_else(spark: SparkSession) -> None:
    def is_adaptive() -> bool:
        (plan,) = spark.sql("EXPLAIN SELECT id % 3 AS a, count(*) AS n FROM range(9) GROUP BY 1").collect()
        return "AdaptiveSparkPlan" in plan[0]

    def fail() -> None:
        with engine.planned_once(spark):
            seen.append(is_adaptive())
            raise ZeroDivisionError

    seen = [is_adaptive()]
    with pytest.raises(ZeroDivisionError):
        fail()
    assert [*seen, is_adaptive()] == [True, False, True]


def test_times_are_wall_clock_without_zone(spark: SparkSession) -> None:
    row = spark.sql("SELECT TIMESTAMP '2026-03-29 02:30:00.123456' AS t, timestamp_seconds(0)::string AS epoch").first()
    assert row is not None
    assert (row.t, row.epoch) == (datetime.fromisoformat("2026-03-29T02:30:00.123456"), "1970-01-01 00:00:00")
    assert spark.sql("SELECT TIMESTAMP '2026-03-29 02:30:00' AS t").dtypes == [("t", "timestamp_ntz")]


def test_workers_are_this_python(spark: SparkSession) -> None:
    seen = spark.sparkContext.parallelize([1], 1).map(lambda _: sys.executable).collect()
    assert seen == [sys.executable]


def test_nothing_is_printed_and_nothing_is_left(tmp_path: Path, spark_settings: Settings) -> None:
    script = (
        "from pathlib import Path\n"
        "from engines import spark, spark_runtime\n"
        "from meterlake.settings import Settings\n"
        "from stack.runtime.spark import runtime\n"
        "spark_runtime.provide(runtime)\n"
        f"with spark.session(Settings(home=Path({str(spark_settings.home)!r})), 'A Query!') as session:\n"
        "    session.sql('create or replace temp view v as select 1 as a')\n"
        "    assert session.table('v').head().a == 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
    assert (spark_settings.home / "logs" / "spark-a-query.log").exists()


@pytest.mark.parametrize(
    "body",
    [
        "        kill()\n        session.sql('SELECT 1').collect()\n",
        # What it said last can no longer be read, as when a signal ends both processes.
        "        try:\n"
        "            session._jvm.java.lang.Class.forName('none')\n"
        "        except Py4JJavaError as error:\n"
        "            kill()\n"
        "            raise\n",
    ],
    ids=["asked", "answering"],
)
def test_a_java_process_that_was_killed_is_named_and_the_next_session_has_another(
    spark_settings: Settings, body: str
) -> None:
    script = (
        "from pathlib import Path\n"
        "import psutil\n"
        "from py4j.protocol import Py4JJavaError\n"
        "from engines import spark, spark_runtime\n"
        "from meterlake.settings import Settings\n"
        "from stack.runtime.spark import runtime\n"
        "spark_runtime.provide(runtime)\n"
        "def kill():\n"
        "    for child in psutil.Process().children():\n"
        "        child.kill()\n"
        f"settings = Settings(home=Path({str(spark_settings.home)!r}))\n"
        "try:\n"
        "    with spark.session(settings, 'killed') as session:\n"
        f"{body}"
        "except spark.JavaEnded as error:\n"
        "    print(error.what)\n"
        "with spark.session(settings, 'again') as session:\n"
        "    print(session.sql('SELECT 41 + 1 AS a').head().a)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    said = ["Spark's Java process has ended while killed was under way.", "42"]
    assert (done.returncode, done.stdout.splitlines()) == (0, said), done.stderr


def test_jars_that_settings_name_are_all_that_is_needed(tmp_path: Path, spark_settings: Settings) -> None:
    """No provider, as in a scheduler or on a cluster: Iceberg is there, and Java is that of the environment."""
    given = runtime(spark_settings)
    script = (
        "from pathlib import Path\n"
        "from engines import spark\n"
        "from meterlake.settings import Settings\n"
        f"with spark.session(Settings(home=Path({str(tmp_path)!r})), 'elsewhere') as session:\n"
        "    print(session._jvm.java.lang.Class.forName('org.apache.iceberg.spark.SparkCatalog').getSimpleName())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "JAVA_HOME": str(given.java_home),
            "METERLAKE_SPARK_JARS": ",".join(map(str, given.jars)),
        },
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["SparkCatalog"]), done.stderr


def test_java_is_not_asked_for_a_module_that_it_may_lack(spark_settings: Settings) -> None:
    java = spark_java_home(spark_settings) / "bin" / "java"
    words = [
        "--add-modules=jdk.incubator.vector",
        "-Dwith=a space and a 'quote'",
        "-XshowSettings:properties",
        "-version",
    ]
    done = subprocess.run([java, *words], capture_output=True, text=True, check=True)
    assert "incubator" not in done.stderr
    assert "with = a space and a 'quote'" in done.stderr
    assert spark_java_home(spark_settings) == java.parents[1]
