"""``python notebooks [NAME…]``: run notebooks on the lakehouse of the settings, and keep them with their pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parent
SECONDS = 600
"""What a cell may take."""


def names() -> list[str]:
    """Return the names of all notebooks."""
    return sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


def execute(name: str, out: Path, lakehouse: str) -> None:
    """Run a notebook where the command is run; write it with its outputs, up to the cell that failed if one does."""
    text = (FOLDER / f"{name}.py").read_text()
    notebook = jupytext.reads(text.replace('opened("utility")', f'opened("{lakehouse}")'), fmt="py:percent")
    client = NotebookClient(notebook, kernel_name="python3", timeout=SECONDS)
    # Sockets of files: what a kernel is told over TCP, others on this machine could read.
    client.create_kernel_manager().transport = "ipc"
    try:
        client.execute()
    finally:
        out.mkdir(parents=True, exist_ok=True)
        jupytext.write(notebook, out / f"{name}.ipynb")


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python notebooks", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names())}; without: all of them")
    parser.add_argument("--out", type=Path, default=Path("out/notebooks"), help="where they are kept, as .ipynb")
    parser.add_argument("--lakehouse", default="utility", help="one that is declared as the utility is")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.names if name not in names()]:
        parser.error(f"there is no notebook {unknown[0]!r}; there are {', '.join(names())}")
    failed = 0
    for name in chosen.names or names():
        try:
            execute(name, chosen.out, chosen.lakehouse)
        except CellExecutionError as error:
            failed = 1
            sys.stderr.write(f"{name}: {error.ename}: {error.evalue}\n")
        else:
            sys.stdout.write(f"{chosen.out / name}.ipynb\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
