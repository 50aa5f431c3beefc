"""JSON Schema checks in the node's process, against payloads and schemas that are not to be trusted.

Decoding and checking 1 KB takes a few microseconds (benchmarks/agents_pool.py). References to other
documents are never fetched, nesting is bounded, regular expressions have a backtracking limit.
"""

from typing import Final

import jsonschema_rs
import msgspec

NESTING_LIMIT: Final = 100
_BACKTRACK_LIMIT: Final = 100_000
_DECODER: Final = msgspec.json.Decoder()


class SchemaError(ValueError):
    """A contract's schema cannot be used; the text says why."""


class Checker:
    """One compiled schema. `fault(payload)` is None if the JSON text fits."""

    __slots__ = ("_validator",)

    def __init__(self, schema: bytes) -> None:
        fault, document = _decoded(schema)
        if fault is not None:
            raise SchemaError(f"the schema is not usable JSON: {fault}")
        self._validator: jsonschema_rs.Draft202012Validator | None = None
        if document is True or document == {}:
            return
        if not isinstance(document, dict):
            raise SchemaError("the schema must be a JSON object, or true")
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                document,
                offline=True,
                pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACK_LIMIT),
            )
        except (ValueError, TypeError, RecursionError) as error:
            raise SchemaError(f"the schema does not compile: {_first_line(error)}") from None

    def fault(self, payload: bytes) -> str | None:
        """What is wrong with the payload, as one sentence with the path to the place; None if nothing is."""
        fault, value = _decoded(payload)
        if fault is not None:
            return f"not usable as JSON: {fault}"
        if self._validator is None:
            return None
        try:
            if not self._validator.is_valid(value):
                self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return f"{_place(error.instance_path)}: {error.message}"
        except (ValueError, RecursionError) as error:
            return f"could not be checked: {_first_line(error)}"
        return None


def _decoded(text: bytes) -> tuple[str | None, object]:
    try:
        value: object = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _first_line(error), None
    if isinstance(value, (list, dict)) and _may_be_deep(text) and _deeper_than(value, NESTING_LIMIT):
        return f"nested deeper than {NESTING_LIMIT} levels", None
    return None, value


def _may_be_deep(text: bytes) -> bool:
    # Fewer brackets than the limit cannot nest deeper than the limit: the usual payload needs no walk.
    return text.count(b"[") + text.count(b"{") > NESTING_LIMIT


def _deeper_than(value: object, limit: int) -> bool:
    level: list[object] = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, (list, dict))
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (list, dict))
        ]
        if not level:
            return False
    return True


def _place(path: list[str | int]) -> str:
    if not path:
        return "value"
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
