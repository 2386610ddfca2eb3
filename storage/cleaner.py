"""Compaction of one log: which batches and records stay, and what becomes of the batches (Kafka: ``Cleaner``).

A pass maps the keys of the dirty part to their last offsets, then copies the log from its first segment on, a group of
segments into one, leaving out records that a later one of the same key replaces. Batches are never merged and offsets
never change. A tombstone gets a delete horizon with the first pass that copies it: kept in its batch in place of the
base timestamp; a pass after that time leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import attrs

from kafsim.protocol.records import batch as batches
from kafsim.protocol.records import compression
from kafsim.protocol.records.batch import DELETE_HORIZON, LOG_APPEND_TIME, NO_TIMESTAMP, BatchHeader, write_header
from kafsim.protocol.records.record import Record, decode_batch, encode_record
from kafsim.storage.log import Log
from kafsim.storage.segment import Segment

ENTRY_BYTES = 24
"""Of the offset map: 16 of an MD5 and 8 of an offset."""
MOST_RELATIVE = 0x7FFF_FFFF


class Range(NamedTuple):
    """The dirty part: from ``first_dirty`` to ``first_uncleanable``, which is the base of a segment."""

    first_dirty: int
    first_uncleanable: int


@attrs.define
class OffsetMap:
    """The last offset of each key; ``end``: all below it has been looked at."""

    offsets: dict[bytes, int]
    end: int
    is_full: bool = False


def build_offset_map(log: Log, dirty: Range, limit: int) -> OffsetMap:
    """Keys in the dirty part, as many as there is room for (Kafka: ``buildOffsetMap``)."""
    found = OffsetMap({}, dirty.first_dirty)
    for segment in segments_from(log, dirty.first_dirty):
        if segment.base_offset >= dirty.first_uncleanable:
            break
        for head, data in batches_of(segment):
            if head.last_offset < dirty.first_dirty:
                continue
            if not head.is_control and not _map_batch(found, data, dirty.first_dirty, limit):
                return found
            found.end = head.last_offset + 1
    found.end = dirty.first_uncleanable
    return found


def _map_batch(found: OffsetMap, data: bytes, first: int, limit: int) -> bool:
    """False when there is no more room."""
    for record in decode_batch(data):
        if record.key is None or record.offset < first:
            continue
        if len(found.offsets) >= limit:
            found.is_full = True
            return False
        found.offsets[record.key] = record.offset
        found.end = record.offset + 1
    return True


def segments_from(log: Log, offset: int) -> list[Segment]:
    """The segments from the one that contains an offset on."""
    segments = log.segments
    first = max((i for i, segment in enumerate(segments) if segment.base_offset <= offset), default=0)
    return segments[first:]


def batches_of(segment: Segment) -> Iterator[tuple[BatchHeader, bytes]]:
    for placed in segment.batches:
        data = segment.file.read(placed.position, placed.size)
        yield batches.header(data), data


def groups(log: Log, end: int, bound: int) -> list[list[Segment]]:
    """Segments below ``end`` that become one each (Kafka: ``groupSegmentsBySize``)."""
    made: list[list[Segment]] = []
    candidates = [segment for segment in log.segments if segment.base_offset < end]
    for number, segment in enumerate(candidates):
        following = candidates[number + 1].base_offset if number + 1 < len(candidates) else bound
        group = made[-1] if made else []
        size = sum(one.size for one in group) + segment.size
        fits = group and size <= log.config.segment_bytes
        near = not segment.size or (bool(group) and following - 1 - group[0].base_offset <= MOST_RELATIVE)
        if fits and near:
            group.append(segment)
        else:
            made.append([segment])
    return made


# ------------------------------------------------------------------------------ retention


@attrs.frozen(kw_only=True)
class Pass:
    """What decides about batches in one pass; ``now_ms`` is the wall clock at its start."""

    map: OffsetMap
    first_uncleanable: int
    now_ms: int
    delete_retention_ms: int
    last_of_producers: dict[int, int]
    """The last offset of each producer that is not expired."""


def clean_batch(head: BatchHeader, data: bytes, given: Pass) -> bytes:
    """The batch as it goes on: unchanged, rebuilt, as an empty header, or nothing."""
    if head.is_control:
        return data
    records = decode_batch(data)
    horizon = head.base_timestamp if head.attributes & DELETE_HORIZON else None
    kept = [record for record in records if _stays(record, horizon, given)]
    if not kept:
        return _empty(head) if _keeps_header(head, given) else b""
    new_horizon = None
    if horizon is None and any(record.value is None for record in kept):
        new_horizon = given.now_ms + given.delete_retention_ms
        new_horizon = new_horizon if new_horizon <= MOST_LONG else None
    if len(kept) == len(records) and new_horizon is None:
        return data
    return _rebuild(head, kept, horizon if new_horizon is None else new_horizon)


MOST_LONG = 0x7FFF_FFFF_FFFF_FFFF


def _stays(record: Record, horizon: int | None, given: Pass) -> bool:
    if record.offset >= given.map.end:
        return True
    if record.key is None or record.offset < given.map.offsets.get(record.key, -1):
        return False
    return record.value is not None or horizon is None or given.now_ms < horizon


def _keeps_header(head: BatchHeader, given: Pass) -> bool:
    """The last batch of a producer tells its sequence; the last one of the cleaned part tells where that ends."""
    last = given.last_of_producers.get(head.producer_id)
    return (head.producer_id >= 0 and last == head.last_offset) or head.last_offset + 1 == given.first_uncleanable


def _empty(head: BatchHeader) -> bytes:
    return write_header(
        b"",
        record_count=0,
        last_offset_delta=head.last_offset_delta,
        base_timestamp=NO_TIMESTAMP,
        max_timestamp=head.max_timestamp,
        attributes=head.attributes & ~DELETE_HORIZON & ~compression.MASK,
        **_identity(head),
    )


def _rebuild(head: BatchHeader, kept: list[Record], horizon: int | None) -> bytes:
    base = kept[0].timestamp if horizon is None else horizon
    body = b"".join(
        encode_record(r.timestamp - base, r.offset - head.base_offset, r.key, r.value, r.headers) for r in kept
    )
    by_append = head.attributes & LOG_APPEND_TIME
    attributes = head.attributes & ~DELETE_HORIZON | (0 if horizon is None else DELETE_HORIZON)
    return write_header(
        compression.compress(head.codec, body) if head.codec else body,
        record_count=len(kept),
        last_offset_delta=head.last_offset_delta,
        base_timestamp=base,
        max_timestamp=head.max_timestamp if by_append else max(record.timestamp for record in kept),
        attributes=attributes,
        **_identity(head),
    )


def _identity(head: BatchHeader) -> dict[str, int]:
    return {
        "base_offset": head.base_offset,
        "leader_epoch": head.leader_epoch,
        "producer_id": head.producer_id,
        "producer_epoch": head.producer_epoch,
        "base_sequence": head.base_sequence,
    }
