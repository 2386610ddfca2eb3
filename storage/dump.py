"""The files of a log directory as text, line for line as Kafka's ``DumpLogSegments`` prints them."""

from __future__ import annotations

import contextlib
import json
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

from kafsim.protocol import consumer_protocol
from kafsim.protocol.group_records import serde as groups
from kafsim.protocol.group_records.group_metadata import GroupMetadataValue
from kafsim.protocol.metadata import control_records, serde
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records import compression, control, old
from kafsim.protocol.records.batch import BatchHeader, Span
from kafsim.protocol.records.errors import CorruptRecord, RecordError
from kafsim.protocol.records.record import Record, iterate_batch
from kafsim.protocol.schema import about
from kafsim.protocol.wire import codec
from kafsim.protocol.wire.json_form import to_json
from kafsim.protocol.wire.primitives import WireError
from kafsim.storage.producer_state import read_snapshot

PLAIN, METADATA, GROUPS = "plain", "metadata", "groups"
"""Keys and values as text; records of the metadata log; those of ``__consumer_offsets``."""
SUFFIXES = (".log", ".checkpoint", ".index", ".timeindex", ".txnindex", ".snapshot")
_SNAPSHOT_ID = re.compile(r"(\d+)-(\d+)\.checkpoint")

CONTROL = {
    control.LEADER_CHANGE: (" LeaderChange: ", control_records.LeaderChangeMessage),
    control.SNAPSHOT_HEADER: (" SnapshotHeader ", control_records.SnapshotHeaderRecord),
    control.SNAPSHOT_FOOTER: (" SnapshotFooter ", control_records.SnapshotFooterRecord),
    control.KRAFT_VERSION: (" KRaftVersion ", control_records.KRaftVersionRecord),
    control.KRAFT_VOTERS: (" KRaftVoters ", control_records.VotersRecord),
}
"""What goes before the JSON of a control record, and its class."""


def dump(name: str, data: bytes, *, decoder: str = PLAIN) -> Iterator[str]:
    """The lines for one file; ``decoder``: whose records they are."""
    yield f"Dumping {name}"
    suffix = name[name.rfind(".") :]
    base = name.rpartition("/")[2].partition(".")[0]
    offset = int(base) if base.isdigit() else 0
    if suffix == ".log":
        yield f"Log starting offset: {offset}"
        yield from _log(name, data, decoder=decoder)
    elif suffix == ".checkpoint":
        snapshot = _SNAPSHOT_ID.search(name)
        yield _snapshot_title(*snapshot.groups()) if snapshot else "KRaft bootstrap snapshot"
        yield from _log(name, data, decoder=decoder)
    elif suffix == ".index":
        yield from _index(name, data, offset)
    elif suffix == ".timeindex":
        yield from _time_index(data, offset)
    elif suffix == ".txnindex":
        yield from _transaction_index(data)
    elif suffix == ".snapshot":
        yield from _snapshot(data)


def _snapshot_title(offset: str, epoch: str) -> str:
    return f"Snapshot end offset: {int(offset)}, epoch: {int(epoch)}"


def _log(name: str, data: bytes, *, decoder: str) -> Iterator[str]:
    short = name.rpartition("/")[2]
    end = 0
    try:
        for span in batches.spans_in_file(data, short):
            yield from _batch(data, span, decoder=decoder)
            end = span.position + span.size
    except CorruptRecord as error:
        yield f"DumpLogSegments raised org.apache.kafka.common.errors.CorruptRecordException: {error}"
        return
    if end < len(data):
        yield f"Found {len(data) - end} invalid bytes at the end of {short}"


def _batch(data: bytes, span: Span, *, decoder: str) -> Iterator[str]:
    if span.magic < 2:
        for record in old.iterate(data, span.position, span.size):
            yield _record(record, None, "CreateTime", decoder=PLAIN)
        return
    head = batches.header(data, span.position)
    label = "LogAppendTime" if head.attributes & batches.LOG_APPEND_TIME else "CreateTime"
    horizon = head.delete_horizon_ms
    yield (
        f"baseOffset: {head.base_offset} lastOffset: {head.last_offset} count: {head.record_count} "
        f"baseSequence: {head.base_sequence} lastSequence: {head.last_sequence} producerId: {head.producer_id} "
        f"producerEpoch: {head.producer_epoch} partitionLeaderEpoch: {head.leader_epoch} "
        f"isTransactional: {_bool(head.is_transactional)} isControl: {_bool(head.is_control)} "
        f"deleteHorizonMs: {'OptionalLong.empty' if horizon is None else f'OptionalLong[{horizon}]'} "
        f"position: {span.position} {label}: {head.max_timestamp} size: {span.size} magic: {span.magic} "
        f"compresscodec: {compression.NAMES[head.codec]} crc: {head.crc} isvalid: {_bool(_is_valid(data, span))}"
    )
    try:
        for record in iterate_batch(data, span.position):
            yield _record(record, head, label, decoder=decoder)
    except (RecordError, WireError) as error:
        yield f"| records cannot be read: {error}"


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _is_valid(data: bytes, span: Span) -> bool:
    try:
        batches.ensure_valid(data, span.position, span.size)
    except CorruptRecord:
        return False
    return True


def _record(record: Record, head: BatchHeader | None, label: str, *, decoder: str) -> str:
    line = (
        f"| offset: {record.offset} {label}: {record.timestamp} keySize: {_size(record.key)} "
        f"valueSize: {_size(record.value)}"
    )
    if head is not None:
        names = ",".join(name for name, _ in record.headers)
        line += f" sequence: {record.sequence} headerKeys: [{names}]"
        if head.is_control and record.key is not None:
            return line + _control(record.key, record.value or b"")
    if decoder == METADATA:
        return f"{line} payload: {_metadata(record)}"
    if decoder == GROUPS:
        return line + _of_group(record)
    line += "" if record.key is None else f" key: {_text(record.key)}"
    return line + ("" if record.value is None else f" payload: {_text(record.value)}")


def _size(content: bytes | None) -> int:
    return -1 if content is None else len(content)


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def _control(key: bytes, value: bytes) -> str:
    type_ = control.control_type(key)
    if type_ in (control.ABORT, control.COMMIT):
        return f" endTxnMarker: {control.NAMES[type_]} coordinatorEpoch: {control.coordinator_epoch(value)}"
    if type_ not in CONTROL:
        return f" controlType: UNKNOWN({type_})"
    label, cls = CONTROL[type_]
    version = int.from_bytes(value[:2], "big")
    return label + _json(to_json(codec.decode(cls, value, version)[0], version))


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _metadata(record: Record) -> str:
    try:
        value, version = serde.decode(record.value or b"")
    except WireError as error:
        return f"Error at {record.offset}, skipping. {error}"
    type_ = re.sub(r"(?<!^)(?=[A-Z])", "_", type(value).__name__).upper()
    return _json({"type": type_, "version": version, "data": to_json(value, version)})


def _of_group(record: Record) -> str:
    """Kafka: ``OffsetsMessageParser``."""
    if record.key is None:
        return f" Failed to decode message at offset {record.offset} using the specified decoder"
    try:
        key, value, version = groups.decode(record.key, record.value)
    except WireError as error:
        type_ = int.from_bytes(record.key[:2], "big")
        if type_ not in groups.by_type:
            return f" key: Unknown record type {type_} at offset {record.offset}, skipping."
        return f" key: Error at offset {record.offset}, skipping. {error}"
    told = _json({"type": str(about[type(key)].key), "data": to_json(key, 0)})
    if value is None:
        return f" key: {told} payload: <DELETE>"
    return f" key: {told} payload: {_json({'version': str(version), 'data': _group_value(value, version)})}"


def _group_value(value: Any, version: int) -> dict[str, Any]:
    """Of a group of consumers also what they say to each other."""
    found = to_json(value, version)
    if isinstance(value, GroupMetadataValue) and value.protocol_type == consumer_protocol.PROTOCOL_TYPE:
        for member, given in zip(found["members"], value.members, strict=True):
            for field, decode in _BLOBS.items():
                data: bytes = getattr(given, field)
                with contextlib.suppress(WireError):
                    member[field] = to_json(decode(data), int.from_bytes(data[:2], "big"))
    return found


_BLOBS: dict[str, Callable[[bytes], Any]] = {
    "subscription": consumer_protocol.decode_subscription,
    "assignment": consumer_protocol.decode_assignment,
}


def _index(name: str, data: bytes, base_offset: int) -> Iterator[str]:
    if not data:
        yield f"{name} is empty."
        return
    for number, (relative, position) in enumerate(struct.iter_unpack(">ii", data[: len(data) // 8 * 8])):
        if number and not relative:
            return
        yield f"offset: {base_offset + relative} position: {position}"


def _time_index(data: bytes, base_offset: int) -> Iterator[str]:
    for number, (timestamp, relative) in enumerate(struct.iter_unpack(">qi", data[: len(data) // 12 * 12])):
        if number and not relative:
            return
        yield f"timestamp: {timestamp} offset: {base_offset + relative}"


def _transaction_index(data: bytes) -> Iterator[str]:
    for version, producer_id, first, last, stable in struct.iter_unpack(">hqqqq", data[: len(data) // 34 * 34]):
        yield (
            f"version: {version} producerId: {producer_id} firstOffset: {first} lastOffset: {last} "
            f"lastStableOffset: {stable}"
        )


def _snapshot(data: bytes) -> Iterator[str]:
    entries = read_snapshot(data)
    if entries is None:
        yield "Snapshot is corrupt (version, length or CRC)"
        return
    for entry in entries:
        first = entry.current_txn_first_offset
        line = (
            f"producerId: {entry.producer_id} producerEpoch: {entry.epoch} coordinatorEpoch: {entry.coordinator_epoch} "
            f"currentTxnFirstOffset: {'OptionalLong.empty' if first < 0 else f'OptionalLong[{first}]'} "
            f"lastTimestamp: {entry.last_timestamp}"
        )
        for batch in entry.batches:
            line += (
                f" firstSequence: {batch.first_sequence} lastSequence: {batch.last_sequence} "
                f"lastOffset: {batch.last_offset} offsetDelta: {batch.offset_delta} timestamp: {batch.timestamp}"
            )
        yield line
