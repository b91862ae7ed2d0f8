"""``meterlake dataset contract``: what readers of a data set may rely on, and what would break it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.output import progress_console
from meterlake import registry
from meterlake.errors import UsageError

if TYPE_CHECKING:
    from meterlake.contract.changes import Change
    from meterlake.contract.promises import Contract

FILE: Final = "contract.yaml"
"""Where the published contract lies, in the data set's folder."""


def contract(
    name: Annotated[str, typer.Argument(help="A data set, of meters or a lakehouse.")],
    against: Annotated[
        Path | None, typer.Option(help=f"The published contract. Without it: {FILE} in the data set's folder.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help=f"Publish it: write {FILE} in the data set's folder.")] = False,
    major: Annotated[
        bool, typer.Option("--major", help="Publish what breaks it, too: as the next major version.")
    ] = False,
) -> None:
    """Print the data contract of a data set, in the Open Data Contract Standard 3.1.

    It promises tables, columns, types, keys, units, allowed values and rules, all of them from the declaration. What
    differs from the published one is said, and gives the version: x.0.0 where it breaks what readers or senders rely
    on, 1.x.0 for additions, 1.0.x for words. Exit code 1 where it breaks, unless `--major` is given.

    Examples:

    - `meterlake dataset contract telecom > contract.yaml`
    - `meterlake dataset contract telecom --write`
    - `meterlake dataset contract household --against published.yaml`
    """
    from meterlake.contract import odcs
    from meterlake.contract.changes import FIRST, changes, next_version

    promised, folder = _contract(name)
    published = against or (folder / FILE if folder and (folder / FILE).is_file() else None)
    result: list[Change] = []
    version = FIRST
    if published:
        old = _read(published)
        result = changes(old, odcs.document(promised, FIRST))
        version = next_version(str(old["version"]), result)
        for change in result:
            progress_console.print(f"{change.weight}: {change.place} {change.what}", markup=False, soft_wrap=True)
    breaks = any(change.weight == "breaking" for change in result) and not major
    text = odcs.text(odcs.document(promised, version))
    if not write:
        typer.echo(text, nl=False)
    elif folder is None:
        raise UsageError(f"{name} has no folder to write {FILE} into.", hint="Print it, and put it where it belongs.")
    elif not breaks:
        (folder / FILE).write_text(text, encoding="utf-8")
        progress_console.print(f"Written: {folder / FILE}, version {version}.", markup=False, soft_wrap=True)
    if breaks:
        progress_console.print(
            f"Version {version} would break what somebody relies on: --major publishes it.",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(1)


def _contract(name: str) -> tuple[Contract, Path | None]:
    if (entry := registry.lakehouse(name)) is not None:
        from lakehouse.contract import contract as of_lakehouse

        return of_lakehouse(entry.declaration), entry.folder
    from meterlake.contract.series import contract as of_series

    meters = registry.entry(name)
    return of_series(meters.declaration), meters.folder


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read as YAML: {error}.", hint="Give a published contract.") from error
    good = isinstance(document, dict) and document.get("kind") == "DataContract"
    numbers = str(document.get("version", "")).split(".") if good else []
    if len(numbers) != 3 or not all(number.isdigit() for number in numbers):
        raise UsageError(
            f"{path} is no data contract with a version such as 1.0.0.",
            hint="Give one that `meterlake dataset contract` has made.",
        )
    result: dict[str, Any] = document
    return result
