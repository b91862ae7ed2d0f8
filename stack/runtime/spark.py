"""What the Spark driver runs on, in the native stack: jars from the cache, and a Java home of its own."""

from __future__ import annotations

import hashlib
import os
import shlex
from typing import TYPE_CHECKING

from engines.spark_runtime import Runtime
from stack.runtime import maven
from stack.runtime.java import ensure_java

if TYPE_CHECKING:
    from pathlib import Path

    from meterlake.settings import Settings

# Spark's launcher asks for this module; only its MLlib uses it. The Java from PyPI lacks it and would not start,
# and a JDK that has it prints a warning about incubator modules.
_DROPPED = "--add-modules=jdk.incubator.vector"
_SCRIPT = """\
#!/bin/sh
for word do
  shift
  [ "$word" = "{dropped}" ] || set -- "$@" "$word"
done
exec {java} "$@"
"""


def runtime(settings: Settings) -> Runtime:
    """Return jars and Java of the native stack, downloaded once. Raises MissingTool or ArtifactError."""
    return Runtime(tuple(maven.resolve("spark", settings)), spark_java_home(settings))


def spark_java_home(settings: Settings) -> Path:
    """Return a folder whose ``bin/java`` is Java 17 without the module that the driver does not need.

    It is made once, in the cache. Raises MissingTool when there is no Java 17.
    """
    java = ensure_java(17, settings).executable
    script = _SCRIPT.format(dropped=_DROPPED, java=shlex.quote(str(java.resolve())))
    name = hashlib.sha256(script.encode()).hexdigest()[:12]
    home = settings.cache_dir.resolve() / "java" / f"spark-{name}"
    target = home / "bin" / "java"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"java.{os.getpid()}")
        partial.write_text(script)
        partial.chmod(0o755)
        partial.replace(target)
    return home
