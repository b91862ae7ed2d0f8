"""Profiles: what profilers write becomes stacks with CPU seconds, groups and a picture."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET

import pytest

from meterlake.settings import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))  # benchmarks are programs, and no package
import flame_graph
from cpu_groups import INNERMOST, WHOLE, by_group, group
from sampling import DRIVER, JVM, WORKERS, java_stacks, python_stacks, scaled

pytestmark = pytest.mark.unit

TASK = "[Executor task launch worker for task 1.0 in stage 7.0 (TID 12) tid=4711]"
JAVA = f"""\
{TASK};java/lang/Thread.run;org/apache/spark/executor/Executor$TaskRunner.run;org/apache/kafka/clients/A.poll 3
{TASK.replace("1.0", "2.0")};java/lang/Thread.run;org/apache/spark/executor/Executor$TaskRunner.run 2
[C2 CompilerThre tid=12];clone3;CompileBroker::compiler_thread_loop;C2Compiler::compile_method 5
"""
PYTHON = """\
process 7:"python run.py";<module> (run.py);JavaMember.__call__ (py4j/java_gateway.py) 4
process 7:"python run.py";process 8:"java -cp a;b";process 9:"python -m pyspark.daemon";task (pyspark/worker.py) 1
process 7:"python run.py";process 8:"java -cp a;b";process 9:"python -m pyspark.daemon" 2
"""


def test_threads_that_do_the_same_are_one() -> None:
    stacks = java_stacks(JAVA)
    assert {stack[1] for stack in stacks} == {"Executor task launch worker", "C2 CompilerThre"}
    assert sorted(stacks.values()) == [2, 3, 5]
    assert {stack[0] for stack in stacks} == {JVM}


def test_workers_are_told_from_the_driver_by_the_innermost_process() -> None:
    assert python_stacks(PYTHON, driver=7) == {
        (DRIVER, "<module> (run.py)", "JavaMember.__call__ (py4j/java_gateway.py)"): 4,
        (WORKERS, "task (pyspark/worker.py)"): 1,
        (WORKERS,): 2,
    }


def test_seconds_are_those_of_the_kernel_also_of_what_has_no_stacks() -> None:
    samples = java_stacks(JAVA) + python_stacks(PYTHON, driver=7)
    seconds = scaled(samples, {JVM: 20.0, DRIVER: 0.0, WORKERS: 6.0, "Kafka": 1.5})
    assert sum(seconds.values()) == pytest.approx(27.5)
    assert sum(spent for stack, spent in seconds.items() if stack[0] == JVM) == pytest.approx(20)
    assert seconds["Kafka",] == 1.5
    assert not [stack for stack in seconds if stack[0] == DRIVER]
    assert by_group(seconds) == pytest.approx(
        {
            "Java compiles its byte code": 10,
            "Kafka's client in Spark": 6,
            "jobs and tasks: scheduling, sending": 4,
            "Python, other": 4,
            "Spark's Python workers: tasks unpacked": 2,
            "Kafka, the server": 1.5,
        }
    )


@pytest.mark.parametrize(
    ("frames", "wanted"),
    [
        (
            ("org/apache/spark/sql/execution/python/ArrowPythonRunner.write", "org/apache/kafka/clients/A.poll"),
            "Kafka's",
        ),
        (("org/apache/spark/sql/kafka010/K.next", "org/apache/spark/sql/execution/arrow/ArrowWriter.write"), "rows to"),
        (("org/apache/spark/sql/catalyst/expressions/GeneratedClass$G.next", "java/util/HashMap.get"), "rows: "),
        (("org/apache/spark/sql/catalyst/trees/TreeNode.transform", "scala/collection/List.map"), "plans"),
        (("org/apache/spark/sql/execution/streaming/state/HDFSBackedStateStoreProvider.put",), "state of"),
        (("org/codehaus/janino/A.cook", "java/lang/ClassLoader.defineClass"), "code of queries"),
        (("org/apache/parquet/A.write", "com/github/luben/zstd/Zstd.compress"), "Parquet"),
        (("org/apache/spark/sql/execution/streaming/HDFSMetadataLog.add",), "tables'"),
        (("org/apache/hadoop/hdfs/A.write", "java/net/Socket.write"), "HDFS"),
        (("java/lang/Thread.run",), "Java, other"),
    ],
)
def test_the_innermost_frame_that_is_known_decides(frames: tuple[str, ...], wanted: str) -> None:
    assert group((JVM, "Executor task launch worker", *frames)).startswith(wanted)


def test_every_process_has_a_group() -> None:
    assert {group((name,)) for name in (JVM, WORKERS, DRIVER, "Kafka", "Cassandra")} == {
        "Java, other", "Python, other", "Kafka, the server", "Cassandra, the server",
    }  # fmt: skip


def test_names_are_short_and_what_calls_itself_stands_once() -> None:
    tree = "org/apache/spark/sql/catalyst/trees/TreeNode"
    stack = (
        JVM,
        f"{tree}.transformDown",
        "scala/Option.map",
        f"{tree}.$anonfun$mapChildren$1",
        f"{tree}.copy",
        "a/B.c",
    )
    assert flame_graph.plain(stack) == (JVM, "TreeNode.transformDown", "B.c")


def test_what_only_passes_on_is_not_shown() -> None:
    stack = (JVM, "java/lang/reflect/Method.invoke", "org/apache/spark/sql/execution/SQLExecution$.withNewId", "a/B.c")
    assert flame_graph.plain(stack) == (JVM, "B.c")


def test_what_java_does_itself_is_not_shown_to_its_depth() -> None:
    stack = (JVM, "C2 CompilerThre", "clone3", "Thread::call_run", "A::a", "B::b", "C::c", "D::d", "malloc")
    assert flame_graph.plain(stack) == (JVM, "C2 CompilerThre", "A::a", "B::b", "C::c")


def test_a_picture_is_well_formed_and_as_wide_as_the_seconds() -> None:
    stacks = {(JVM, "a/B.c<init>", "d/E.f"): 3.0, (JVM, "a/B.c<init>"): 1.0, (WORKERS, "g (h.py)"): 4.0}
    picture = ET.fromstring(flame_graph.svg(stacks, group, "A & B"))  # noqa: S314 - made here
    widths = {
        (title.text or "").partition(": ")[0]: float(rect.get("width", ""))
        for rect in picture.iter("{http://www.w3.org/2000/svg}rect")
        for title in rect
    }
    assert widths == pytest.approx(
        {"all": 1200, JVM: 600, WORKERS: 600, "B.c<init>": 600, "E.f": 450, "g (h.py)": 600}, abs=0.5
    )


def test_a_picture_of_many_stacks_stays_small() -> None:
    stacks = {(JVM, *(f"p/C{number}.m{depth}" for depth in range(30))): 1.0 for number in range(900)}
    assert len(flame_graph.svg(stacks, group, "many").encode()) <= flame_graph.MOST


def test_each_rule_is_one_expression() -> None:
    names = [name for name, *_ in (*WHOLE, *INNERMOST)]
    assert len(names) == len(set(names))
    assert all(re.compile(rule) for _, *rules in (*WHOLE, *INNERMOST) for rule in rules)
