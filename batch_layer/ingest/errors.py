"""What a file can be that cannot be loaded. Nothing of it is loaded then."""

from __future__ import annotations

from meterlake.errors import PermanentError


class Unreadable(PermanentError):
    """The file is missing, not a file, not permitted, or of another kind."""


class BrokenArchive(PermanentError):
    """The compressed file is cut off or damaged."""

    def __init__(self, path: str, kind: str, cause: object) -> None:
        self.path = path
        super().__init__(
            f"{path}: the {kind} file is cut off or damaged: {str(cause).rstrip('.')}.",
            hint="Nothing was loaded. Get the file again and compare its size.",
        )


class NotThisFormat(PermanentError):
    """None, or only a minority, of very many lines can be decoded."""
