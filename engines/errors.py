"""Failures of the engines, distinguished by whether a retry is worth it."""

from __future__ import annotations

from meterlake.errors import PermanentError, TransientError


class EngineUnavailable(TransientError):
    """A server does not answer."""

    def __init__(self, engine: str, where: str, cause: object) -> None:
        self.engine, self.where = engine, where
        super().__init__(
            f"{engine} at {where} does not answer: {_short(cause)}.",
            hint="Start it (`meterlake up`), see `meterlake status`, or set its address (docs/settings.reference.env).",
        )


class EngineFails(EngineUnavailable):
    """A server answers that something is wrong with itself, and not what."""

    def __init__(self, engine: str, where: str, cause: object) -> None:
        self.engine, self.where = engine, where
        TransientError.__init__(
            self,
            f"{engine} at {where} fails: {_short(cause)}.",
            hint="Its log says why (`meterlake logs`, if it was started by `meterlake up`): often its disk is full.",
        )


class QueryFailed(PermanentError):
    """A server answered that the statement is wrong."""

    def __init__(self, engine: str, statement: str, cause: object) -> None:
        self.engine, self.statement = engine, statement
        shown = f" Statement: {statement.strip()[:500]}" if statement else ""
        super().__init__(f"{engine} refused the statement: {_short(cause)}.{shown}")


class StorageFull(TransientError):
    """A disk has no room left for what is being written. What runs on and on waits until somebody has made room."""

    def __init__(self, engine: str, where: str, cause: object, doing: str) -> None:
        self.engine, self.where = engine, where
        super().__init__(
            f"{engine} at {where} has no room left for {doing}: {_short(cause)}.",
            hint="Nothing of it is visible. Free disk space (or add a DataNode), then run the same command again.",
        )


class MissingPackage(PermanentError):
    """A connection needs a package that is not installed."""

    def __init__(self, package: str, wanted_by: str, extra: str) -> None:
        self.package = package
        super().__init__(
            f"{wanted_by} needs the package {package}, which is not installed.",
            hint=f"Install it beside meterlake: pip install '{extra}'.",
        )


def _short(cause: object) -> str:
    lines = str(cause).strip().splitlines()
    return (lines[0] if lines else type(cause).__name__)[:400].rstrip(".")
