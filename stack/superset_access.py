"""Roles of Superset that may read data sets of ours, some of them only some rows: through its REST API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import requests

from meterlake.errors import PermanentError
from stack.services import superset

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from stack.instance import Instance

_DATASET: Final = re.compile(r".*\(id:(\d+)\)")
_PAGE: Final = 100


def grant(instance: Instance, schema: str, role: str, tables: Collection[str], clause: str) -> None:
    """Let a role read these data sets and nothing else; with a clause, only the rows that fulfil it.

    The role is made where it is missing. Raises TransientError where Superset does not answer, or PermanentError.
    """
    with superset.answering(instance), superset.login(instance) as session:
        api = _Api(session, superset.SUPERSET.url(instance))
        known = api.every("dataset/", f"(col:schema,opr:eq,value:{schema})")
        datasets = {one["table_name"]: int(one["id"]) for one in known if one["table_name"] in tables}
        if missing := sorted(set(tables) - datasets.keys()):
            raise PermanentError(
                f"Superset has no data set {missing[0]} in {schema}.", hint="Bring them: `meterlake superset … --push`."
            )
        ours = _named(api.every("security/roles/"), role)
        number = ours["id"] if ours else api.send("POST", "security/roles/", {"name": role})["id"]
        rights = [
            one["id"]
            for one in api.every("security/permissions-resources/")
            if one["permission"]["name"] == "datasource_access"
            and (match := _DATASET.fullmatch(one["view_menu"]["name"]))
            and int(match[1]) in datasets.values()
        ]
        api.send("POST", f"security/roles/{number}/permissions", {"permission_view_menu_ids": rights})
        _limit(api, f"{schema}: {role}", number, sorted(datasets.values()), clause)


def _limit(api: _Api, name: str, role: int, datasets: list[int], clause: str) -> None:
    """Bring the rule of row-level security of a role up to date."""
    rule = _named(api.every("rowlevelsecurity/"), name)
    if not clause:
        if rule:
            api.send("DELETE", f"rowlevelsecurity/{rule['id']}")
        return
    content = {"name": name, "filter_type": "Regular", "tables": datasets, "roles": [role], "clause": clause}
    if rule:
        api.send("PUT", f"rowlevelsecurity/{rule['id']}", content)
    else:
        api.send("POST", "rowlevelsecurity/", content)


def _named(items: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((one for one in items if one["name"] == name), None)


class _Api:
    """Superset's REST API, as its administrator."""

    def __init__(self, session: requests.Session, url: str) -> None:
        self._session, self._url = session, f"{url}/api/v1/"

    def send(self, method: str, path: str, body: dict[str, Any] | None = None, query: str = "") -> dict[str, Any]:
        """Return what it answers. Raises PermanentError where it refuses."""
        params = {"q": query} if query else None
        answer = self._session.request(method, self._url + path, params=params, json=body, timeout=120)
        if not answer.ok:
            raise PermanentError(f"Superset refuses {method} {path} ({answer.status_code}): {answer.text[:300]}")
        content: dict[str, Any] = answer.json()
        return content

    def every(self, path: str, condition: str = "") -> list[dict[str, Any]]:
        """Return all items of a list."""
        return [item for page in self._pages(path, condition) for item in page]

    def _pages(self, path: str, condition: str) -> Iterator[list[dict[str, Any]]]:
        filters, number, read = f",filters:!({condition})" if condition else "", 0, 0
        while True:
            answer = self.send("GET", path, query=f"(page:{number},page_size:{_PAGE}{filters})")
            yield answer["result"]
            number, read = number + 1, read + len(answer["result"])
            if not answer["result"] or read >= answer["count"]:
                return
