"""Who and what takes part: users, devices by their model, cells, agents."""

from __future__ import annotations

from typing import Final

from meterlake.columns import DOUBLE, STRING, TIMESTAMP
from meterlake.lakehouse.fields import Field
from meterlake.lakehouse.records import Reference

_SINCE: Final = Field("valid_from", TIMESTAMP, "Since when it is so")

USERS: Final = Reference(
    name="users",
    title="Users",
    topic="telecom.users",
    key="phone_number",
    time="valid_from",
    history="versions",
    fields=(
        Field("phone_number", STRING, "Number", pattern=r"\+[1-9][0-9]{6,14}", pii=True),
        Field("user_id", STRING, "Identity of the contract"),
        Field("name", STRING, "Name", pii=True),
        Field("email", STRING, "Address of mail", nullable=True, pii=True),
        Field("address", STRING, "City", pii=True),
        _SINCE,
    ),
)
DEVICES: Final = Reference(
    name="devices",
    title="Models of devices",
    topic="telecom.devices",
    key="tac",
    time="valid_from",
    fields=(
        Field("tac", STRING, "Type allocation code", pattern="[0-9]{8}"),
        Field("brand", STRING, "Brand"),
        Field("model", STRING, "Model"),
        Field("os_version", STRING, "Operating system", nullable=True),
        _SINCE,
    ),
)
CELL_SITES: Final = Reference(
    name="cell_sites",
    title="Cells",
    topic="telecom.cell_sites",
    key="cell_id",
    time="valid_from",
    fields=(
        Field("cell_id", STRING, "Identity of the cell"),
        Field("city", STRING, "City"),
        Field("region", STRING, "Region"),
        Field("latitude", DOUBLE, "Latitude", "°", between=(-90, 90)),
        Field("longitude", DOUBLE, "Longitude", "°", between=(-180, 180)),
        _SINCE,
    ),
)
AGENTS: Final = Reference(
    name="agents",
    title="Agents of support",
    topic="telecom.agents",
    key="agent_id",
    time="valid_from",
    history="versions",
    fields=(
        Field("agent_id", STRING, "Identity"),
        Field("name", STRING, "Name", pii=True),
        Field("department", STRING, "Department"),
        Field("email", STRING, "Address of mail", nullable=True, pii=True),
        _SINCE,
    ),
)
