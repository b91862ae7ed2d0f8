"""Who may see what in Trino: personal columns of lakehouses are masked for all but those who may know them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from meterlake import registry
from meterlake.lakehouse.personal import masked

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = ["SELECT", "INSERT", "DELETE", "UPDATE", "OWNERSHIP", "GRANT_SELECT"]


def table_rules(users: Sequence[str], key: str) -> str:
    """Return Trino's rules of tables as JSON; of several that fit, the first counts.

    users: who may see what is personal; where none is named nothing is masked. Tables about tables
    (``dim_customer$files``) know the least and greatest value of each column: nobody else sees them.
    """
    result = list(registry.listing().lakehouses.values()) if users else []
    names = "|".join(re.escape(user) for user in users)
    rules: list[dict[str, Any]] = [{"user": names, "privileges": ALL}] if users else []
    for entry in result:
        tables = list(masked(entry.declaration, key))
        rules += [
            {"catalog": "lake", "schema": schema, "table": ".*\\$.*", "privileges": []}
            for schema in sorted({table.schema for table in tables})
        ]
        rules += [
            {
                "catalog": "lake",
                "schema": table.schema,
                "table": table.table,
                "privileges": ["SELECT"],
                "columns": [{"name": name, "mask": mask} for name, mask in table.columns.items()],
            }
            for table in tables
        ]
    rules.append({"privileges": ALL})
    return ",\n    ".join(json.dumps(rule) for rule in rules)
