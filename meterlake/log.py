"""Structured log lines: for people on the terminal, as JSON in a file that rotates.

Code says what happened and with which figures: ``get_logger().info("archived", batch_id=7, readings=1200)``. What holds
for a whole command (its data set, its run) is bound once with ``structlog.contextvars.bind_contextvars``. Debug lines,
such as one a micro-batch, go to the file only. Secrets are masked by type and by name. structlog is imported with the
first line: it takes a while, and many commands log nothing.
"""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

if TYPE_CHECKING:
    from pathlib import Path

    import structlog
    from structlog.typing import EventDict, Processor, WrappedLogger

LOGGER: Final = "meterlake"
MASK: Final = "***"
FILE_BYTES: Final = 10_000_000
FILES: Final = 5
_SECRET_NAMES: Final = ("password", "secret", "token", "credential")


def get_logger() -> structlog.stdlib.BoundLogger:
    """Return the logger of meterlake; bind what holds for all lines of a task with ``bind``."""
    import structlog

    if not structlog.is_configured():
        configure(None)
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(LOGGER)
    return logger


def mask_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask the values of secrets, known by their type or by their name, at any depth."""
    return {name: _masked(name, value) for name, value in event.items()}


def configure(file: Path | None, level: int = logging.INFO) -> None:
    """Send log lines to standard error from ``level`` on, and all of them to a JSON file.

    file: made with its first line; None for the terminal only. Doing it again replaces what was configured.
    """
    import structlog

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    logger = logging.getLogger(LOGGER)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.DEBUG if file else level)
    logger.propagate = False
    logger.addHandler(_terminal(level))
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        logger.addHandler(_json_file(file))


def _terminal(level: int) -> logging.Handler:
    import structlog

    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level)
    renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0, pad_level=False)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[_without_meta, renderer]))
    return handler


def _json_file(file: Path) -> logging.Handler:
    import structlog

    handler = RotatingFileHandler(file, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8", delay=True)
    renderer = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[_without_meta, renderer]))
    return handler


def _without_meta(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    import structlog

    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(logger, name, event)


def _masked(name: str, value: Any) -> Any:  # noqa: ANN401 - whatever is logged
    if isinstance(value, SecretStr) or (value and any(word in name.lower() for word in _SECRET_NAMES)):
        return MASK
    if isinstance(value, dict):
        return {key: _masked(str(key), inner) for key, inner in value.items()}
    return value
