"""All dashboards as files: generated, checked in to be read and provisioned, and compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from meterlake.dashboard_specs import boards
from serving_layer.dashboards import alerts
from serving_layer.dashboards.health import health
from serving_layer.dashboards.history import history
from serving_layer.dashboards.live import live
from serving_layer.dashboards.merged import merged

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = "grafana/dashboards"
ALERTING: Final = "grafana/provisioning/alerting"


@dataclass(frozen=True)
class Audience:
    """A folder in Grafana, for those who look at its dashboards. uid: also the name of the folder of files."""

    uid: str
    title: str


CONSUMPTION: Final = Audience("meterlake-consumption", "Consumption")
OPERATION: Final = Audience("meterlake-operation", "Operation")


@dataclass(frozen=True)
class Board:
    """A dashboard, and for whom it is."""

    audience: Audience
    dashboard: Dashboard

    @property
    def uid(self) -> str:
        """Stable name in links and files."""
        return self.dashboard.uid or ""

    @property
    def path(self) -> str:
        """Path of its file, relative to the repository."""
        return f"{FOLDER}/{self.audience.uid}/{self.uid}.json"

    def text(self) -> str:
        """Return it as JSON, as Grafana takes it."""
        return json.dumps(self.json(), indent=2, ensure_ascii=False) + "\n"

    def json(self) -> dict[str, object]:
        """Return it as plain values; ``id`` is null, so that every Grafana gives its own."""
        plain: dict[str, object] = json.loads(JSONEncoder().encode(self.dashboard))
        return {"id": None, **plain}


def all_boards() -> list[Board]:
    """Return every dashboard: three of each data set, and one of the pipeline."""
    found = []
    for dataset, spec in boards():
        found += [Board(CONSUMPTION, make(dataset, spec).build()) for make in (live, history, merged)]
    return [*found, Board(OPERATION, health(boards()).build())]


def files(runbooks: str = "") -> dict[str, str]:
    """Return path (relative to the repository) -> text of every generated file. runbooks: address of their pages."""
    texts = {board.path: board.text() for board in all_boards()}
    return texts | {f"{ALERTING}/rules.yaml": alerts.rules_text(runbooks)}


def drift(root: Path, runbooks: str = "") -> list[str]:
    """Return the paths of files that are missing, differ from the code, or that no code makes."""
    wanted = files(runbooks)
    found = {str(path.relative_to(root)) for path in (root / FOLDER).rglob("*.json")}
    differing = [path for path, text in wanted.items() if _read(root / path) != text]
    return differing + sorted(found - wanted.keys())


def write(root: Path, runbooks: str = "") -> list[str]:
    """Bring the files up to date; return the paths of those that changed."""
    changed, wanted = drift(root, runbooks), files(runbooks)
    for path in changed:
        target = root / path
        if path in wanted:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(wanted[path], encoding="utf-8")
        else:
            target.unlink()
    return changed


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
