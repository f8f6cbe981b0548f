"""The JSON Schema (draft 2020-12) of a result, made from its attrs classes.

The document is kept beside this file as ``result.schema.json``, for readers in other languages;
``python -m unlearnkit.results.json_schema`` writes it again.
"""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs

from unlearnkit.files.plain import json_bytes
from unlearnkit.numbers import Number
from unlearnkit.results.schema import FORMAT, Result

__all__ = ["FILE", "json_schema", "record_schema"]

FILE = Path(__file__).with_name("result.schema.json")
_TYPES = {bool: "boolean", str: "string", int: "integer", float: "number", type(None): "null"}


def json_schema() -> dict[str, Any]:
    """The schema of one result."""
    schema = record_schema(Result)
    schema["properties"]["format"]["const"] = FORMAT
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FORMAT, **schema}


def record_schema(cls: type) -> dict[str, Any]:
    """The schema of an attrs class whose fields say what they are in ``metadata["help"]``."""
    hints = get_type_hints(cls)
    # A number's name is its key; a later version may declare more of it.
    fields = [field for field in attrs.fields(cls) if cls is not Number or field.name != "name"]
    return {
        "type": "object",
        "description": (cls.__doc__ or "").strip(),
        "properties": {field.name: {**_schema(hints[field.name]), "description": field.metadata.get("help", "")}
                       for field in fields},
        "required": [field.name for field in fields if field.default is attrs.NOTHING or field.name == "format"],
        "additionalProperties": cls is Number,
    }


def _schema(kind: Any) -> dict[str, Any]:
    parts = get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return {"anyOf": [_schema(part) for part in parts]}
    if get_origin(kind) is dict:
        return {"type": "object", "additionalProperties": _schema(parts[1])}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _schema(parts[0])}
    if attrs.has(kind):
        return record_schema(kind)
    return {} if kind is Any else {"type": _TYPES[kind]}


if __name__ == "__main__":
    FILE.write_bytes(json_bytes(json_schema()))
