"""Python environments of servers that are Python packages, each apart from ours, in the cache.

``environments/<name>.in`` says what is asked for, ``environments/<name>.lock`` holds every package with its hashes.
Other folders may have such files (``within``): the benchmarks' has those of the peers.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

from meterlake.settings import Settings
from stack.runtime.cache import Progress, filling, made_whole
from stack.runtime.errors import ArtifactError

FOLDER = Path(__file__).parent / "environments"
BYTES = {"airflow": 70_000_000, "superset": 230_000_000}
"""What each of them is to download, about: uv does not say how far it is."""
_LOCK = "environments.lock"
_COMPILE = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--upgrade")


def names() -> list[str]:
    """Return the names of all environments."""
    return sorted(file.stem for file in FOLDER.glob("*.in"))


def folder(name: str, settings: Settings, within: Path = FOLDER) -> Path:
    """Return where the environment is, or would be: another lock or Python has another folder."""
    lock = hashlib.sha256((within / f"{name}.lock").read_bytes()).hexdigest()[:12]
    return settings.cache_dir / "python" / f"{name}-{sys.version_info[0]}.{sys.version_info[1]}-{lock}"


def ensure(name: str, settings: Settings, progress: Progress | None = None, within: Path = FOLDER) -> Path:
    """Return the folder of an environment, installing its locked packages once. Raises ArtifactError."""
    target = folder(name, settings, within)
    if target.is_dir():
        return target
    with filling(settings, _LOCK):
        if not target.is_dir():
            if progress:
                progress(name, 0, BYTES[name])
            with made_whole(target) as partial:
                # Relocatable: it is made under another name.
                _uv(name, "venv", "--quiet", "--clear", "--relocatable", "--python", sys.executable, str(partial))
                python = str(partial / "bin" / "python")
                requirements = str(within / f"{name}.lock")
                _uv(name, "pip", "install", "--quiet", "--require-hashes", "--python", python, "-r", requirements)
            if progress:
                progress(name, BYTES[name], BYTES[name])
    return target


def lock(name: str, within: Path = FOLDER) -> None:
    """Pin the packages of an environment again. Raises ArtifactError."""
    file = within / f"{name}.in"
    _uv(name, "pip", "compile", *_COMPILE, "--quiet", str(file), "-o", str(file.with_suffix(".lock")))


def _uv(name: str, *words: str) -> None:
    done = subprocess.run([find_uv_bin(), *words], capture_output=True, text=True, check=False)  # noqa: S603 - own words
    if done.returncode:
        raise ArtifactError(
            f"The Python environment of {name} could not be made: {done.stderr.strip()[-500:]}.",
            hint="Check the network and the package index of uv, then run it again.",
        )
