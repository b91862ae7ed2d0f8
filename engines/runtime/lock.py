"""``python -m engines.runtime.lock``: pin the closure of every POM anew (``make lock``)."""

from __future__ import annotations

import sys

from engines.runtime import locks, maven
from meterlake.settings import load_settings

if __name__ == "__main__":
    for name in locks.names():
        sys.stdout.write(f"{name}: {maven.lock(name, load_settings())} files\n")
