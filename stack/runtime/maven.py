"""Jars, resolved by Maven into the cache and checked against their lock (``locks``).

A stamp in the cache says that this very lock was resolved and checked: from then on Maven is not asked again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from meterlake.settings import Settings
from stack.runtime.cache import Progress, filling, made_whole
from stack.runtime.errors import ArtifactError, MissingTool
from stack.runtime.java import ensure_java
from stack.runtime.locks import JARS, PARTS, archives, lock_hash, parts_hash, read_lock, sha256, write_lock
from stack.runtime.unpack import extract

PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
# Debian's and Fedora's; a runtime from PyPI brings only the public authorities.
TRUST_STORES = (Path("/etc/ssl/certs/java/cacerts"), Path("/etc/pki/java/cacerts"))
REPORT_EVERY_S = 0.5
LOCK = "lock"


def missing(settings: Settings, wanted: list[str]) -> list[str]:
    """Return those of ``wanted`` that would have to be downloaded."""
    return [name for name in wanted if not _is_resolved(name, settings)]


def size(name: str) -> int:
    """Return the bytes of all files of ``name``."""
    return sum(item.size for item in read_lock(name))


def resolve(name: str, settings: Settings, progress: Progress | None = None) -> list[Path]:
    """Return the files of ``name`` in class path order, downloading what is not in the cache.

    Raises MissingTool without Maven, ArtifactError when Maven fails or a file is not the locked one.
    """
    if not _is_resolved(name, settings):
        # Reported also while another process downloads it.
        with _reporting(name, settings, progress), filling(settings, LOCK):
            if not _is_resolved(name, settings):
                _run_maven(name, settings)
                _check(name, settings)
                _stamp(name, settings).parent.mkdir(parents=True, exist_ok=True)
                _stamp(name, settings).touch()
    return [_repository(settings) / locked.path for locked in read_lock(name)]


def unpacked_folder(name: str, settings: Settings) -> Path:
    """Return where ``unpacked`` puts the archive of ``name``; other parts of it go into another folder."""
    return settings.cache_dir / "unpacked" / f"{name}-{lock_hash(name)}-{parts_hash(name)}"


def unpacked(name: str, settings: Settings) -> Path:
    """Return the folder with the parts that we use of the one tar.gz of ``name``, unpacked once."""
    target = unpacked_folder(name, settings)
    if target.is_dir():
        return target
    (archive,) = resolve(name, settings)
    with filling(settings, LOCK):
        if not target.is_dir():
            with made_whole(target) as partial:
                extract(archive, partial, lambda member: member.startswith(PARTS[name]))
    return target


def lock(name: str, settings: Settings) -> int:
    """Resolve the POM of ``name`` afresh and write its lock; return how many files it has."""
    _run_maven(name, settings)
    listed = _class_path_file(name, settings).read_text().split("\n")
    # Test jars carry classes that shadow the real ones; a POM cannot exclude them by classifier.
    files = [Path(line) for line in listed if line and not line.endswith("-tests.jar")]
    files = files or archives(name, _repository(settings))
    write_lock(name, files, _repository(settings))
    return len(files)


def find_maven() -> str:
    """Return the Maven program. Raises MissingTool with the package to install."""
    program = shutil.which("mvn")
    if not program:
        raise MissingTool(
            "Maven (mvn) is not on the PATH; the servers' jars are resolved with it.",
            hint="Install it. Debian, Ubuntu: apt-get install maven; Fedora: dnf install maven; "
            "macOS: brew install maven.",
        )
    return program


def _run_maven(name: str, settings: Settings) -> None:
    """Let Maven resolve the POM of ``name`` into the cache's repository."""
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    command = [find_maven(), "-B", "-gs", str(JARS / "maven-settings.xml"), "-f", str(JARS / f"{name}.xml")]
    command += [f"-Dmaven.repo.local={_repository(settings)}", "-Dmdep.regenerateFile=true"]
    command += [f"-Dmdep.outputFile={_class_path_file(name, settings)}", "-Dmdep.pathSeparator=\n"]
    command += [f"{PLUGIN}:build-classpath"]
    done = subprocess.run(  # noqa: S603 - fixed words
        command, capture_output=True, text=True, check=False, env=_maven_environment(settings)
    )
    if done.returncode:
        output = (done.stdout + done.stderr).splitlines()
        errors = [line.strip() for line in output if "ERROR" in line][:6] or output[-6:]
        raise ArtifactError(
            f"Maven could not resolve the jars of {name}: {' '.join(errors)}",
            hint="Check the network and the proxy or mirror in your Maven settings.xml, then run it again.",
        )


def _maven_environment(settings: Settings) -> dict[str, str]:
    """Let Maven run on our Java, trusting whom the machine trusts (behind a company's proxy, its own authority)."""
    java = ensure_java(17, settings)
    environment = {**os.environ, "JAVA_HOME": str(java.home)}
    trusted = next((store for store in TRUST_STORES if store.is_file()), None)
    if trusted and not java.full and "trustStore" not in environment.get("MAVEN_OPTS", ""):
        options = [environment.get("MAVEN_OPTS", ""), f"-Djavax.net.ssl.trustStore={trusted}"]
        environment["MAVEN_OPTS"] = " ".join(options).strip()
    return environment


@contextmanager
def _reporting(name: str, settings: Settings, progress: Progress | None) -> Iterator[None]:
    """Report to ``progress`` twice a second how many bytes are there while the body runs."""
    if progress is None:
        yield
        return
    wanted = size(name)
    done = threading.Event()

    def report() -> None:
        while not done.wait(REPORT_EVERY_S):
            progress(name, min(_bytes_there(name, settings), wanted), wanted)

    progress(name, 0, wanted)
    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        done.set()
        reporter.join()
    progress(name, wanted, wanted)


def _bytes_there(name: str, settings: Settings) -> int:
    """Return the bytes of the files of ``name`` in the cache; Maven's unfinished ones lie beside them (.part, .tmp)."""
    total = 0
    for item in read_lock(name):
        file = _repository(settings) / item.path
        sizes = [part.stat().st_size for part in file.parent.glob(f"{file.name}*") if part.suffix != ".sha1"]
        total += min(max(sizes, default=0), item.size)
    return total


def _check(name: str, settings: Settings) -> None:
    """Compare every file with the lock. Raises ArtifactError naming the ones that differ."""
    repository = _repository(settings)
    locked = read_lock(name)
    with ThreadPoolExecutor(2) as pool:
        sums = list(pool.map(lambda item: sha256(repository / item.path), locked))
    wrong = [item.path for item, actual in zip(locked, sums, strict=True) if actual != item.sha256]
    if wrong:
        for path in wrong:
            (repository / path).unlink(missing_ok=True)
        raise ArtifactError(
            f"{len(wrong)} files of {name} are not the locked ones and were removed: {', '.join(wrong[:3])}.",
            hint="Run it again; if it stays, the repository or mirror serves other files than the locks pin.",
        )


def _is_resolved(name: str, settings: Settings) -> bool:
    repository = _repository(settings)
    return _stamp(name, settings).exists() and all((repository / item.path).exists() for item in read_lock(name))


def _stamp(name: str, settings: Settings) -> Path:
    return settings.cache_dir / "checked" / f"{name}-{lock_hash(name)}"


def _repository(settings: Settings) -> Path:
    return settings.cache_dir / "maven"


def _class_path_file(name: str, settings: Settings) -> Path:
    return settings.cache_dir / f"{name}.classpath"
