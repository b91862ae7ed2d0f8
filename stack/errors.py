"""What can go wrong with the native stack."""

from __future__ import annotations

from meterlake.errors import PermanentError, TransientError


class Unhealthy(TransientError):
    """A server does not (yet) do its work."""


class StartFailed(PermanentError):
    """A server ended, or was not healthy in time."""


class PortBusy(PermanentError):
    """Somebody else listens on a port that a service needs."""


class NotEnough(PermanentError):
    """Too little memory or disk."""


class BrokenData(PermanentError):
    """A data folder is not one that the server can start from."""


class Busy(PermanentError):
    """Another up or down of the same checkout is under way."""
