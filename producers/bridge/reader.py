"""What a bridge reads messages from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Arrived(NamedTuple):
    """A message. at_ms: of its arrival. retained: it was kept for who subscribes later. receipt: its reader's own."""

    topic: str
    payload: bytes
    at_ms: int
    retained: bool
    receipt: tuple[int, ...]


class Reader(Protocol):
    """Gives messages, and gives them again until they are acknowledged."""

    where: str
    trouble: str
    """Why messages do not come at present, or nothing."""

    def connect(self) -> None:
        """Begin. Raises an error that says what is wrong."""
        ...

    def take(self, most: int, wait_s: float) -> list[Arrived]:
        """Return messages that have come; wait for the first one. Raises what waiting does not mend."""
        ...

    def acknowledge(self, messages: Sequence[Arrived]) -> None:
        """Take note that messages are safe."""
        ...

    def close(self) -> None:
        """Leave; what was not acknowledged comes again."""
        ...
