"""Messages and metadata records as Kafka writes them, made from the fields of their classes, one form for each version.

The metadata log and the coordinators' topics hold this form; live mode speaks it.
"""

from __future__ import annotations

import struct
import typing
from typing import Any

import attrs

from kafsim.protocol.records.errors import RecordError
from kafsim.protocol.records.varint import decode_unsigned, encode_unsigned
from kafsim.protocol.schema import Wire, about, holds, wire_of
from kafsim.protocol.uuid import to_text
from kafsim.protocol.wire import primitives
from kafsim.protocol.wire.primitives import Form, WireError


def encode(message: Any, version: int) -> bytes:
    """The body of a request, a response or a record."""
    out = bytearray()
    form_of(type(message), version, flexible=_is_flexible(type(message), version)).write(out, message)
    return bytes(out)


def decode(cls: type, data: bytes, version: int, at: int = 0) -> tuple[Any, int]:
    """The message and the position after it; WireError for bytes that are none."""
    try:
        message, end = form_of(cls, version, flexible=_is_flexible(cls, version)).read(data, at)
    except (IndexError, struct.error, UnicodeDecodeError, RecordError) as error:
        raise WireError(f"{cls.__name__} v{version}: {error}") from error
    return message, end


def _is_flexible(cls: type, version: int) -> bool:
    return holds(about[cls].flexible, version)


_forms: dict[tuple[type, int, bool], Form] = {}


def form_of(cls: type, version: int, *, flexible: bool) -> Form:
    """How instances of a class are written in one version."""
    key = (cls, version, flexible)
    if key not in _forms:
        _forms[key] = _make_form(cls, version, flexible=flexible)
    return _forms[key]


def _make_form(cls: type, version: int, *, flexible: bool) -> Form:
    plain: list[tuple[str, Form]] = []
    tagged: dict[int, tuple[str, Form, Any]] = {}
    hints = typing.get_type_hints(cls)
    for field in attrs.fields(cls):
        wire = wire_of(field)
        if not holds(wire.versions, version):
            continue
        form = _field_form(wire, hints[field.name], version, flexible=flexible)
        if flexible and holds(wire.tagged, version):
            assert wire.tag is not None
            tagged[wire.tag] = (field.name, form, field.default)
        else:
            plain.append((field.name, form))
    return _struct_form(cls, plain, tagged, flexible=flexible)


def _field_form(wire: Wire, hint: Any, version: int, *, flexible: bool) -> Form:
    is_array = wire.type.startswith("[]")
    base = wire.type.removeprefix("[]")
    if base in primitives.FIXED:
        form = primitives.FIXED[base]
    elif base in {"string", "bytes", "records"}:
        form = primitives.sized(compact=flexible, text=base == "string")
    else:
        form = form_of(class_in(hint), version, flexible=flexible)
        if holds(wire.nullable, version) and not is_array:
            form = primitives.optional(form, tagged=flexible and holds(wire.tagged, version))
    return primitives.array(form, compact=flexible) if is_array else form


def class_in(hint: Any) -> type:
    """The message class in ``X``, ``X | None``, ``tuple[X, ...]`` and so on."""
    if isinstance(hint, type) and attrs.has(hint):
        return hint
    for argument in typing.get_args(hint):
        if argument not in (type(None), Ellipsis):
            return class_in(argument)
    raise AssertionError(f"no message class in {hint}")


def _struct_form(
    cls: type, plain: list[tuple[str, Form]], tagged: dict[int, tuple[str, Form, Any]], *, flexible: bool
) -> Form:
    ordered = sorted(tagged.items())

    def write(out: bytearray, value: Any) -> None:
        for name, form in plain:
            form.write(out, getattr(value, name))
        if flexible:
            _write_tags(out, value, ordered)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        found: dict[str, Any] = {}
        for name, form in plain:
            found[name], at = form.read(data, at)
        if flexible:
            at = _read_tags(data, at, tagged, found)
        return cls(**found), at

    return Form(write, read)


def _write_tags(out: bytearray, value: Any, tagged: list[tuple[int, tuple[str, Form, Any]]]) -> None:
    present = [
        (tag, form, getattr(value, name)) for tag, (name, form, default) in tagged if getattr(value, name) != default
    ]
    out += encode_unsigned(len(present))
    for tag, form, content in present:
        body = bytearray()
        form.write(body, content)
        out += encode_unsigned(tag) + encode_unsigned(len(body)) + body


def _read_tags(data: bytes, at: int, tagged: dict[int, tuple[str, Form, Any]], found: dict[str, Any]) -> int:
    count, at = decode_unsigned(data, at)
    for _ in range(count):
        tag, at = decode_unsigned(data, at)
        size, at = decode_unsigned(data, at)
        if at + size > len(data):
            raise WireError(f"tagged field {tag} is cut off")
        if tag in tagged:
            name, form, _ = tagged[tag]
            found[name], _ = form.read(data, at)
        at += size
    return at


def describe(message: Any) -> str:
    """The fields that differ from their defaults, for a reader."""
    shown = []
    for field in attrs.fields(type(message)):
        value = getattr(message, field.name)
        if value != field.default:
            is_uuid = wire_of(field).type == "uuid"
            shown.append(f"{field.name}={to_text(value) if is_uuid else value!r}")
    return " ".join(shown)
