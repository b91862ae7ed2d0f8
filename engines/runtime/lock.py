"""``python -m engines.runtime.lock``: pin the closure of every POM anew (``make lock``)."""

from __future__ import annotations

import sys

from engines.runtime import maven
from meterlake.settings import load_settings


def main() -> None:
    """Write ``jars/<name>.lock`` for every POM."""
    for name in maven.names():
        count = maven.write_lock(name, load_settings())
        sys.stdout.write(f"{name}: {count} files\n")


if __name__ == "__main__":
    main()
