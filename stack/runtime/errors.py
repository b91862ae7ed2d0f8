"""What can go wrong with Java and jars."""

from __future__ import annotations

from meterlake.errors import PermanentError


class MissingTool(PermanentError):
    """Something must be installed on the machine first."""


class ArtifactError(PermanentError):
    """Jars could not be resolved, or are not the ones that were locked."""
