"""The Hive metastore over Thrift, with the client classes that pyiceberg carries."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlparse

from engines.errors import EngineUnavailable
from meterlake.settings import Settings

TIMEOUT_MS = 30_000


@contextmanager
def client(settings: Settings) -> Iterator[Any]:
    """Open a metastore client. Raises EngineUnavailable when it does not answer."""
    from hive_metastore import ThriftHiveMetastore, ttypes  # noqa: PLC0415 - the generated code takes half a second
    from thrift.protocol import TBinaryProtocol  # noqa: PLC0415
    from thrift.transport import TSocket, TTransport  # noqa: PLC0415

    address = urlparse(settings.metastore)
    raw = TSocket.TSocket(address.hostname, address.port)
    raw.setTimeout(TIMEOUT_MS)
    transport = TTransport.TBufferedTransport(raw)
    try:
        transport.open()
        yield ThriftHiveMetastore.Client(TBinaryProtocol.TBinaryProtocol(transport))
    except (TTransport.TTransportException, ttypes.MetaException, socket.error, EOFError) as error:  # noqa: UP024
        raise EngineUnavailable("Hive metastore", settings.metastore, error) from error
    finally:
        transport.close()


def ensure_database(metastore: Any, name: str, location: str) -> None:  # noqa: ANN401
    """Create database ``name`` at ``location`` unless it is there."""
    from hive_metastore import ttypes  # noqa: PLC0415

    try:
        metastore.create_database(ttypes.Database(name=name, locationUri=location))
    except ttypes.AlreadyExistsException:
        return


def set_database_property(metastore: Any, name: str, key: str, value: str) -> None:  # noqa: ANN401
    """Set one property of database ``name``, keeping the others."""
    database = metastore.get_database(name)
    database.parameters = {**(database.parameters or {}), key: value}
    metastore.alter_database(name, database)


def database_properties(metastore: Any, name: str) -> dict[str, str]:  # noqa: ANN401
    """Return the properties of database ``name``."""
    return dict(metastore.get_database(name).parameters or {})
