"""Jars: pinned, checked, and a clear word when they cannot be had."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest

from meterlake.settings import Settings
from stack.runtime import locks, maven
from stack.runtime.errors import ArtifactError, MissingTool
from stack.runtime.unpack import extract

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", locks.names())
def test_every_pom_has_its_lock_with_the_pinned_artifacts(name: str) -> None:
    pom = (locks.JARS / f"{name}.xml").read_text()
    wanted = re.findall(
        r"<artifactId>(.+?)</artifactId>\s*<version>(.+?)</version>", pom.partition("<dependencies>")[2]
    )
    locked = [item.path for item in locks.read_lock(name)]
    assert wanted
    for artifact, version in wanted:
        assert any(f"/{artifact}/{version}/" in path for path in locked), f"{artifact} {version} is not locked"
    assert all(re.fullmatch(r"[0-9a-f]{64}", item.sha256) for item in locks.read_lock(name))


def test_without_maven_the_package_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match="mvn") as error:
        maven.resolve("spark", Settings(cache_dir=tmp_path / "cache"))
    assert "apt-get install maven" in error.value.hint
    assert "dnf install maven" in error.value.hint
    assert "brew install maven" in error.value.hint


def a_maven(folder: Path, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "mvn").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "mvn").chmod(0o755)


def test_files_that_are_not_the_locked_ones_are_refused_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = locks.read_lock("spark")[0].path
    file = tmp_path / "cache" / "maven" / first
    a_maven(tmp_path / "bin", f"mkdir -p {file.parent}; echo other > {file}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(ArtifactError, match=f"{len(locks.read_lock('spark'))} files of spark are not the locked ones"):
        maven.resolve("spark", Settings(cache_dir=tmp_path / "cache"))
    assert not file.exists()


def test_what_maven_said_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_maven(tmp_path / "bin", "echo '[ERROR] unknown host example.invalid'; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(ArtifactError, match=r"jars of spark: .*unknown host example\.invalid"):
        maven.resolve("spark", Settings(cache_dir=tmp_path / "cache"))


def test_a_hard_link_to_an_unwanted_member_gets_its_content(tmp_path: Path) -> None:
    archive = tmp_path / "server.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        shared = tarfile.TarInfo("server-1/plugin/other/shared.jar")
        shared.size = 5
        tar.addfile(shared, io.BytesIO(b"bytes"))
        link = tarfile.TarInfo("server-1/plugin/wanted/shared.jar")
        link.type, link.linkname = tarfile.LNKTYPE, shared.name
        tar.addfile(link)
    extract(archive, tmp_path / "out", lambda name: name.startswith("plugin/wanted/"))
    assert [str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.jar")] == [
        "plugin/wanted/shared.jar"
    ]
    assert (tmp_path / "out/plugin/wanted/shared.jar").read_bytes() == b"bytes"


def test_a_download_reports_the_bytes_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = locks.read_lock("spark")[0]
    part = tmp_path / "cache" / "maven" / f"{first.path}.part"
    a_maven(tmp_path / "bin", f"mkdir -p {part.parent}; head -c 1000 /dev/zero > {part}; sleep 1.2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    steps: list[tuple[str, int, int]] = []
    with pytest.raises(ArtifactError):
        maven.resolve("spark", Settings(cache_dir=tmp_path / "cache"), lambda *step: steps.append(step))
    wanted = sum(item.size for item in locks.read_lock("spark"))
    assert ("spark", 1000, wanted) in steps
