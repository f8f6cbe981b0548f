"""The JSON Schema (draft 2020-12) of the predicate, made from its attrs classes and kept beside this file.

``python -m unlearnkit.certificates.json_schema`` writes it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlearnkit.certificates.schema import PREDICATE, Erasure
from unlearnkit.files.plain import json_bytes
from unlearnkit.results.json_schema import record_schema

__all__ = ["FILE", "json_schema"]

FILE = Path(__file__).with_name("erasure.schema.json")


def json_schema() -> dict[str, Any]:
    """The schema of the predicate of one certificate."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": PREDICATE, "title": PREDICATE,
            **_open(record_schema(Erasure))}


def _open(schema: Any) -> Any:
    """The schema with unknown fields allowed, as in-toto asks of readers."""
    if isinstance(schema, list):
        return [_open(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _open(part) for key, part in schema.items() if (key, part) != ("additionalProperties", False)}


if __name__ == "__main__":
    FILE.write_bytes(json_bytes(json_schema()))
