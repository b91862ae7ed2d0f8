"""Superset, in a Python environment of its own, with a metadata database of its own, and Trino to read from."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from meterlake.errors import PermanentError, TransientError
from stack.extra import Extra
from stack.instance import Instance, render
from stack.runtime import environments
from stack.wrapped import THEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import requests

    from meterlake.settings import Settings

CATALOG: Final = "lake"
"""The catalog that is shown first; SQL reaches the others by their names."""
_FILES: Final = ("superset_config.py", "prepare.py")


def password(instance: Instance) -> str:
    """Return the administrator's password: as set, or else from the file that the first start makes."""
    return instance.settings.superset_password.get_secret_value() or _kept(instance, "superset-admin-password")


def _kept(instance: Instance, name: str) -> str:
    """Return what a file for the owner alone holds; made once."""
    file = instance.home / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32))
    return file.read_text()


def trino(settings: Settings, *, secret: bool = True) -> dict[str, str]:
    """Return how Superset reaches Trino: SQLAlchemy's URL, with the password or not, and more parameters as JSON."""
    from sqlalchemy import URL

    address = urlsplit(settings.trino)
    url = URL.create(
        "trino",
        settings.user("trino"),
        (settings.trino_password.get_secret_value() or None) if secret else None,
        address.hostname,
        address.port or {"http": 80, "https": 443}[address.scheme],
        CATALOG,
    )
    how: dict[str, str] = {"http_scheme": address.scheme, "source": "superset"}
    if settings.trino_ca:
        how["verify"] = str(settings.trino_ca.absolute())
    return {
        "url": url.render_as_string(hide_password=False),
        "extra": json.dumps({"engine_params": {"connect_args": how}, "allows_virtual_table_explore": True}),
    }


def _write(instance: Instance) -> None:
    conf, data = instance.conf("superset"), instance.data("superset")
    for folder in (conf, data):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    values: dict[str, object] = {
        "data": str(data),
        "secret_key": _kept(instance, "superset-secret-key"),
        "user": instance.settings.superset_user,
        "password": password(instance),
        "trino": trino(instance.settings),
    }
    for name in _FILES:
        (conf / name).touch(mode=0o600)
        (conf / name).write_text(render(f"superset/{name}.j2", values))


def _environment(instance: Instance) -> Mapping[str, str]:
    conf, data = instance.conf("superset"), instance.data("superset")
    programs = environments.folder("superset", instance.settings) / "bin"
    return {
        "SUPERSET_CONFIG_PATH": str(conf / "superset_config.py"),
        "SUPERSET_HOME": str(data),
        "FLASK_APP": "superset.app:create_app()",
        "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)]),
    }


def _arguments(instance: Instance, program: Path) -> list[str]:
    """Make its database ready; then roles, the administrator and Trino; then the server."""
    python, gunicorn = str(program.with_name("python")), str(program.with_name("gunicorn"))
    prepare = [python, str(instance.conf("superset") / "prepare.py")]
    address = instance.settings.address("superset")
    server = [
        gunicorn,
        "--workers",
        "1",
        "--worker-class",
        "gthread",
        "--threads",
        "8",
        "--timeout",
        "300",
        "--keep-alive",  # of 2 s, its own: who asks just then meets a connection that is closed
        "75",
        "--no-control-socket",
    ]
    return ["db", "upgrade", THEN, *prepare, THEN, *server, "--bind", address, "superset.app:create_app()"]


def login(instance: Instance) -> requests.Session:
    """Return a session of the administrator, for its REST API. Raises requests.RequestException."""
    import requests

    session, url = requests.Session(), SUPERSET.url(instance)
    words: dict[str, Any] = {"username": instance.settings.superset_user, "password": password(instance)}
    answer = session.post(
        f"{url}/api/v1/security/login", json={**words, "provider": "db", "refresh": False}, timeout=60
    )
    answer.raise_for_status()
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    answer = session.get(f"{url}/api/v1/security/csrf_token/", timeout=60)
    answer.raise_for_status()
    session.headers.update({"X-CSRFToken": answer.json()["result"], "Referer": url})
    return session


@contextmanager
def answering(instance: Instance) -> Iterator[None]:
    """Say what to do where Superset does not answer. Raises TransientError."""
    import requests

    try:
        yield
    except requests.RequestException as error:
        raise TransientError(
            f"Superset at {SUPERSET.url(instance)} does not answer: {type(error).__name__}.",
            hint="Start it: `meterlake up superset`.",
        ) from error


def bring(instance: Instance, name: str, part: str, bundle: bytes) -> None:
    """Import a bundle of data sets, charts or a dashboard; what they were before is replaced.

    Raises PermanentError with what Superset says.
    """
    url = SUPERSET.url(instance)
    with answering(instance), login(instance) as session:
        parts = {"formData": (f"{name}.zip", bundle, "application/zip")}
        answer = session.post(f"{url}/api/v1/{part}/import/", files=parts, data={"overwrite": "true"}, timeout=600)
    if answer.status_code != 200:
        raise PermanentError(
            f"Superset refuses the {part}s of {name} ({answer.status_code}): {answer.text[:500]}",
            hint=f"Its log: {instance.log('superset')}",
        )


def _works(instance: Instance, _: requests.Response) -> bool:
    """Return whether it lets its administrator in, and answers from its database."""
    with login(instance) as session:
        answer = session.get(f"{SUPERSET.url(instance)}/api/v1/dashboard/", timeout=60)
    return answer.status_code == 200 and "count" in answer.json()


SUPERSET: Final = Extra(
    name="superset",
    title="Superset",
    programs=("superset",),
    home=lambda instance: environments.folder("superset", instance.settings),
    to_get="`meterlake up superset` puts it into the cache (700 MB).",
    port="superset",
    needs=("trino",),
    prepare=_write,
    arguments=_arguments,
    env=_environment,
    probe="/health",
    works=_works,
    fetch=lambda instance, downloads: environments.ensure("superset", instance.settings, downloads),
)
