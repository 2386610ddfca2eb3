"""Deleting old segments: by log start offset, by size, by time (Kafka: ``UnifiedLog.deleteOldSegments``).

Each pass walks from the oldest segment and stops at the first that stays. A segment above the high watermark always
stays, so a lagging high watermark protects data.
"""

from __future__ import annotations

from collections.abc import Callable

from kafsim.protocol.facts import log as facts
from kafsim.protocol.facts.fact import Because, because
from kafsim.storage.log import Log
from kafsim.storage.segment import Segment

Reason = Callable[[Segment, Segment | None], Because | None]
"""Why a segment may go, given the one after it; None when it stays."""


def delete_old_segments(log: Log, now_ms: int) -> int:
    """Returns how many segments went."""
    deleted = _delete(log, _below_log_start(log), now_ms)
    if log.config.deletes:
        deleted += _delete(log, _beyond_size(log), now_ms)
        deleted += _delete(log, _beyond_time(log, now_ms), now_ms)
    return deleted


def _delete(log: Log, reason: Reason, now_ms: int) -> int:
    doomed: list[tuple[Segment, Because]] = []
    for index, segment in enumerate(log.segments):
        following = log.segments[index + 1] if index + 1 < len(log.segments) else None
        upper = following.base_offset if following else log.log_end_offset
        why = reason(segment, following) if log.high_watermark >= upper else None
        if why is None or (following is None and not segment.size):
            break
        doomed.append((segment, why))
    if not doomed:
        return 0
    if len(doomed) == len(log.segments):
        log.roll(log.log_end_offset, now_ms)
    del log.segments[: len(doomed)]
    for segment, why in doomed:
        segment.delete()
        log.outbox.happened(facts.SegmentDeleted(log=log.directory, base_offset=segment.base_offset, because=why))
    log.advance_log_start(log.segments[0].base_offset)
    log.note_moved()
    return len(doomed)


def _below_log_start(log: Log) -> Reason:
    def reason(_: Segment, following: Segment | None) -> Because | None:
        if following is None or following.base_offset > log.log_start_offset:
            return None
        return because(facts.RETENTION_START, log_start_offset=log.log_start_offset)

    return reason


def _beyond_size(log: Log) -> Reason:
    limit, size = log.config.retention_bytes, log.size
    surplus = size - limit

    def reason(segment: Segment, _: Segment | None) -> Because | None:
        nonlocal surplus
        if limit < 0 or size < limit or surplus < segment.size:
            return None
        surplus -= segment.size
        return because(facts.RETENTION_SIZE, size=size, rest=limit + surplus, retention_bytes=limit)

    return reason


def _beyond_time(log: Log, now_ms: int) -> Reason:
    limit = log.config.retention_ms

    def reason(segment: Segment, _: Segment | None) -> Because | None:
        newest = segment.max_timestamp if segment.max_timestamp >= 0 else segment.created_ms
        if limit < 0 or now_ms - newest <= limit:
            return None
        return because(facts.RETENTION_TIME, age_ms=now_ms - newest, retention_ms=limit)

    return reason
