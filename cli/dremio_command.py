"""``meterlake dremio``: a lakehouse's source, space, views and figures for Dremio, from its declaration."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.output import Output, OutputOption, progress_console, show, shown_path
from meterlake import generated, registry
from meterlake.errors import UsageError
from meterlake.settings import ROOT, load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.dremio.views import Place, Views
    from meterlake.dataset import LakehouseEntry
    from meterlake.settings import Settings

FOLDER: Final = "dremio"


def dremio(
    dataset: Annotated[str, typer.Argument(help="A lakehouse.")],
    write: Annotated[
        bool, typer.Option("--write", help="Bring the files up to date; without: say which differ.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Bring all of it into the Dremio of the settings.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make what Dremio needs to show a lakehouse: a source of Nessie, a space, views, and a view for each figure.

    `--write` writes `dremio/NAME`: views.sql, figures.sql and source.json. `--apply` makes the same through Dremio's
    REST API; again, it changes only what differs. It needs `METERLAKE_DREMIO_URL`, `METERLAKE_DREMIO_USER` and
    `METERLAKE_DREMIO_PASSWORD`. Figures that Dremio cannot compute are named.

    Nobody has run it on Dremio yet: docs/dremio.md says what was checked instead.

    Examples:

    - `meterlake dremio utility`
    - `meterlake dremio utility --apply`
    """
    from lakehouse.dremio.views import views

    if write and apply:
        raise UsageError("--write and --apply do not go together.", hint="Give one of them.")
    entry = registry.required_lakehouse(dataset)
    result = views(entry.declaration)
    for name, reason in result.left_out.items():
        progress_console.print(f"Not in Dremio: {name}: {reason}", markup=False, soft_wrap=True)
    if apply:
        _apply(load_settings(), entry, result, output)
        return
    changed = generated.write(files(entry)) if write else generated.drift(files(entry))
    if output is Output.JSON:
        show([{"changed": shown_path(path)} for path in changed], output)
    else:
        paths = "\n".join(shown_path(path) for path in changed) or "All files are up to date."
        progress_console.print(f"{len(result.views)} views\n{paths}", markup=False, soft_wrap=True)


def files(entry: LakehouseEntry) -> dict[Path, str]:
    """Return path -> text of a lakehouse's files: in the checkout if it is ours, else in its folder."""
    from lakehouse.dremio.views import files as texts

    ours = entry.is_ours or entry.folder is None
    root = ROOT / FOLDER / entry.name if ours or entry.folder is None else entry.folder / generated.FOLDER / FOLDER
    return {root / name: text for name, text in texts(entry.declaration, _containers()).items()}


def _containers() -> Place:
    """Return where Dremio finds the servers of docker-compose.yml."""
    from lakehouse.dremio.views import Place
    from stack.compose import LAKE, values

    port: dict[str, int] = values("nessie")["port"]  # type: ignore[assignment]
    return Place(
        f"http://nessie:{port['nessie']}", f"http://s3:{port['s3']}", str(LAKE["bucket"]), str(LAKE["access_key"])
    )


def _apply(settings: Settings, entry: LakehouseEntry, result: Views, output: Output) -> None:
    from engines.dremio import Dremio
    from lakehouse.dremio.apply import Outcome, apply
    from lakehouse.dremio.views import Place, source

    access, secret = settings.lake_keys
    place = Place(settings.nessie, settings.lake_s3, settings.lake_bucket, access)
    outcomes: list[tuple[tuple[str, ...], Outcome]] = []

    def report(path: tuple[str, ...], outcome: Outcome) -> None:
        outcomes.append((path, outcome))
        if output is Output.TEXT and outcome != "unchanged":
            progress_console.print(f"{outcome:9} {'.'.join(path)}", markup=False)

    with closing(Dremio(settings)) as server:
        apply(server, entry.name, source(place), secret, result.views, report)
    if output is Output.JSON:
        show([{"path": ".".join(path), "outcome": outcome} for path, outcome in outcomes], output)
    else:
        counts = Counter(outcome for _, outcome in outcomes)
        progress_console.print(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Generated files")(dremio)
