"""Messages in the JSON of Kafka's own ``JsonConverter`` classes.

The fields of one version, their names in camel case, bytes in base64, uuids as text.
"""

from __future__ import annotations

import base64
import binascii
import re
import typing
from typing import Any

import attrs

from kafsim.protocol import uuid
from kafsim.protocol.schema import Wire, holds, wire_of
from kafsim.protocol.wire.codec import class_in
from kafsim.protocol.wire.primitives import WireError


def to_json(message: Any, version: int) -> dict[str, Any]:
    """A message as a JSON object; tagged fields are left out when they have their default."""
    found = {}
    for field in attrs.fields(type(message)):
        wire, value = wire_of(field), getattr(message, field.name)
        if not holds(wire.versions, version) or (holds(wire.tagged, version) and value == field.default):
            continue
        found[_camel(field.name)] = _value_to_json(wire, value, version)
    return found


def from_json(cls: type, given: dict[str, Any], version: int) -> Any:
    """A message of a JSON object. Fields of other versions are passed over; WireError names one that does not fit."""
    fields = {_camel(field.name): field for field in attrs.fields(cls)}
    hints = typing.get_type_hints(cls)
    values = {}
    for name, value in given.items():
        field = fields.get(name)
        if field is None:
            raise WireError(f"{cls.__name__} has no {name!r}")
        if not holds(wire_of(field).versions, version):
            continue
        try:
            values[field.name] = _value_from_json(wire_of(field), hints[field.name], value, version)
        except (TypeError, ValueError, AttributeError, binascii.Error) as error:
            raise WireError(f"{cls.__name__} v{version}: {name} is {value!r}: {error}") from error
    return cls(**values)


def _value_to_json(wire: Wire, value: Any, version: int) -> Any:
    if value is None:
        return None
    if isinstance(value, tuple):
        return [_value_to_json(wire, one, version) for one in value]
    base = wire.type.removeprefix("[]")
    if base == "uuid":
        return uuid.to_text(value)
    if base in ("bytes", "records"):
        return base64.b64encode(value).decode()
    return to_json(value, version) if attrs.has(type(value)) else value


def _value_from_json(wire: Wire, hint: Any, value: Any, version: int) -> Any:
    if value is None:
        return None
    if wire.type.startswith("[]"):
        one = attrs.evolve(wire, type=wire.type.removeprefix("[]"))
        return tuple(_value_from_json(one, hint, each, version) for each in _of_type(list, value))
    if wire.type == "uuid":
        return uuid.from_text(value)
    if wire.type in ("bytes", "records"):
        return base64.b64decode(value, validate=True)
    if wire.type[0].isupper():
        return from_json(class_in(hint), _of_type(dict, value), version)
    return _of_type({"string": str, "bool": bool, "float64": float}.get(wire.type, int), value)


def _of_type(expected: type, value: Any) -> Any:
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise TypeError(f"that is no {expected.__name__}")
    return value


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name.rstrip("_"))
