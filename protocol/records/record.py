"""The records inside a batch: encoded one by one, decoded all at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kafsim.protocol.records import compression
from kafsim.protocol.records.batch import (
    LOG_APPEND_TIME,
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    NO_SEQUENCE,
    OVERHEAD,
    BatchHeader,
    header,
    increment_sequence,
    write_header,
)
from kafsim.protocol.records.errors import InvalidRecord, RecordError
from kafsim.protocol.records.varint import decode_signed, encode_signed

RecordHeaders = tuple[tuple[str, bytes | None], ...]
_NULL = encode_signed(-1)
_NO_HEADERS = encode_signed(0)


class Record(NamedTuple):
    """One record as a consumer sees it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: RecordHeaders = ()
    sequence: int = NO_SEQUENCE
    size: int = 0
    """Its bytes in the batch before compression, with the length in front."""


def encode_record(
    timestamp_delta: int, offset_delta: int, key: bytes | None, value: bytes | None, headers: RecordHeaders = ()
) -> bytes:
    """One record in its place in a batch, with its length in front."""
    body = b"\x00" + encode_signed(timestamp_delta) + encode_signed(offset_delta)
    body += _NULL if key is None else encode_signed(len(key)) + key
    body += _NULL if value is None else encode_signed(len(value)) + value
    body += _encode_headers(headers) if headers else _NO_HEADERS
    return encode_signed(len(body)) + body


def _varint_size(value: int) -> int:
    return len(encode_signed(value))


def _part_size(part: bytes | None) -> int:
    return 1 if part is None else _varint_size(len(part)) + len(part)


def content_size(key: bytes | None, value: bytes | None, headers: RecordHeaders) -> int:
    """Key, value and headers with their lengths, in bytes (Kafka: ``DefaultRecord.sizeOf``)."""
    size = _part_size(key) + _part_size(value) + _varint_size(len(headers))
    return size + sum(_part_size(name.encode()) + _part_size(content) for name, content in headers)


def _encode_headers(headers: RecordHeaders) -> bytes:
    out = encode_signed(len(headers))
    for name, value in headers:
        text = name.encode()
        out += encode_signed(len(text)) + text
        out += _NULL if value is None else encode_signed(len(value)) + value
    return out


class BatchBuilder:
    """Grows a batch record by record; the header is written when it is closed (Kafka: ``MemoryRecordsBuilder``)."""

    __slots__ = ("_body", "base_timestamp", "codec", "count", "max_timestamp")

    def __init__(self, codec: int = compression.NONE) -> None:
        self.codec = codec
        self.count = 0
        self.base_timestamp = 0
        self.max_timestamp = -1
        self._body = bytearray()

    @property
    def uncompressed_size(self) -> int:
        """Of the batch as it would be without compression."""
        return OVERHEAD + len(self._body)

    def size_of(self, timestamp: int, content: int) -> int:
        """How large the next record would be; ``content``: its :func:`content_size`."""
        delta = timestamp - self.base_timestamp if self.count else 0
        body = 1 + _varint_size(delta) + _varint_size(self.count) + content
        return _varint_size(body) + body

    def append(self, timestamp: int, key: bytes | None, value: bytes | None, headers: RecordHeaders = ()) -> int:
        """Returns the size of the record in the batch."""
        if not self.count:
            self.base_timestamp = timestamp
        encoded = encode_record(timestamp - self.base_timestamp, self.count, key, value, headers)
        self._body += encoded
        self.count += 1
        self.max_timestamp = max(self.max_timestamp, timestamp)
        return len(encoded)

    def close(
        self,
        *,
        producer_id: int = NO_PRODUCER_ID,
        producer_epoch: int = NO_PRODUCER_EPOCH,
        base_sequence: int = NO_SEQUENCE,
        attributes: int = 0,
        base_offset: int = 0,
        leader_epoch: int = -1,
    ) -> bytes:
        """The batch; may be called again with another producer epoch or sequence."""
        body = bytes(self._body)
        return write_header(
            compression.compress(self.codec, body) if self.codec else body,
            record_count=self.count,
            last_offset_delta=self.count - 1,
            base_timestamp=self.base_timestamp,
            max_timestamp=self.max_timestamp,
            attributes=attributes | self.codec,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=base_sequence,
            base_offset=base_offset,
            leader_epoch=leader_epoch,
        )


def encode_batch(
    records: Iterable[tuple[int, bytes | None, bytes | None]], *, codec: int = compression.NONE, **fields: int
) -> bytes:
    """A batch of ``(timestamp, key, value)``; ``fields`` are those of :meth:`BatchBuilder.close`."""
    builder = BatchBuilder(codec)
    for timestamp, key, value in records:
        builder.append(timestamp, key, value)
    return builder.close(**fields)


def decode_batch(data: bytes, position: int = 0) -> list[Record]:
    """All records of one batch v2; InvalidRecord or RecordError as Kafka's iterator would throw."""
    return list(iterate_batch(data, position))


def iterate_batch(data: bytes, position: int = 0) -> Iterator[Record]:
    """The records of one batch v2 until something is wrong (Kafka: ``DefaultRecordBatch.iterator``)."""
    head = header(data, position)
    if head.record_count < 0:
        raise InvalidRecord(f"Found invalid record count {head.record_count} in magic v{head.magic} batch")
    if head.codec >= len(compression.NAMES):
        raise RecordError(f"Unknown compression type id: {head.codec}")
    body = data[position + OVERHEAD : position + head.size]
    if not head.record_count:
        return
    if head.codec:
        body = compression.decompress(head.codec, body)
    at = 0
    for number in range(1, head.record_count + 1):
        if at >= len(body):
            raise InvalidRecord("Incorrect declared batch size, premature EOF reached")
        record, at = _decode_record(body, at, head)
        if number == head.record_count and at < len(body):
            raise InvalidRecord("Incorrect declared batch size, records still remaining in file")
        yield record


def _decode_record(body: bytes, start: int, head: BatchHeader) -> tuple[Record, int]:
    size, at = decode_signed(body, start)
    if len(body) - at < size:
        raise InvalidRecord(
            f"Invalid record size: expected {size} bytes in record payload, "
            f"but instead the buffer has only {len(body) - at} remaining bytes."
        )
    try:
        record, end = _decode_fields(body, at, head)
    except (IndexError, UnicodeDecodeError, RecordError) as error:
        if isinstance(error, InvalidRecord):
            raise
        raise InvalidRecord("Found invalid record structure") from error
    if end - at != size:
        raise InvalidRecord(
            f"Invalid record size: expected to read {size} bytes in record payload, but instead read {end - at}"
        )
    return record._replace(size=end - start), end


def _decode_fields(body: bytes, at: int, head: BatchHeader) -> tuple[Record, int]:
    timestamp_delta, at = decode_signed(body, at + 1)
    offset_delta, at = decode_signed(body, at)
    key, at = _decode_bytes(body, at)
    value, at = _decode_bytes(body, at)
    count, at = decode_signed(body, at)
    if count < 0:
        raise InvalidRecord(f"Found invalid number of record headers {count}")
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        name, at = _decode_bytes(body, at)
        if name is None:
            raise InvalidRecord("Invalid negative header key size -1")
        content, at = _decode_bytes(body, at)
        headers.append((name.decode(), content))
    timestamp = head.base_timestamp + timestamp_delta
    if head.attributes & LOG_APPEND_TIME:
        timestamp = head.max_timestamp
    sequence = NO_SEQUENCE if head.base_sequence < 0 else increment_sequence(head.base_sequence, offset_delta)
    return Record(head.base_offset + offset_delta, timestamp, key, value, tuple(headers), sequence), at


def _decode_bytes(body: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = decode_signed(body, at)
    if size < 0:
        return None, at
    if at + size > len(body):
        raise IndexError
    return body[at : at + size], at + size
