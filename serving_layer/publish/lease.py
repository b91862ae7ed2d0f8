"""What a publish needs of a lease: the batch layer has it."""

from __future__ import annotations

from typing import Protocol


class Lease(Protocol):
    """The right to change what readers of a data set see. token: names it."""

    @property
    def token(self) -> str:
        """Name of this lease."""

    @property
    def took_over(self) -> bool:
        """Whether an owner who lost the lease may still have a step before it."""

    def settled(self) -> None:
        """Note that no step of an earlier owner can change anything any more."""

    def check(self) -> None:
        """Renew the lease. Raises LeaseLost if somebody else has it."""
