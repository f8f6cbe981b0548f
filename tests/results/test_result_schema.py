"""A result survives the disk; whatever is damaged is refused in one line that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from handmade_results import result

from unlearnkit.errors import RunError
from unlearnkit.numbers import Number
from unlearnkit.results import Result, read_results, write_result
from unlearnkit.results.json_schema import FILE, json_schema
from unlearnkit.results.schema import to_plain


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """The part of JSON Schema that the document uses."""
    kinds = {"object": dict, "array": (list, tuple), "string": str, "null": type(None), "integer": int,
             "number": (int, float)}
    if "anyOf" in schema:
        return any(accepts(part, value) for part in schema["anyOf"])
    if "type" in schema and (not isinstance(value, kinds[schema["type"]]) or isinstance(value, bool)):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if isinstance(value, dict):
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", {})
        if any(name not in value for name in schema.get("required", ())):
            return False
        return all(accepts(properties[name], item) if name in properties else more is not False and accepts(more, item)
                   for name, item in value.items())
    return all(accepts(schema["items"], item) for item in value) if "items" in schema else True


def plain(**changes: Any) -> dict[str, Any]:
    return json.loads(json.dumps(to_plain(result()))) | changes


def test_round_trip(tmp_path: Path) -> None:
    made = result(error=None, metrics={"erased_after": 0.1234567890123, "kid_x": None},
                  numbers={"kid_x": Number("kid_x", "Kernel distance", "lower", most=3.0)})
    path = write_result(tmp_path, made)
    assert path == tmp_path / "cases" / "stylegan2.ind.guide.ind_0.0.json"
    (found,) = read_results([tmp_path])
    assert found.result == made and found.file == path and found.folder == tmp_path


def test_declarations_of_a_later_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "later.json"
    path.write_text(json.dumps(plain(numbers={"x": {"title": "X", "better": "lower", "colour": "red"}})))
    assert read_results([path])[0].result.numbers == {"x": Number("x", "X", "lower")}


def test_a_failure_is_a_result_too(tmp_path: Path) -> None:
    made = result(metrics={}, embedding=None, audit=None, seconds={}, peak_bytes=None, error="the loss became nan")
    write_result(tmp_path, made)
    assert read_results([tmp_path])[0].result == made


DAMAGED = {
    "no table": ([], "holds no table"),
    "another format": (plain(format="unlearnkit-result-9"), "'unlearnkit-result-9'"),
    "a field is missing": ({k: v for k, v in plain().items() if k != "budget"}, "budget"),
    "a field nobody knows": (plain(colour="red"), "colour"),
    "text for a number": (plain(metrics={"erased_after": "low"}), "erased_after"),
    "a declaration without a title": (plain(numbers={"x": {"better": "lower"}}), "title"),
    "a direction nobody knows": (plain(numbers={"x": {"title": "X", "better": "up"}}), "better"),
    "a fraction for a count": (plain(seed=1.5), "seed"),
    "true for a number": (plain(peak_bytes=True), "peak_bytes"),
    "no samples": (plain(budget={"steps": 20, "tuning_trials": 4, "samples": 0}), "budget"),
    "a name with a dot": (plain(identity="../ind_0"), "identity"),
    "a picture outside": (plain(pictures={"after": "../../secret.png"}), "relative PNG"),
    "a picture that is none": (plain(pictures={"after": "after.html"}), "relative PNG"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_results_are_refused_by_name(tmp_path: Path, damage: str) -> None:
    value, words = DAMAGED[damage]
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(value))
    with pytest.raises(RunError) as caught:
        read_results([path])
    message = str(caught.value)
    assert str(path) in message and words in message and "\n" not in message


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000], ids=["empty", "cut", "no text", "deep"])
def test_what_is_no_json_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "cut.json"
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"cut\.json is no JSON"):
        read_results([path])


def test_the_schema_document_is_that_of_the_classes() -> None:
    assert json.loads(FILE.read_bytes()) == json_schema(), "run python -m unlearnkit.results.json_schema"


def test_every_field_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    assert [field.name for field in attrs.fields(Result) if f"`{field.name}`" not in page] == []


def test_the_schema_document_tells_results_from_damage() -> None:
    schema = json.loads(FILE.read_bytes())
    assert accepts(schema, plain()) and accepts(schema, plain(audit=None, embedding=None, error="x", peak_bytes=None))
    structural = [damage for damage in DAMAGED
                  if damage not in ("no samples", "a name with a dot", "a picture outside", "a picture that is none",
                                    "a direction nobody knows")]
    for damage in structural:
        assert not accepts(schema, DAMAGED[damage][0]), damage
