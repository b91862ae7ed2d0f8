"""Bringing a lakehouse's source, space and views into Dremio: what is there as it should be is left as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from lakehouse.dremio.views import FIGURES, SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engines.dremio import Dremio
    from lakehouse.dremio.views import View

Outcome = Literal["created", "changed", "unchanged"]


def apply(
    dremio: Dremio, name: str, source: dict[str, Any], secret: str, views: tuple[View, ...],
    report: Callable[[tuple[str, ...], Outcome], None],
) -> None:  # fmt: skip
    """Bring all of it. secret: of the object store. report: is told of each part by its path.

    Raises what Dremio's client raises: what came before is there then, and the same again goes on from it.
    """
    report((SOURCE,), _source(dremio, source, secret))
    report((name,), _container(dremio, (name,), {"entityType": "space", "name": name}))
    report((name, FIGURES), _container(dremio, (name, FIGURES), {"entityType": "folder", "path": [name, FIGURES]}))
    for path, outcome in _views(dremio, views):
        report(path, outcome)


def _source(dremio: Dremio, wanted: dict[str, Any], secret: str) -> Outcome:
    """Bring the source up to date. Dremio tells nobody the secret: a changed one needs another change beside it."""
    whole = {**wanted, "config": {**wanted["config"], "awsAccessSecret": secret}}
    there = dremio.find((SOURCE,))
    if there is None:
        dremio.create(whole)
        return "created"
    if wanted["config"].items() <= there.get("config", {}).items():
        return "unchanged"
    dremio.update(there, {**whole, "config": {**there.get("config", {}), **whole["config"]}})
    return "changed"


def _container(dremio: Dremio, path: tuple[str, ...], entity: dict[str, Any]) -> Outcome:
    if dremio.find(path) is not None:
        return "unchanged"
    dremio.create(entity)
    return "created"


def _views(dremio: Dremio, views: tuple[View, ...]) -> Iterator[tuple[tuple[str, ...], Outcome]]:
    for view in views:
        there = dremio.find(view.path)
        if there is not None and there.get("sql") == view.sql:
            yield view.path, "unchanged"
            continue
        dremio.run(view.statement)
        yield view.path, "created" if there is None else "changed"
