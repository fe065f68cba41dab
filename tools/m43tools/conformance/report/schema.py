"""The JSON Schema of a report, made of the records of `m43tools.conformance.model` and of what their docstrings say.

It does not forbid further keys: a later version of this project may add some without a new version of the form.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from m43tools.conformance.model import FORMAT, VERSION, Report
from m43tools.conformance.report.reading import hints_of
from m43tools.conformance.verdicts import Verdict

__all__ = ["SCHEMA_FILE", "schema", "schema_text"]

SCHEMA_FILE = f"conformance-report-{VERSION}.json"
"""Name of the published file, in ``specs/schema``."""

_SCALARS: dict[object, dict[str, object]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    object: {},
}

_NO_NEGATIVES = re.compile(r"(^|_)(t|end|duration)_ns$|^(count|cut|occasions)$")


def schema() -> dict[str, Any]:
    """Return the schema of what `m43tools.conformance.model.to_json` gives, draft 2020-12."""
    definitions: dict[str, Any] = {}
    body = _record(Report, definitions)
    head = {
        "format": {"const": FORMAT, "description": "what this file is"},
        "version": {"const": VERSION, "description": "version of its form"},
    }
    totals = {
        "type": "object",
        "description": "how many cases came to each verdict; every verdict has an entry",
        "properties": {str(verdict): {"type": "integer", "minimum": 0} for verdict in Verdict},
        "required": [str(verdict) for verdict in Verdict],
        "additionalProperties": False,
    }
    properties = {**head, "totals": totals, **body["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Report of m43 conform",
        "description": body["description"],
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """Return the text of the published file."""
    return json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"


def _of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if is_dataclass(kind):
        return _reference(kind, definitions)
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _of(get_args(kind)[0], definitions)}
    if isinstance(kind, UnionType):
        [inner] = [one for one in get_args(kind) if one is not NoneType]
        return {"anyOf": [_of(inner, definitions), {"type": "null"}]}
    if get_origin(kind) is Mapping:
        values = _of(get_args(kind)[1], definitions)
        return {"type": "object", "additionalProperties": values} if values else {"type": "object"}
    if isinstance(kind, type) and issubclass(kind, Enum):
        definitions[kind.__name__] = {"description": _summary(kind), "enum": [str(one.value) for one in kind]}
        return {"$ref": f"#/$defs/{kind.__name__}"}
    return dict(_SCALARS[kind])


def _reference(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}
        definitions[kind.__name__] = _record(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _record(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    words, hints = _words(kind), hints_of(kind)
    names = [one.name for one in fields(kind)]
    properties = {}
    for name in names:
        form = _of(hints[name], definitions)
        lowest = {"minimum": 0} if form.get("type") == "integer" and _NO_NEGATIVES.search(name) else {}
        properties[name] = {**form, **lowest, "description": words[name]}
    return {"type": "object", "description": _summary(kind), "properties": properties, "required": names}


def _summary(kind: type) -> str:
    return inspect.getdoc(kind).partition("\n")[0]  # type: ignore[union-attr]  # every record has one


def _words(kind: type) -> dict[str, str]:
    """Return what a docstring says of each attribute."""
    text = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", text, re.MULTILINE)
    return {name: " ".join(said.split()).rstrip(".") for name, said in found}
