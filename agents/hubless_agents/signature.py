"""From a function's type hints to its contract's schemas, and between JSON and its arguments.

One parameter besides the context: the payload is its value. Several: an object with their names. None: null.
msgspec knows builtins, dataclasses, TypedDict, NamedTuple, enums, dates and its own structs; models of
pydantic are handed to pydantic, which is used only if the user's module has imported it.
"""

import inspect
import sys
import typing
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from .context import Context
from .contract import Contract, ContractError
from .decorators import options_of

ANYTHING = b"true"
_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD


class InputError(ValueError):
    """The payload does not fit the function's types, although it fits the schema."""


class OutputError(ValueError):
    """The returned value has no JSON form."""


class Codec(Protocol):
    """Between JSON text and values of one type."""

    schema: bytes

    def decode(self, payload: bytes) -> Any: ...
    def encode(self, value: object) -> bytes: ...


class _MsgspecCodec:
    __slots__ = ("_decoder", "_encoder", "schema")

    def __init__(self, annotation: Any) -> None:
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(annotation)
        self._encoder = msgspec.json.Encoder(enc_hook=_encode_foreign)
        self.schema = ANYTHING if annotation is Any else msgspec.json.encode(msgspec.json.schema(annotation))

    def decode(self, payload: bytes) -> Any:
        try:
            return self._decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(str(error)) from None

    def encode(self, value: object) -> bytes:
        try:
            return self._encoder.encode(value)
        except (TypeError, ValueError, msgspec.EncodeError, RecursionError) as error:
            raise OutputError(str(error)) from None


class _PydanticCodec:
    __slots__ = ("_adapter", "schema")

    def __init__(self, annotation: Any, pydantic: Any, *, mode: str) -> None:
        self._adapter = pydantic.TypeAdapter(annotation)
        self.schema = msgspec.json.encode(self._adapter.json_schema(mode=mode))

    def decode(self, payload: bytes) -> Any:
        try:
            return self._adapter.validate_json(payload)
        except ValueError as error:  # pydantic's ValidationError is one
            raise InputError(str(error)) from None

    def encode(self, value: object) -> bytes:
        try:
            text: bytes = self._adapter.dump_json(value, warnings=False)
        except (TypeError, ValueError, RecursionError) as error:  # its serialisation errors are ValueErrors
            raise OutputError(str(error)) from None
        return text


def _encode_foreign(value: object) -> object:
    """Models of pydantic inside an answer without type hints; anything else has no JSON form."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form; return plain values or models")


class Bound:
    """An agent function with its contract, ready to be called with JSON; or its `merge`, if `is_merge`."""

    __slots__ = (
        "_context",
        "_input",
        "_keywords",
        "_output",
        "_positional",
        "_single",
        "contract",
        "function",
    )

    def __init__(self, function: Callable[..., Any], *, is_merge: bool = False) -> None:
        options = options_of(function)
        if options is None:
            raise ContractError(f"{function!r} is not an agent: decorate it with @agent")
        self.function = function
        contract = options.contract
        name = function.__name__
        hints = _hints(function)
        parameters = _parameters(function)
        if is_merge:
            if options.merge is None or options.merge_contract is None:
                raise ContractError(f"agent {name} has no merge: give it one, @agent(merge=...)")
            self.function, contract = options.merge, options.merge_contract
            answer = hints.get("return", Any)
            hints = {"first": answer, "second": answer, "return": answer}
            parameters = [inspect.Parameter(one, _POSITIONAL) for one in ("first", "second")]
        contexts = [one for one in parameters if _is_context(one, hints)]
        if len(contexts) > 1:
            raise ContractError(f"agent {name}: more than one parameter takes the context; keep one")
        values = [one for one in parameters if one not in contexts]
        self._context = contexts[0].name if contexts else None
        self._single = values[0].name if len(values) == 1 else None
        self._positional = [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY]
        self._keywords = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
        self._input = _input_codec(name, values, hints)
        self._output = _codec(name, "the return value", hints.get("return", Any), mode="serialization")
        self.contract: Contract = msgspec.structs.replace(
            contract, input_schema=self._input.schema, output_schema=self._output.schema
        )

    def arguments(self, payload: bytes, context: Context) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments for the function; InputError if the payload does not fit."""
        value = self._input.decode(payload)

        def argument(name: str) -> Any:
            if name == self._context:
                return context
            return value if name == self._single else getattr(value, name)

        return (
            [argument(name) for name in self._positional],
            {name: argument(name) for name in self._keywords},
        )

    def encode(self, value: object) -> bytes:
        """The answer as JSON; OutputError if it has no JSON form."""
        return self._output.encode(value)


def bounds_of(functions: Iterable[Callable[..., Any]]) -> list[Bound]:
    """The agents, and after each its `merge` if it has one."""
    bounds: list[Bound] = []
    for function in functions:
        bounds.append(Bound(function))
        options = options_of(function)
        if options is not None and options.merge is not None:
            bounds.append(Bound(function, is_merge=True))
    return bounds


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:  # noqa: BLE001 - annotations are user code: evaluating them can raise anything
        raise ContractError(
            f"agent {function.__name__}: its type hints cannot be evaluated ({error}); define or import the "
            "name at module level, or leave the annotation out"
        ) from None


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    for one in parameters:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            raise ContractError(
                f"agent {function.__name__}: parameter *{one.name} has no JSON form; "
                "name the parameters, or take one dict or list"
            )
    return parameters


def _is_context(parameter: inspect.Parameter, hints: dict[str, Any]) -> bool:
    hint = hints.get(parameter.name)
    if parameter.name == "ctx" and hint is not None and hint is not Context:
        raise ContractError(f"parameter ctx is annotated {hint!r}: annotate it Context, or rename it")
    return hint is Context or parameter.name == "ctx"


def _input_codec(name: str, values: list[inspect.Parameter], hints: dict[str, Any]) -> Codec:
    if not values:
        return _codec(name, "the payload", None, mode="validation")
    if len(values) == 1:
        only = values[0].name
        return _codec(name, f"parameter {only!r}", hints.get(only, Any), mode="validation")
    annotations = {one.name: _anything_for_object(hints.get(one.name, Any)) for one in values}
    for one, annotation in annotations.items():
        _codec(name, f"parameter {one!r}", annotation, mode="validation")  # errors that name the parameter
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and any(_has_model(annotation, pydantic) for annotation in annotations.values()):
        fields = {
            one.name: (annotations[one.name], ... if one.default is one.empty else one.default)
            for one in values
        }
        model = pydantic.create_model(name, __config__=pydantic.ConfigDict(extra="forbid"), **fields)
        return _PydanticCodec(model, pydantic, mode="validation")
    return _MsgspecCodec(
        msgspec.defstruct(
            name,
            [_field(one, annotations[one.name]) for one in values],
            forbid_unknown_fields=True,
            kw_only=True,
        )
    )


def _field(parameter: inspect.Parameter, annotation: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    if parameter.default is parameter.empty:
        return parameter.name, annotation
    default = parameter.default
    return parameter.name, annotation, msgspec.field(default_factory=lambda: default)


def _codec(name: str, place: str, annotation: Any, *, mode: str) -> Codec:
    pydantic = sys.modules.get("pydantic")
    annotation = _anything_for_object(annotation)
    try:
        if pydantic is not None and _has_model(annotation, pydantic):
            return _PydanticCodec(annotation, pydantic, mode=mode)
        return _MsgspecCodec(annotation)
    except ContractError:
        raise
    except Exception as error:  # noqa: BLE001 - both libraries raise many kinds over a type they do not know
        first_line = str(error).partition("\n")[0]
        raise ContractError(
            f"agent {name}: {place} of type {annotation!r} has no JSON Schema ({first_line}); use builtins, "
            "a dataclass, TypedDict, msgspec.Struct or pydantic model, or leave the annotation out"
        ) from None


def _anything_for_object(annotation: Any) -> Any:
    return Any if annotation is object else annotation


def _has_model(annotation: Any, pydantic: Any) -> bool:
    """Does the type contain a pydantic model (or a dataclass of pydantic's)?"""
    if inspect.isclass(annotation) and not typing.get_args(annotation):
        return issubclass(annotation, pydantic.BaseModel) or hasattr(annotation, "__pydantic_validator__")
    return any(_has_model(argument, pydantic) for argument in typing.get_args(annotation))
