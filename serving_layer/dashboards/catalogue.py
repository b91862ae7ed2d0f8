"""All dashboards as files: generated, checked in to be read and provisioned, and compared."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from meterlake import generated, registry
from meterlake.alert_specs import alerts_of
from meterlake.dashboard_specs import board_of, boards
from meterlake.settings import ROOT
from serving_layer.dashboards import alerts
from serving_layer.dashboards.events import events
from serving_layer.dashboards.fleet import fleets, tables
from serving_layer.dashboards.health import health
from serving_layer.dashboards.history import history
from serving_layer.dashboards.live import live
from serving_layer.dashboards.merged import merged

if TYPE_CHECKING:
    from meterlake.dashboard_specs import Board as Spec
    from meterlake.dataset import Entry
    from meterlake.declaration import MeterSeries
    from meterlake.lakehouse.declaration import Lakehouse

FOLDER: Final = "grafana/dashboards"
ALERTING: Final = "grafana/provisioning/alerting"
GENERATED: Final = generated.FOLDER
"""Where a data set that is not ours has its files, in its folder."""


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
        """Path of its file, relative to the root of its part."""
        return f"{FOLDER}/{self.audience.uid}/{self.uid}.json"

    def text(self) -> str:
        """Return it as JSON, as Grafana takes it."""
        return json.dumps(self.json(), indent=2, ensure_ascii=False) + "\n"

    def json(self) -> dict[str, object]:
        """Return it as plain values; ``id`` is null, so that every Grafana gives its own."""
        plain: dict[str, object] = json.loads(JSONEncoder().encode(self.dashboard))
        return {"id": None, **plain}


@dataclass(frozen=True)
class Part:
    """Dashboards and alert rules that stand together in files.

    root: below which. shown: the data sets. owner: name of the one data set that is not ours; empty for ours, with
    which the rules of the pipeline stand. lakehouses: those whose events are shown live.
    """

    root: Path
    shown: tuple[tuple[MeterSeries, Spec], ...]
    owner: str = ""
    lakehouses: tuple[Lakehouse, ...] = ()

    def boards(self) -> list[Board]:
        """Return its dashboards: one of each lakehouse; three of each data set of meters, and one of its tables where
        it has reports of them; one of the pipeline.
        """
        result = [Board(CONSUMPTION, events(item, item.live).build()) for item in self.lakehouses if item.live]
        for dataset, spec in self.shown:
            result += [Board(CONSUMPTION, make(dataset, spec).build()) for make in (live, history, merged)]
            result += [Board(CONSUMPTION, tables(dataset).build())] if fleets(dataset) else []
        return [*result, Board(OPERATION, health(self.shown, self.owner).build())]

    def rules(self) -> list[alerts.Rule]:
        """Return its alert rules: those of each data set, and of the pipeline with ours."""
        result = [rule for dataset, spec in self.shown for rule in alerts.rules_of(dataset, spec, alerts_of(dataset))]
        return result if self.owner else result + alerts.pipeline()

    def files(self, runbooks: str = "") -> dict[str, str]:
        """Return path, relative to its root -> text of every file. runbooks: address of their pages."""
        texts = {board.path: board.text() for board in self.boards()}
        group = f"meterlake-{self.owner}" if self.owner else "meterlake"
        return texts | {f"{ALERTING}/rules.yaml": alerts.rules_text(self.rules(), runbooks, group)}


def ours() -> Part:
    """Return the part of the data sets that come with this platform."""
    mine = [entry.declaration for entry in registry.entries() if entry.is_ours]
    return Part(ROOT, tuple((dataset, board_of(dataset)) for dataset in mine), lakehouses=_live_lakehouses())


def _live_lakehouses() -> tuple[Lakehouse, ...]:
    """Return our lakehouses whose events are shown live."""
    result = sorted(registry.listing().lakehouses.values(), key=lambda entry: entry.name)
    return tuple(entry.declaration for entry in result if entry.is_ours and entry.declaration.live)


def parts() -> list[Part]:
    """Return all parts: ours, in the checkout, and of every other data set one, in the folder that it is made of."""
    others = [entry for entry in registry.entries() if not entry.is_ours and entry.folder]
    return [ours(), *(_part_of(entry) for entry in others)]


def _part_of(entry: Entry) -> Part:
    dataset = entry.declaration
    return Part((entry.folder or ROOT) / GENERATED, ((dataset, board_of(dataset)),), entry.name)


def whole() -> Part:
    """Return all data sets of meters as one part: what one Grafana shows, and what a check asks."""
    return Part(ROOT, tuple(boards()))


def pushed() -> list[Board]:
    """Return what one Grafana shows: the dashboards of all data sets of meters, and of our lakehouses."""
    return replace(whole(), lakehouses=_live_lakehouses()).boards()


def part(name: str) -> Part:
    """Return the part that a data set belongs to. Raises what ``registry.entry`` raises."""
    entry = registry.entry(name)
    return ours() if entry.is_ours or entry.folder is None else _part_of(entry)


def all_boards() -> list[Board]:
    """Return every dashboard: three of each data set, and one of the pipeline."""
    return whole().boards()


def drift(one: Part, runbooks: str = "") -> list[Path]:
    """Return the paths of files that are missing, differ from the code, or that no code makes."""
    wanted = {one.root / path: text for path, text in one.files(runbooks).items()}
    result = set((one.root / FOLDER).rglob("*.json"))
    return [path for path, text in wanted.items() if _read(path) != text] + sorted(result - wanted.keys())


def write(one: Part, runbooks: str = "") -> list[Path]:
    """Bring the files up to date; return the paths of those that changed."""
    changed, wanted = drift(one, runbooks), one.files(runbooks)
    for path in changed:
        text = wanted.get(str(path.relative_to(one.root)))
        if text is None:
            path.unlink()
        else:
            generated.put(path, text)
    return changed


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
