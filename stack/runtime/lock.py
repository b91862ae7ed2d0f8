"""``python -m stack.runtime.lock``: pin the closure of every POM and every environment again (``make lock``)."""

from __future__ import annotations

import sys

from meterlake.settings import load_settings
from stack.runtime import environments, locks, maven

if __name__ == "__main__":
    for name in locks.names():
        sys.stdout.write(f"{name}: {maven.lock(name, load_settings())} files\n")
    for name in environments.names():
        environments.lock(name)
        sys.stdout.write(f"{name}: pinned\n")
