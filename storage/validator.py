"""What a leader checks of a batch before it appends it (Kafka: ``LogValidator``, ``analyzeAndValidateRecords``).

Everything is read from the header as long as that tells enough: records are decoded for compacted topics, where bounds
of their timestamps may be crossed, and to compress them anew. Those that do not fit their header pass here otherwise,
and are refused by whoever reads them.
"""

from __future__ import annotations

from kafsim.protocol import errors
from kafsim.protocol.config import MAX_LONG
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records import compression
from kafsim.protocol.records.batch import LOG_APPEND_TIME, NO_TIMESTAMP, BatchHeader
from kafsim.protocol.records.errors import CorruptRecord, Decompression, RecordError
from kafsim.protocol.records.record import BatchBuilder, decode_batch
from kafsim.storage.log_config import LogConfig
from kafsim.storage.producer_state import Refused

TIMESTAMPS_REJECTED = "One or more records have been rejected due to invalid timestamp"


def only_batch(data: bytes) -> bytes | Refused:
    """The one batch in a partition's part of a produce request; what is behind it and is no batch is dropped."""
    try:
        spans = list(batches.spans_in_memory(data))
    except CorruptRecord as error:
        return Refused(errors.CORRUPT_MESSAGE, str(error))
    except RecordError as error:
        return Refused(errors.UNKNOWN_SERVER_ERROR, str(error))
    if not spans:
        return Refused(errors.INVALID_RECORD, "Produce requests must include at least one record batch")
    if spans[0].magic != 2:
        return Refused(errors.INVALID_RECORD, "Produce requests are only allowed to contain record batches of magic 2")
    if len(spans) > 1:
        return Refused(errors.INVALID_RECORD, "Produce requests must include exactly one record batch")
    return data[: spans[0].size] if spans[0].size < len(data) else data


def check(data: bytes, head: BatchHeader, config: LogConfig, now_ms: int, partition: str) -> Refused | None:
    """In Kafka's order: offset, size, CRC, counts, control, sequence, timestamps."""
    if head.base_offset != 0:
        return Refused(errors.INVALID_RECORD, f"the base offset of a client's batch must be 0, not {head.base_offset}")
    if len(data) > config.max_message_bytes:
        return _too_large(len(data), config)
    try:
        batches.ensure_valid(data, 0, len(data))
    except CorruptRecord as error:
        return Refused(errors.CORRUPT_MESSAGE, str(error))
    return _check_header(head) or _check_records(data, head, config, now_ms, partition)


def _check_records(data: bytes, head: BatchHeader, config: LogConfig, now_ms: int, partition: str) -> Refused | None:
    """What holds for each record; they are decoded only where the header does not tell."""
    if not _needs_records(head, config, now_ms):
        return None
    try:
        records = decode_batch(data)
    except Decompression as error:
        return Refused(errors.UNKNOWN_SERVER_ERROR, str(error))
    except RecordError as error:
        return Refused(errors.INVALID_RECORD, str(error))
    wrong: list[tuple[int, int, str]] = []
    for index, record in enumerate(records):
        if config.compacts and record.key is None:
            text = f"Compacted topic cannot accept message without key in topic partition {partition}"
            wrong.append((errors.INVALID_RECORD, index, text))
            continue
        why = _wrong_timestamp(record.timestamp, index, head, config, now_ms)
        if why is not None:
            wrong.append((errors.INVALID_TIMESTAMP, index, why))
    return _refusal(wrong) if wrong else None


def _needs_records(head: BatchHeader, config: LogConfig, now_ms: int) -> bool:
    if config.compacts or head.attributes & LOG_APPEND_TIME:
        return True
    if config.message_timestamp_type != "CreateTime":
        return False
    late = head.max_timestamp - now_ms > config.message_timestamp_after_max_ms
    return late or config.message_timestamp_before_max_ms < MAX_LONG


def _wrong_timestamp(timestamp: int, index: int, head: BatchHeader, config: LogConfig, now_ms: int) -> str | None:
    before, after = config.message_timestamp_before_max_ms, config.message_timestamp_after_max_ms
    if config.message_timestamp_type == "CreateTime" and timestamp != NO_TIMESTAMP:
        if now_ms - timestamp <= before and timestamp - now_ms <= after:
            return None
        return (
            f"Timestamp {timestamp} of message with offset {index} is out of range. The timestamp should be within "
            f"[{now_ms - before}, {now_ms + after}]"
        )
    if head.attributes & LOG_APPEND_TIME:
        return f"Invalid timestamp type in message {index}. Producer should not set timestamp type to LogAppendTime."
    return None


def _refusal(wrong: list[tuple[int, int, str]]) -> Refused:
    listed = tuple((index, text) for _, index, text in wrong)
    if any(error == errors.INVALID_TIMESTAMP for error, _, _ in wrong):
        return Refused(errors.INVALID_TIMESTAMP, TIMESTAMPS_REJECTED, listed)
    shown = ", ".join(f"RecordError(batchIndex={index}, message='{text}')" for index, text in listed[:3])
    text = (
        f"One or more records have been rejected due to {len(listed)} record errors in total, and only showing the "
        f"first three errors at most: [{shown}]"
    )
    return Refused(errors.INVALID_RECORD, text, listed)


def convert(data: bytes, head: BatchHeader, config: LogConfig) -> bytes | Refused:
    """The batch in the codec of its topic (``compression.type``), rebuilt when that is another one."""
    if config.compression_type == "producer":
        return data
    target = compression.codec_id("none" if config.compression_type == "uncompressed" else config.compression_type)
    if target == head.codec:
        return data
    try:
        builder = BatchBuilder(target)
        for record in decode_batch(data):
            builder.append(record.timestamp, record.key, record.value, record.headers)
        made = builder.close(
            producer_id=head.producer_id,
            producer_epoch=head.producer_epoch,
            base_sequence=head.base_sequence,
            attributes=head.attributes & batches.TRANSACTIONAL,
        )
    except Decompression as error:
        return Refused(errors.UNKNOWN_SERVER_ERROR, str(error))
    except RecordError as error:
        return Refused(errors.INVALID_RECORD, str(error))
    return made if len(made) <= config.max_message_bytes else _too_large(len(made), config)


def _too_large(size: int, config: LogConfig) -> Refused:
    return Refused(
        errors.MESSAGE_TOO_LARGE,
        f"The record batch size is {size} bytes which exceeds the maximum configured value "
        f"of {config.max_message_bytes}.",
    )


def _check_header(head: BatchHeader) -> Refused | None:
    if head.last_offset_delta + 1 <= 0 or head.record_count != head.last_offset_delta + 1:
        return Refused(
            errors.INVALID_RECORD,
            f"Inconsistent batch offset range [{head.base_offset}, {head.last_offset}] and count of records "
            f"{head.record_count}",
        )
    if head.is_control:
        return Refused(errors.INVALID_RECORD, "Clients are not allowed to write control records")
    if head.producer_id > -1 and head.base_sequence < 0:
        return Refused(errors.INVALID_RECORD, f"Invalid sequence number {head.base_sequence} in record batch")
    return None


def stamp(data: bytes, head: BatchHeader, config: LogConfig, now_ms: int) -> bytes:
    """The batch with the timestamp type of its topic; LogAppendTime gives every record the time of the append."""
    if config.message_timestamp_type == "CreateTime":
        if not head.attributes & LOG_APPEND_TIME:
            return data
        return batches.set_max_timestamp(data, head.attributes & ~LOG_APPEND_TIME, head.max_timestamp)
    return batches.set_max_timestamp(data, head.attributes | LOG_APPEND_TIME, now_ms)
