"""Messages of magic 0 and 1, which Kafka 4 still reads from old segments (Kafka: ``AbstractLegacyRecordBatch``).

Each batch is one message; a compressed one holds the others in its value. The CRC is the CRC-32 of zlib.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from kafsim.protocol.records import compression
from kafsim.protocol.records.batch import LOG_APPEND_TIME, LOG_OVERHEAD, spans_in_memory
from kafsim.protocol.records.errors import CorruptRecord, InvalidRecord, RecordError
from kafsim.protocol.records.record import Record

_MIN_SIZE = {0: 14, 1: 22}


class OldMessage(NamedTuple):
    """One message of magic 0 or 1; ``timestamp`` is -1 with magic 0."""

    offset: int
    size: int
    crc: int
    magic: int
    attributes: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def message(data: bytes, position: int, size: int) -> OldMessage:
    """RecordError when it does not fit its bytes."""
    offset, _, crc, magic, attributes = struct.unpack_from(">qiIbb", data, position)
    at, timestamp = position + LOG_OVERHEAD + 6, -1
    try:
        if magic:
            (timestamp,) = struct.unpack_from(">q", data, at)
            at += 8
        key, at = _sized(data, at)
        value, _ = _sized(data, at)
    except struct.error:
        raise RecordError("a message is shorter than its fields") from None
    return OldMessage(offset, size, crc, magic, attributes, timestamp, key, value)


def _sized(data: bytes, at: int) -> tuple[bytes | None, int]:
    (size,) = struct.unpack_from(">i", data, at)
    at += 4
    return (None, at) if size < 0 else (data[at : at + size], at + size)


def ensure_valid(data: bytes, position: int, size: int) -> None:
    stored = int.from_bytes(data[position + 12 : position + 16], "big")
    computed = zlib.crc32(data[position + 16 : position + size])
    if size - LOG_OVERHEAD < _MIN_SIZE.get(data[position + 16], 0) or stored != computed:
        raise CorruptRecord(f"Record is corrupt (stored crc = {stored}, computed crc = {computed})")


def iterate(data: bytes, position: int, size: int) -> Iterator[Record]:
    (magic,) = struct.unpack_from(">b", data, position + 16)
    codec = data[position + 17] & 0x07
    if magic not in _MIN_SIZE:
        raise InvalidRecord(f"Invalid wrapper magic found in legacy deep record iterator {magic}")
    if codec >= len(compression.NAMES):
        raise RecordError(f"Unknown compression type id: {codec}")
    if codec == compression.ZSTD:
        raise InvalidRecord(f"Invalid wrapper compressionType found in legacy deep record iterator {magic}")
    outer = message(data, position, size)
    if not codec:
        yield Record(outer.offset, outer.timestamp, outer.key, outer.value, size=size)
        return
    if outer.value is None:
        raise RecordError("a compressed message has no value")
    inner_data = compression.decompress(codec, outer.value)
    inner = [message(inner_data, span.position, span.size) for span in spans_in_memory(inner_data)]
    if not inner:
        raise RecordError("a compressed message holds no messages")
    shift = outer.offset - inner[-1].offset if outer.magic else 0
    for one in inner:
        timestamp = outer.timestamp if outer.attributes & LOG_APPEND_TIME else one.timestamp
        yield Record(one.offset + shift, timestamp, one.key, one.value, size=one.size)
