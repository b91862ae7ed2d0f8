"""``python -m meterlake`` is ``meterlake``."""

from cli import main

main()
