"""Record batch v2, byte for byte (Kafka: ``DefaultRecordBatch``).

    0  int64 base offset          16 int8  magic (2)            27 int64 base timestamp   51 int16 producer epoch
    8  int32 length from 12 on    17 int32 CRC-32C from 21 on   35 int64 max timestamp    53 int32 base sequence
    12 int32 leader epoch         21 int16 attributes           43 int64 producer id      57 int32 count
                                  23 int32 last offset delta                              61 records

Base offset and leader epoch are not under the CRC: a leader writes them into what the producer sent, and nobody decodes
records but consumers and the cleaner.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from google_crc32c import value as crc32c

from kafsim.protocol.records.errors import CorruptRecord, RecordError

LOG_OVERHEAD = 12
"""Base offset and length: what is read first."""
UP_TO_MAGIC = 17
MIN_LENGTH = 14
"""The shortest length field of any magic."""
OVERHEAD = 61
NO_PRODUCER_ID = -1
NO_PRODUCER_EPOCH = -1
NO_SEQUENCE = -1
NO_TIMESTAMP = -1
NO_LEADER_EPOCH = -1

CODEC_MASK = 0x07
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20
DELETE_HORIZON = 0x40

_HEADER = struct.Struct(">qiibIhiqqqhii")
_UNDER_CRC = struct.Struct(">hiqqqhii")
_FRONT = struct.Struct(">qiibI")
_OFFSET = struct.Struct(">q")
_INT = struct.Struct(">i")


class BatchHeader(NamedTuple):
    """The 61 bytes, in Kafka's names."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """The whole batch, in bytes."""
        return self.length + LOG_OVERHEAD

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        if self.base_sequence == NO_SEQUENCE:
            return NO_SEQUENCE
        return increment_sequence(self.base_sequence, self.last_offset_delta)

    @property
    def codec(self) -> int:
        return self.attributes & CODEC_MASK

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL)

    @property
    def delete_horizon_ms(self) -> int | None:
        """When tombstones in this batch may go (KIP-534); it then stands in place of the base timestamp."""
        return self.base_timestamp if self.attributes & DELETE_HORIZON else None


def increment_sequence(sequence: int, delta: int) -> int:
    """Sequences go from 0 to 2^31-1 and begin again (Kafka: ``DefaultRecordBatch.incrementSequence``)."""
    return (sequence + delta) & 0x7FFF_FFFF


def decrement_sequence(sequence: int, delta: int) -> int:
    return (sequence - delta) & 0x7FFF_FFFF


def header(data: bytes | bytearray | memoryview, position: int = 0) -> BatchHeader:
    """The header at a position; RecordError when fewer than 61 bytes are there."""
    try:
        return BatchHeader._make(_HEADER.unpack_from(data, position))
    except struct.error:
        raise RecordError("a batch is shorter than its header") from None


def write_header(
    records: bytes,
    *,
    record_count: int,
    last_offset_delta: int,
    base_timestamp: int,
    max_timestamp: int,
    base_offset: int = 0,
    leader_epoch: int = NO_LEADER_EPOCH,
    attributes: int = 0,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = NO_PRODUCER_EPOCH,
    base_sequence: int = NO_SEQUENCE,
) -> bytes:
    """A whole batch: header, CRC and the (perhaps compressed) records."""
    body = (
        _UNDER_CRC.pack(
            attributes,
            last_offset_delta,
            base_timestamp,
            max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            record_count,
        )
        + records
    )
    front = _FRONT.pack(base_offset, len(body) + 9, leader_epoch, 2, crc32c(body))
    return front + body


def place(batch: bytes, base_offset: int, leader_epoch: int) -> bytes:
    """The same batch at its place in a log: base offset and leader epoch written in."""
    return _OFFSET.pack(base_offset) + batch[8:12] + _INT.pack(leader_epoch) + batch[16:]


def set_max_timestamp(batch: bytes, attributes: int, max_timestamp: int) -> bytes:
    """Another timestamp type and maximum (LogAppendTime), with the CRC that belongs to it."""
    body = attributes.to_bytes(2, "big") + batch[23:35] + _OFFSET.pack(max_timestamp) + batch[43:]
    crc: int = crc32c(body)
    return batch[:17] + crc.to_bytes(4, "big") + body


def computed_crc(data: bytes | memoryview, position: int, size: int) -> int:
    crc: int = crc32c(bytes(data[position + 21 : position + size]))
    return crc


def ensure_valid(data: bytes, position: int, size: int) -> None:
    """CorruptRecord when the batch is too short or its CRC is wrong (Kafka: ``DefaultRecordBatch.ensureValid``)."""
    if size < OVERHEAD:
        raise CorruptRecord(
            f"Record batch is corrupt (the size {size} is smaller than the minimum allowed overhead {OVERHEAD})"
        )
    stored, computed = int.from_bytes(data[position + 17 : position + 21], "big"), computed_crc(data, position, size)
    if stored != computed:
        raise CorruptRecord(f"Record is corrupt (stored crc = {stored}, computed crc = {computed})")


class Span(NamedTuple):
    """Where one batch of any magic lies."""

    position: int
    size: int
    magic: int


def spans_in_memory(data: bytes) -> Iterator[Span]:
    """The batches in what came over the wire; a partial one at the end is left out.

    CorruptRecord for a length or a magic that cannot be (Kafka: ``ByteBufferLogInputStream``).
    """
    position, end = 0, len(data)
    while end - position >= LOG_OVERHEAD:
        length = int.from_bytes(data[position + 8 : position + 12], "big", signed=True)
        if length < MIN_LENGTH:
            raise CorruptRecord(f"Record size {length} is less than the minimum record overhead ({MIN_LENGTH})")
        if end - position < UP_TO_MAGIC:
            return
        magic = int.from_bytes(data[position + 16 : position + 17], "big", signed=True)
        if not 0 <= magic <= 2:
            raise CorruptRecord(f"Invalid magic found in record: {magic}")
        size = length + LOG_OVERHEAD
        if size > 0x7FFF_FFFF:
            raise RecordError(f"a batch of {size} bytes is larger than a buffer can be")
        if end - position < size:
            return
        yield Span(position, size, magic)
        position += size


def spans_in_file(data: bytes, name: str = "FILE") -> Iterator[Span]:
    """The batches in a segment file; unlike in memory, an unknown magic passes (Kafka: ``FileLogInputStream``)."""
    position, end = 0, len(data)
    while end - position > UP_TO_MAGIC:
        length = int.from_bytes(data[position + 8 : position + 12], "big", signed=True)
        if length < MIN_LENGTH:
            raise CorruptRecord(
                f"Found record size {length} smaller than minimum record overhead ({MIN_LENGTH}) in file {name}."
            )
        size = length + LOG_OVERHEAD
        if end - position < size:
            return
        yield Span(position, size, int.from_bytes(data[position + 16 : position + 17], "big", signed=True))
        position += size
