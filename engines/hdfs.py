"""HDFS through WebHDFS."""

from __future__ import annotations

import getpass
from typing import Any

import requests
from hdfs import InsecureClient
from hdfs.util import HdfsError

from engines.errors import EngineUnavailable
from meterlake.settings import Settings

ERRORS = (HdfsError, requests.RequestException)
TIMEOUT_S = 30


def client(settings: Settings) -> Any:
    """Return a WebHDFS client acting as the present user."""
    return InsecureClient(settings.webhdfs, user=getpass.getuser(), timeout=TIMEOUT_S)


def write_bytes(settings: Settings, path: str, content: bytes) -> None:
    """Write a small file, replacing what is there. Raises EngineUnavailable."""
    try:
        client(settings).write(path, data=content, overwrite=True)
    except ERRORS as error:
        raise EngineUnavailable("HDFS", settings.webhdfs, error) from error


def read_bytes(settings: Settings, path: str) -> bytes:
    """Return the content of a small file. Raises EngineUnavailable."""
    try:
        with client(settings).read(path) as reader:
            content: bytes = reader.read()
    except ERRORS as error:
        raise EngineUnavailable("HDFS", settings.webhdfs, error) from error
    return content
