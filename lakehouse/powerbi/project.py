"""The files of a Power BI project: a semantic model and its report, of a lakehouse's declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lakehouse.powerbi import report, tmdl

if TYPE_CHECKING:
    from lakehouse.powerbi.model import Model

_SCHEMAS: Final = "https://developer.microsoft.com/json-schemas/fabric"


def files(model: Model) -> dict[str, str]:
    """Return path -> text of the project of a model, from its folder on."""
    semantic, page = f"{model.name}.SemanticModel", f"{model.name}.Report"
    result: dict[str, dict[str, Any]] = {
        f"{model.name}.pbip": {
            "$schema": f"{_SCHEMAS}/pbip/pbipProperties/1.0.0/schema.json",
            "version": "1.0",
            "artifacts": [{"report": {"path": page}}],
            "settings": {"enableAutoRecovery": True},
        },
        f"{semantic}/definition.pbism": {
            "$schema": f"{_SCHEMAS}/item/semanticModel/definitionProperties/1.0.0/schema.json",
            "version": "4.2",
            "settings": {},
        },
        f"{page}/definition.pbir": {
            "$schema": f"{_SCHEMAS}/item/report/definitionProperties/2.0.0/schema.json",
            "version": "4.0",
            "datasetReference": {"byPath": {"path": f"../{semantic}"}},
        },
    }
    return {
        **{path: report.text(document) for path, document in result.items()},
        **{f"{semantic}/definition/{path}": text for path, text in tmdl.definition(model).items()},
        **{f"{page}/definition/{path}": text for path, text in report.definition(model).items()},
    }
