"""``python -m meterlake`` is ``meterlake``."""

from meterlake.cli import main

main()
