"""Checks of payloads and schemas that want to do harm."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless_agents import Checker, SchemaError

TREE = b'{"$defs":{"t":{"type":"array","items":{"$ref":"#/$defs/t"}}},"$ref":"#/$defs/t"}'


@pytest.mark.parametrize("schema", [b"true", b"{}", b'{"type":["array","string","integer","number","null"]}'])
@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"nul", b'"\xff"', b'"\\ud800"', b"[1 2]", b"1 2", b"9" * 5_000, b"1e999", b"NaN", b"\x00"],
)
def test_what_is_not_json_is_a_fault_under_any_schema(schema, payload):
    assert Checker(schema).fault(payload)


@pytest.mark.parametrize("schema", [b"true", TREE])
@pytest.mark.parametrize("depth", [101, 900, 5_000, 400_000])
def test_deep_nesting_is_a_fault_and_no_crash(schema, depth):
    assert Checker(schema).fault(b"[" * depth + b"]" * depth)


def test_nesting_up_to_the_limit_is_fine():
    checker = Checker(TREE)
    assert checker.fault(b"[" * 100 + b"]" * 100) is None
    assert checker.fault(b"[" + b"[]," * 5_000 + b"[]]") is None


def test_fault_names_the_place():
    checker = Checker(b'{"properties":{"items":{"items":{"type":"integer"}}}}')
    fault = checker.fault(b'{"items":[1,"two"]}')
    assert fault is not None
    assert fault.startswith("items[1]: ")


@pytest.mark.parametrize(
    "schema",
    [
        b"",
        b"[1]",
        b"1",
        b'{"type":"nonsense"}',
        b'{"$ref":"http://127.0.0.1:1/schema"}',
        b'{"$ref":"file:///etc/hostname"}',
        b'{"$ref":"#/$defs/none"}',
        b'{"pattern":"("}',
        b'{"not":' * 3_000 + b"{}" + b"}" * 3_000,
    ],
)
def test_unusable_schemas_are_refused(schema):
    with pytest.raises(SchemaError):
        Checker(schema)


@pytest.mark.parametrize("schema", [b'{"$ref":"#"}', b'{"allOf":[{"$ref":"#"}]}'])
def test_schemas_that_refer_to_themselves_end(schema):
    assert Checker(schema).fault(b"[[1]]") is None


def test_patterns_that_explode_are_bounded():
    checker = Checker(b'{"pattern":"^(?=(a+)+$)(a|aa)+$"}')
    assert checker.fault(json.dumps("a" * 5_000 + "!").encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_any_json_fits_the_open_schema(value):
    assert Checker(b"true").fault(json.dumps(value).encode()) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"true", TREE, b'{"type":"object"}']))
def test_no_bytes_raise(payload, schema):
    fault = Checker(schema).fault(payload)
    assert fault is None or isinstance(fault, str)
