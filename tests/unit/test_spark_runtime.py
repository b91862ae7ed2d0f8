"""What the Spark driver runs on: named, or brought; and what is said where it is neither."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import spark_runtime
from engines.spark_runtime import NoRuntime, Runtime
from meterlake.settings import Settings

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def no_provider() -> Iterator[None]:
    kept = spark_runtime._providers[:]  # noqa: SLF001 - it is this module that is tested
    spark_runtime._providers.clear()  # noqa: SLF001
    yield
    spark_runtime._providers[:] = kept  # noqa: SLF001


def test_without_names_and_provider_both_ways_are_said() -> None:
    with pytest.raises(NoRuntime, match="Nothing names the jars") as caught:
        spark_runtime.runtime(Settings())
    assert "METERLAKE_SPARK_JARS" in caught.value.hint
    assert "METERLAKE_SPARK_HOME" in caught.value.hint


def test_a_provider_is_asked_with_the_settings(tmp_path: Path) -> None:
    spark_runtime.provide(lambda settings: Runtime((settings.home / "a.jar",), settings.home / "java"))
    assert spark_runtime.runtime(Settings(home=tmp_path)) == Runtime((tmp_path / "a.jar",), tmp_path / "java")


def test_named_files_and_folders_win(tmp_path: Path) -> None:
    spark_runtime.provide(lambda _: Runtime((), None))
    for name in ("folder/b.jar", "folder/a.jar", "folder/notes.txt", "c.jar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    settings = Settings(spark_jars=f"{tmp_path}/folder, {tmp_path}/c.jar")
    jars = (tmp_path / "folder/a.jar", tmp_path / "folder/b.jar", tmp_path / "c.jar")
    assert spark_runtime.runtime(settings) == Runtime(jars)


def test_a_spark_that_has_its_jars_needs_none() -> None:
    assert spark_runtime.runtime(Settings(spark_home=Path("/opt/spark"))) == Runtime(())


@pytest.mark.parametrize("name", ["absent.jar", "empty"])
def test_what_is_named_must_be_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoRuntime, match=f"METERLAKE_SPARK_JARS names {tmp_path}/{name}, which is no jar"):
        spark_runtime.runtime(Settings(spark_jars=str(tmp_path / name)))
