"""Which Java is taken, and what is said when none fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from meterlake.settings import Settings
from stack.runtime.errors import MissingTool
from stack.runtime.java import find_java, fits

pytestmark = pytest.mark.unit


def a_jdk(folder: Path, version: str, modules: str = "java.base jdk.incubator.vector") -> Path:
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    (folder / "release").write_text(f'JAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return folder


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [(17, 17, True), (21, 17, False), (11, 17, False), (24, 24, True), (25, 24, True), (21, 24, False)],
)
def test_17_means_17_and_24_means_at_least(version: int, wanted: int, expected: bool) -> None:
    assert fits(version, wanted) is expected


def test_a_home_set_by_hand_is_taken(tmp_path: Path) -> None:
    home = a_jdk(tmp_path / "jdk", "17.0.15")
    result = find_java(17, Settings(java17_home=home, cache_dir=tmp_path))
    assert result is not None
    assert (result.home, result.version, result.full) == (home, 17, True)


def test_a_trimmed_runtime_is_told_apart(tmp_path: Path) -> None:
    home = a_jdk(tmp_path / "jdk", "25.0.2", modules="java.base")
    result = find_java(24, Settings(java24_home=home, cache_dir=tmp_path))
    assert result is not None
    assert not result.full


def test_a_home_of_another_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    home = a_jdk(tmp_path / "jdk", "21.0.2")
    with pytest.raises(MissingTool, match=rf"METERLAKE_JAVA17_HOME={home} holds Java 21; expected 17") as error:
        find_java(17, Settings(java17_home=home, cache_dir=tmp_path))
    assert "apt-get install" in error.value.hint


def test_a_home_without_java_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match="no bin/java that runs"):
        find_java(24, Settings(java24_home=tmp_path, cache_dir=tmp_path))


def test_machine_only_says_what_to_install_when_nothing_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.runtime.java._machine_homes", lambda: iter([a_jdk(tmp_path / "old", "11.0.1")]))
    with pytest.raises(MissingTool, match="No JDK 17 on this machine, and METERLAKE_JAVA=machine") as error:
        find_java(17, Settings(java="machine", cache_dir=tmp_path))
    assert all(word in error.value.hint for word in ("Debian", "Fedora", "macOS", "METERLAKE_JAVA=auto"))


def test_pypi_ignores_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.runtime.java._machine_homes", lambda: iter([a_jdk(tmp_path / "jdk", "17.0.1")]))
    assert find_java(17, Settings(java="pypi", cache_dir=tmp_path)) is None
