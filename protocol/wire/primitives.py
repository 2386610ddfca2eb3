"""The primitive types of Kafka's protocol, each with a function that writes to a bytearray and one that reads bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from kafsim.protocol.records.varint import decode_unsigned, encode_unsigned

Write = Callable[[bytearray, Any], None]
Read = Callable[[bytes, int], tuple[Any, int]]


class WireError(ValueError):
    """Bytes that are not the message they should be."""


class Form(NamedTuple):
    write: Write
    read: Read


def number(format_: str) -> Form:
    packer = struct.Struct(format_)

    def write(out: bytearray, value: Any) -> None:
        out += packer.pack(value)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        return packer.unpack_from(data, at)[0], at + packer.size

    return Form(write, read)


def _write_uuid(out: bytearray, value: Any) -> None:
    out += value


def _read_uuid(data: bytes, at: int) -> tuple[Any, int]:
    if at + 16 > len(data):
        raise WireError("a uuid is cut off")
    return data[at : at + 16], at + 16


FIXED = {
    "bool": number(">?"),
    "int8": number(">b"),
    "int16": number(">h"),
    "uint16": number(">H"),
    "int32": number(">i"),
    "int64": number(">q"),
    "uuid": Form(_write_uuid, _read_uuid),
}

_INT8, _INT16, _INT32 = FIXED["int8"], FIXED["int16"], FIXED["int32"]


def length(*, compact: bool, small: bool) -> Form:
    """How long something is, -1 for null: a varint of length + 1 when flexible, otherwise int16 (small) or int32."""
    if not compact:
        return _INT16 if small else _INT32

    def write(out: bytearray, value: Any) -> None:
        out += encode_unsigned(value + 1)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        value, at = decode_unsigned(data, at)
        return value - 1, at

    return Form(write, read)


def sized(*, compact: bool, text: bool) -> Form:
    """A string or bytes; None is null."""
    size = length(compact=compact, small=text)

    def write(out: bytearray, value: Any) -> None:
        if value is None:
            size.write(out, -1)
            return
        data = value.encode() if text else value
        size.write(out, len(data))
        out += data

    def read(data: bytes, at: int) -> tuple[Any, int]:
        count, at = size.read(data, at)
        if count < 0:
            return None, at
        if at + count > len(data):
            raise WireError("a string or bytes are cut off")
        content = data[at : at + count]
        return (content.decode() if text else content), at + count

    return Form(write, read)


def optional(item: Form, *, tagged: bool) -> Form:
    """A part of a message that may be null: -1 stands for that, 0 in a tagged field, and 1 before what is there."""
    null = 0 if tagged else -1

    def write(out: bytearray, value: Any) -> None:
        _INT8.write(out, null if value is None else 1)
        if value is not None:
            item.write(out, value)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        sign, at = _INT8.read(data, at)
        return (None, at) if sign <= 0 else item.read(data, at)

    return Form(write, read)


def array(item: Form, *, compact: bool) -> Form:
    """A tuple of items; None is null."""
    size = length(compact=compact, small=False)

    def write(out: bytearray, value: Any) -> None:
        size.write(out, -1 if value is None else len(value))
        for one in value or ():
            item.write(out, one)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        count, at = size.read(data, at)
        if count < 0:
            return None, at
        if count > len(data) - at:
            raise WireError(f"an array of {count} items is longer than its message")
        items = []
        for _ in range(count):
            one, at = item.read(data, at)
            items.append(one)
        return tuple(items), at

    return Form(write, read)
