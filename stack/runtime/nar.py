"""Our processor for NiFi: compiled from its source when NiFi is first started, and packed as NiFi loads it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from meterlake.lakehouse.nifi import CONSUME
from meterlake.settings import Settings, load_settings
from stack.runtime import maven
from stack.runtime.cache import filling, made_whole
from stack.runtime.errors import ArtifactError
from stack.runtime.java import ensure_java
from stack.runtime.locks import lock_hash

SOURCE: Final = Path(__file__).parent.parent / "nifi" / "ConsumeTopic.java"
_LIBRARIES: Final = "META-INF/bundled-dependencies"
_FILE: Final = "meterlake-nar.nar"
_NAR: Final = {"Nar-Group": "meterlake", "Nar-Id": "meterlake-nar", "Nar-Version": "1"}
_WITH: Final = ("nifi", "nifi-parts", "nifi-topics")
"""Locks of what NiFi consists of, and of what the processor is compiled with."""


def parts(settings: Settings) -> Path:
    """Return the folder with all parts that NiFi loads: its own, and ours. Made once. Raises ArtifactError."""
    names = hashlib.sha256(
        SOURCE.read_bytes() + Path(__file__).read_bytes() + "".join(map(lock_hash, _WITH)).encode()
    ).hexdigest()[:12]
    target = settings.cache_dir / "unpacked" / f"nifi-{names}"
    if target.is_dir():
        return target
    # Before the lock is taken, which these would wait for.
    archives, *_ = (maven.resolve(name, settings) for name in ("nifi-parts", "nifi-topics", "nifi"))
    ensure_java(17, settings)
    with filling(settings, maven.LOCK):
        if not target.is_dir():
            with made_whole(target) as partial, TemporaryDirectory() as work:
                _pack(_compile(settings, Path(work)), settings, partial / _FILE)
                for archive in archives:
                    (partial / archive.name).symlink_to(archive)
    return target


def ours(settings: Settings) -> Path:
    """Return the archive with our processor."""
    return parts(settings) / _FILE


def _compile(settings: Settings, work: Path) -> Path:
    """Return the jar of the processor."""
    classes = work / "classes"
    libraries = maven.resolve("nifi-topics", settings) + maven.resolve("nifi", settings)
    compiler = next(file for file in libraries if file.name.startswith("ecj-"))
    java = ensure_java(17, settings)
    command = [str(java.executable), "-cp", str(compiler), "org.eclipse.jdt.internal.compiler.batch.Main"]
    command += ["--release", "11", "-proc:none", "-nowarn", "-cp", os.pathsep.join(map(str, libraries))]
    command += ["-d", str(classes), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        raise ArtifactError(
            f"{SOURCE.name} could not be compiled: {(done.stderr + done.stdout).strip()[-800:]}",
            hint=f"It was compiled by {java.executable}; METERLAKE_JAVA17_HOME names another.",
        )
    jar = work / "meterlake.jar"
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(classes.rglob("*.class")):
            archive.write(file, file.relative_to(classes))
        archive.writestr("META-INF/services/org.apache.nifi.processor.Processor", f"{CONSUME}\n")
    return jar


def _pack(jar: Path, settings: Settings, target: Path) -> None:
    """Pack a jar and Kafka's client as an archive of NiFi's."""
    manifest = {"Manifest-Version": "1.0"} | _NAR
    client = [file for file in maven.resolve("nifi-topics", settings) if not file.name.startswith(("ecj-", "slf4j-"))]
    with zipfile.ZipFile(target, "w") as archive:
        for folder in ("META-INF/", f"{_LIBRARIES}/"):
            archive.writestr(folder, "")  # NiFi makes folders only where an entry says so
        archive.writestr("META-INF/MANIFEST.MF", "".join(f"{name}: {value}\n" for name, value in manifest.items()))
        for file in (jar, *client):
            archive.write(file, f"{_LIBRARIES}/{file.name}")


if __name__ == "__main__":
    sys.stdout.write(f"{ours(load_settings())}\n")
