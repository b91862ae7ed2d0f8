"""Avro messages whose schema a registry has: Confluent's wire format, and its registry's HTTP API.

A message is a zero byte, the number of its schema in four bytes, and the record. A schema never changes under its
number, so it is asked for once.
"""

from __future__ import annotations

import io
import json
import struct
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import fastavro
import requests
from fastavro.types import Schema

from engines.errors import EngineUnavailable
from meterlake.errors import PermanentError, UsageError
from meterlake.fileformats.values import RefusedValue

if TYPE_CHECKING:
    from meterlake.settings import Settings

NOT_AVRO: Final = "not_avro"
"""A message without the head of the wire format, or whose bytes are no record of its schema."""

UNKNOWN_SCHEMA: Final = "unknown_schema"
"""The registry has no Avro schema of the message's number."""

_HEAD: Final = struct.Struct(">bI")
_TIMEOUT_S: Final = (5, 30)
_NOT_FOUND: Final = 404
_BUSY: Final = 429
_SERVER_ERROR: Final = 500
_DAMAGED: Final = (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error)
"""What the decoder raises of bytes that are none of its schema."""


class RegistryRefused(PermanentError):
    """The schema registry does not answer us, or not as one."""


class SchemaRegistry:
    """Schemas by their numbers, as the settings say where they are."""

    def __init__(self, settings: Settings) -> None:
        """Raises UsageError where no registry is set."""
        self.where = settings.schema_registry_url.rstrip("/")
        if not self.where:
            raise UsageError(
                "Avro messages need a schema registry, and none is set.",
                hint="Set METERLAKE_SCHEMA_REGISTRY_URL, such as http://registry:8081.",
            )
        self._session = requests.Session()
        self._session.headers["Accept"] = "application/vnd.schemaregistry.v1+json"
        if settings.schema_registry_user:
            self._session.auth = (
                settings.schema_registry_user,
                settings.schema_registry_password.get_secret_value(),
            )
        # Given with each request: of a session, an environment's REQUESTS_CA_BUNDLE would win.
        self._verify = str(settings.schema_registry_ca) if settings.schema_registry_ca else True
        self._schemas: dict[int, Schema] = {}

    def content(self, payload: bytes) -> Any:
        """Return what a message says, as JSON would. Raises RefusedValue; EngineUnavailable or RegistryRefused."""
        if len(payload) < _HEAD.size or payload[0]:
            raise RefusedValue(NOT_AVRO)
        schema = self._schema(_HEAD.unpack_from(payload)[1])
        body = io.BytesIO(payload[_HEAD.size :])
        try:
            result = fastavro.schemaless_reader(body, schema, None)
        except _DAMAGED:
            raise RefusedValue(NOT_AVRO) from None
        if body.read(1):
            raise RefusedValue(NOT_AVRO)
        return result

    def _schema(self, number: int) -> Schema:
        if number not in self._schemas:
            result = self._answer(f"schemas/ids/{number}")
            if result is None or result.get("schemaType", "AVRO") != "AVRO":
                raise RefusedValue(UNKNOWN_SCHEMA)
            self._schemas[number] = self._parsed(result, {})
        return self._schemas[number]

    def _parsed(self, answer: dict[str, Any], named: dict[str, Any]) -> Schema:
        """Return a schema, with those that it refers to."""
        try:
            for other in answer.get("references") or ():
                path = f"subjects/{quote(other['subject'], safe='')}/versions/{other['version']}"
                referred = self._answer(path)
                if referred is None:
                    raise RefusedValue(UNKNOWN_SCHEMA)
                self._parsed(referred, named)
            return fastavro.parse_schema(json.loads(answer["schema"]), named_schemas=named)
        except (KeyError, TypeError, ValueError, fastavro.schema.SchemaParseException) as error:
            raise RegistryRefused(
                f"The schema registry at {self.where} gives what is no Avro schema: {error!r}.",
                hint="Check METERLAKE_SCHEMA_REGISTRY_URL.",
            ) from error

    def _answer(self, path: str) -> dict[str, Any] | None:
        """Return what the registry answers; None where it has no such thing."""
        try:
            response = self._session.get(f"{self.where}/{path}", timeout=_TIMEOUT_S, verify=self._verify)
        except requests.exceptions.SSLError as error:
            raise RegistryRefused(
                f"The schema registry at {self.where} has a certificate that is not trusted: {error}.",
                hint="Set METERLAKE_SCHEMA_REGISTRY_CA to the certificates of its authority (PEM).",
            ) from error
        except requests.RequestException as error:
            raise EngineUnavailable("The schema registry", self.where, error) from error
        if response.status_code == _NOT_FOUND:
            return None
        if response.status_code >= _SERVER_ERROR or response.status_code == _BUSY:
            raise EngineUnavailable("The schema registry", self.where, f"{response.status_code} {response.reason}")
        try:
            result = response.json() if response.ok else None
        except requests.exceptions.JSONDecodeError:
            result = None
        if not isinstance(result, dict):
            raise RegistryRefused(
                f"The schema registry at {self.where} answers {response.status_code} {response.reason} to {path}.",
                hint="Check METERLAKE_SCHEMA_REGISTRY_URL, …_USER and …_PASSWORD.",
            )
        return result
