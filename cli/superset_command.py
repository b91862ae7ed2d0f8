"""``meterlake superset``: Superset's data sets, charts and dashboard of a lakehouse's figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import Output, OutputOption, progress_console, show, shown_path
from meterlake import registry
from meterlake.errors import UnknownName, UsageError
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from meterlake.lakehouse.declaration import Lakehouse
    from stack.instance import Instance


def superset(
    dataset: Annotated[str, typer.Argument(help="A lakehouse.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the bundle (ZIP) that Superset imports.")] = None,
    push: Annotated[
        bool, typer.Option("--push", help="Import it into the Superset that `meterlake up superset` runs.")
    ] = False,
    role: Annotated[str, typer.Option(help="Let a role of Superset see it there; the role is made.")] = "",
    rows: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE,…", help="Of --role: only rows with these values; again for more columns."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make Superset's data sets, charts and dashboard of a lakehouse's figures.

    Figures over the same rows are metrics of one data set, with a chart each; pages of the declaration are tabs.
    Importing it again changes what is there, and adds nothing.

    Examples:

    - `meterlake superset utility --out utility.zip`
    - `meterlake superset utility --push`
    - `meterlake superset utility --role north --rows region=North`
    """
    from lakehouse.superset import PARTS, bundle, files
    from stack.instance import Instance
    from stack.services import superset as service

    if rows and not role:
        raise UsageError("--rows is of a role.", hint="Name it: --role NAME.")
    if not (out or push or role):
        raise UsageError("Neither --out nor --push nor --role is given.", hint="Write --push, or --out FILE.zip.")
    declared, instance = registry.required_lakehouse(dataset).declaration, Instance(load_settings())
    limits = _limits(declared, rows or [])
    texts = files(declared, service.trino(instance.settings, secret=False)["url"])
    if out:
        out.write_bytes(bundle(texts, declared.name))
    for part in PARTS if push else ():
        service.bring(instance, declared.name, part, bundle(texts, declared.name, part))
    if out or push:
        counts = {f"{part}s": sum(path.startswith(f"{part}s/") for path in texts) for part in reversed(PARTS)}
        show([{"lakehouse": declared.name, **counts}], output)
    if role:
        show([_let_see(declared, instance, role, limits)], output)
    if output is Output.TEXT and (out or push):
        where = shown_path(out) if out else f"{service.SUPERSET.url(instance)}/superset/dashboard/{declared.name}/"
        progress_console.print(where, markup=False)


def _limits(declared: Lakehouse, rows: list[str]) -> dict[str, list[str]]:
    """Return what --rows says: column -> values. Raises UsageError, or UnknownName."""
    known = declared.filters.columns if declared.filters else ()
    limits: dict[str, list[str]] = {}
    for text in rows:
        column, _, values = text.partition("=")
        if not all(values.split(",")):
            raise UsageError(f"--rows {text} has no values.", hint="Write, for example, region=North,South.")
        if column not in known:
            raise UnknownName(f"filter of {declared.name}", column, known)
        limits.setdefault(column, []).extend(values.split(","))
    return limits


def _let_see(declared: Lakehouse, instance: Instance, role: str, limits: dict[str, list[str]]) -> dict[str, Any]:
    from lakehouse.superset import clause, limited
    from stack.superset_access import grant

    tables = limited(declared, limits)
    condition = clause(limits)
    grant(instance, declared.namespace("gold"), role, tables, condition)
    return {"role": role, "datasets": len(tables), "rows": condition or "all"}


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Generated files")(superset)
