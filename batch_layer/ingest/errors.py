"""What a file can be that cannot be loaded. Nothing of it is loaded then."""

from __future__ import annotations

from meterlake.errors import NOTHING_LOADED, PermanentError


class Unreadable(PermanentError):
    """The file is missing, not a file, not permitted, or of another kind."""

    def __init__(self, what: str, *, hint: str = "", path: str = "") -> None:
        self.path = path
        super().__init__(what, hint=hint)


class BrokenArchive(PermanentError):
    """The compressed file is cut off or damaged."""

    def __init__(self, path: str, cause: object) -> None:
        self.path = path
        super().__init__(
            f"{path}: the packed file is cut off or damaged: {str(cause).rstrip('.')}.",
            hint=f"{NOTHING_LOADED} Get the file again and compare its size.",
        )


class ClockNotUsed(PermanentError):
    """A clock was given for a file whose times say their own offset."""

    def __init__(self, path: str, clock: str) -> None:
        self.path = path
        super().__init__(
            f"{path} says the offset of each time: the clock {clock} would not be used.",
            hint=f"{NOTHING_LOADED} Leave --utc-offset and --time-zone out, or load such files by themselves.",
        )


class NotThisFormat(PermanentError):
    """None, or only a minority, of very many lines can be decoded."""


class WallClock(PermanentError):
    """The file's times come twice when the clock of the data set's zone goes back: they follow summer time."""

    def __init__(self, path: str, times: int, first: str, zone: str, offset: str) -> None:
        self.path, self.times = path, times
        super().__init__(
            f"{path}: {f'{times} times come' if times > 1 else '1 time comes'} twice, the first is {first}, just when"
            f" the clock of {zone} goes back. So its"
            f" times are those of the clock on the wall, not of one at UTC{offset} all year.",
            hint=f"{NOTHING_LOADED} Give --time-zone {zone}: the order of the lines then says which is which.",
        )
