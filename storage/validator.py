"""What a leader checks of a batch before it appends it (Kafka: ``LogValidator``, ``analyzeAndValidateRecords``).

Everything is read from the header, but the keys for a compacted topic: records that do not fit their header pass here
and are refused by whoever reads them.
"""

from __future__ import annotations

from kafsim.protocol import errors
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records.batch import LOG_APPEND_TIME, NO_TIMESTAMP, BatchHeader
from kafsim.protocol.records.errors import CorruptRecord, RecordError
from kafsim.protocol.records.record import decode_batch
from kafsim.storage.log_config import LogConfig
from kafsim.storage.producer_state import Refused

RECORDS_REJECTED = "One or more records have been rejected"
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


def check(data: bytes, head: BatchHeader, config: LogConfig, now_ms: int) -> Refused | None:
    """In Kafka's order: offset, size, CRC, counts, control, sequence, timestamps."""
    if head.base_offset != 0:
        return Refused(errors.INVALID_RECORD, f"the base offset of a client's batch must be 0, not {head.base_offset}")
    if len(data) > config.max_message_bytes:
        return Refused(
            errors.MESSAGE_TOO_LARGE,
            f"The record batch size is {len(data)} bytes which exceeds the maximum configured value "
            f"of {config.max_message_bytes}.",
        )
    try:
        batches.ensure_valid(data, 0, len(data))
    except CorruptRecord as error:
        return Refused(errors.CORRUPT_MESSAGE, str(error))
    return _check_header(head) or _check_keys(data, config) or _check_timestamps(head, config, now_ms)


def _check_keys(data: bytes, config: LogConfig) -> Refused | None:
    """A compacted topic needs a key in each record; for that alone the records are decoded."""
    if not config.compacts:
        return None
    try:
        missing = any(record.key is None for record in decode_batch(data))
    except RecordError as error:
        return Refused(errors.INVALID_RECORD, str(error))
    return Refused(errors.INVALID_RECORD, RECORDS_REJECTED) if missing else None


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


def _check_timestamps(head: BatchHeader, config: LogConfig, now_ms: int) -> Refused | None:
    if config.message_timestamp_type != "CreateTime" or head.max_timestamp == NO_TIMESTAMP:
        wrong = bool(head.attributes & LOG_APPEND_TIME)
    else:
        early = now_ms - head.base_timestamp > config.message_timestamp_before_max_ms
        wrong = early or head.max_timestamp - now_ms > config.message_timestamp_after_max_ms
    return Refused(errors.INVALID_TIMESTAMP, TIMESTAMPS_REJECTED) if wrong else None


def stamp(data: bytes, head: BatchHeader, config: LogConfig, now_ms: int) -> bytes:
    """The batch with the timestamp type of its topic; LogAppendTime gives every record the time of the append."""
    if config.message_timestamp_type == "CreateTime":
        if not head.attributes & LOG_APPEND_TIME:
            return data
        return batches.set_max_timestamp(data, head.attributes & ~LOG_APPEND_TIME, head.max_timestamp)
    return batches.set_max_timestamp(data, head.attributes | LOG_APPEND_TIME, now_ms)
