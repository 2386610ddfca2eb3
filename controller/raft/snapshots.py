"""Snapshots of the metadata: files ``<end offset>-<epoch>.checkpoint`` of ordinary batches (Kafka: ``Snapshots``).

The first batch holds the header (and, with kraft.version 1, the version and the voters), the last one the footer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from kafsim.controller.raft.voter_set import VoterSet
from kafsim.protocol.metadata import serde
from kafsim.protocol.metadata.control_records import (
    KRaftVersionRecord,
    LeaderChangeMessage,
    SnapshotFooterRecord,
    SnapshotHeaderRecord,
    VotersRecord,
)
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records import control
from kafsim.protocol.records.record import BatchBuilder, decode_batch
from kafsim.protocol.wire import codec

SUFFIX = ".checkpoint"
BATCH_BYTES = 1_048_576

CONTROL_TYPES: dict[type, int] = {
    LeaderChangeMessage: control.LEADER_CHANGE,
    SnapshotHeaderRecord: control.SNAPSHOT_HEADER,
    SnapshotFooterRecord: control.SNAPSHOT_FOOTER,
    KRaftVersionRecord: control.KRAFT_VERSION,
    VotersRecord: control.KRAFT_VOTERS,
}
_CLASSES = {type_: cls for cls, type_ in CONTROL_TYPES.items()}


class OffsetAndEpoch(NamedTuple):
    """The end of a log or a snapshot; the larger epoch is the larger one, as Kafka compares them."""

    epoch: int
    offset: int


BOOTSTRAP = OffsetAndEpoch(0, 0)
"""The snapshot that a controller's disk is formatted with in a cluster of dynamic voters: it has the first voters."""


def file_name(id_: OffsetAndEpoch) -> str:
    return f"{id_.offset:020}-{id_.epoch:010}{SUFFIX}"


def parse_name(name: str) -> OffsetAndEpoch | None:
    """The id in a file's name; None for any other file."""
    stem = name.rpartition("/")[2].removesuffix(SUFFIX)
    offset, dash, epoch = stem.partition("-")
    if not name.endswith(SUFFIX) or not dash or not offset.isdigit() or not epoch.isdigit():
        return None
    return OffsetAndEpoch(int(epoch), int(offset))


def control_batch(records: Iterable[Any], *, base_offset: int, epoch: int, timestamp: int) -> bytes:
    """Control records, in one batch."""
    builder = BatchBuilder()
    for record in records:
        builder.append(timestamp, control.control_key(CONTROL_TYPES[type(record)]), codec.encode(record, 0))
    return builder.close(base_offset=base_offset, leader_epoch=epoch, attributes=batches.CONTROL)


class Decoded(NamedTuple):
    """One record of the metadata log or a snapshot; ``control``: it is a control record."""

    offset: int
    record: Any
    control: bool


def decode(data: bytes) -> Iterator[Decoded]:
    """All records in some batches, those of control batches too where they are known."""
    for span in batches.spans_in_memory(data):
        is_control = batches.header(data, span.position).is_control
        for record in decode_batch(data, span.position):
            assert record.value is not None, "a metadata record has a value"
            if not is_control:
                yield Decoded(record.offset, serde.decode(record.value)[0], control=False)
                continue
            cls = _CLASSES.get(control.control_type(record.key or b""))
            if cls is not None:
                yield Decoded(record.offset, codec.decode(cls, record.value, 0, 0)[0], control=True)


def encode(
    records: Iterable[Any], id_: OffsetAndEpoch, *, voters: VoterSet | None, wall_ms: int, last_contained_ms: int
) -> bytes:
    """A whole snapshot. ``voters``: those of a quorum with kraft.version 1."""
    head: list[Any] = [SnapshotHeaderRecord(last_contained_log_timestamp=last_contained_ms)]
    if voters is not None:
        head += [KRaftVersionRecord(k_raft_version=1), voters.to_record()]
    parts = [control_batch(head, base_offset=0, epoch=id_.epoch, timestamp=wall_ms)]
    offset, builder, size = len(head), BatchBuilder(), 0
    for record in records:
        value = serde.encode(record)
        if builder.count and size + len(value) > BATCH_BYTES:
            parts.append(builder.close(base_offset=offset, leader_epoch=id_.epoch))
            offset, builder, size = offset + builder.count, BatchBuilder(), 0
        builder.append(wall_ms, None, value)
        size += len(value)
    if builder.count:
        parts.append(builder.close(base_offset=offset, leader_epoch=id_.epoch))
        offset += builder.count
    parts.append(control_batch([SnapshotFooterRecord()], base_offset=offset, epoch=id_.epoch, timestamp=wall_ms))
    return b"".join(parts)


def last_contained_timestamp(data: bytes) -> int:
    """Of the last record in the log that a snapshot holds."""
    header = next(decode(data)).record
    assert isinstance(header, SnapshotHeaderRecord), "a snapshot begins with its header"
    return header.last_contained_log_timestamp
