"""Which log is compacted next, and the pass over it, step by step (Kafka: ``LogCleaner``, ``LogCleanerManager``).

Every ``log.cleaner.backoff.ms`` the log with the largest dirty ratio is taken, if any is above its
``min.cleanable.dirty.ratio``; after a pass the next one is looked for at once. Only closed segments below the high
watermark are compacted. A group of segments is copied into ``.cleaned`` files; when those are on the disk they take the
place of the old ones by renames that recovery understands wherever it finds them cut short. A truncation below the
active segment gives the pass up.
"""

from __future__ import annotations

from typing import Any

import attrs

from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import log as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.records import batch as batches
from kafsim.protocol.types import TopicPartition
from kafsim.storage import cleaner
from kafsim.storage.cleaner import ENTRY_BYTES, Pass, Range
from kafsim.storage.log import Log
from kafsim.storage.log_directory import OffsetCheckpoint
from kafsim.storage.log_manager import LogManager
from kafsim.storage.retention import delete_old_segments
from kafsim.storage.segment import CLEANED, Segment


@attrs.define
class Cleaning:
    """A pass under way."""

    tp: TopicPartition
    log: Log
    dirty: Range
    groups: list[list[Segment]]
    given: Pass
    ratio: float
    before: int
    result: Segment | None = None
    """What waits for the disk."""


class LogCleaner:
    """``settings``: of the broker."""

    def __init__(self, outbox: Outbox, logs: LogManager, settings: dict[str, Any]) -> None:
        self._outbox = outbox
        self._logs = logs
        slots = settings["log.cleaner.dedupe.buffer.size"] // ENTRY_BYTES
        self._limit = int(slots * settings["log.cleaner.io.buffer.load.factor"])
        self.compacted: dict[TopicPartition, Log] = {}
        """Logs whose topic is compacted; the others cost nothing here."""
        self._current: Cleaning | None = None

    def note(self, tp: TopicPartition, log: Log) -> None:
        """A log is there, or its settings have changed."""
        if log.config.compacts:
            self.compacted[tp] = log
            log.on_truncated = lambda base: self._lower(tp, base)
            return
        self.compacted.pop(tp, None)
        log.cleaning = None

    def pause(self, tp: TopicPartition) -> None:
        """Until the next word on this log it is not compacted."""
        log = self.compacted.pop(tp, None)
        if log is not None:
            log.cleaning = None

    def forget(self, tp: TopicPartition) -> None:
        log = self.compacted.pop(tp, None)
        if log is not None:
            log.cleaning = None
            self._checkpoint(log).forget(tp)

    def _checkpoint(self, log: Log) -> OffsetCheckpoint:
        return self._logs.directory_of(log).first_dirty

    def _lower(self, tp: TopicPartition, active_base: int) -> None:
        """A log was cut below its active segment: what follows is dirty again."""
        checkpoint = self._checkpoint(self.compacted[tp])
        if checkpoint.offsets.get(tp, 0) > active_base:
            checkpoint.put(tp, active_base)
            checkpoint.write()

    def run(self, now_ms: int) -> None:
        """The pause is over: begin a pass, or go on waiting; then retention of the compacted logs."""
        if self._current is not None and self._current.log.cleaning is self._current:
            return
        self._current = None
        chosen = self._filthiest(now_ms)
        if chosen is not None:
            self._begin(now_ms, *chosen)
        for log in self.compacted.values():
            if log.cleaning is None and (len(log.segments) > 1 or log.segments[0].size):
                delete_old_segments(log, now_ms)

    # ---------------------------------------------------------------------- choosing

    def _filthiest(self, now_ms: int) -> tuple[TopicPartition, Range, float] | None:
        best: tuple[TopicPartition, Range, float] | None = None
        for tp, log in self.compacted.items():
            dirty = Range(self._first_dirty(tp, log), 0)
            dirty = Range(dirty.first_dirty, self._first_uncleanable(log, dirty.first_dirty, now_ms))
            clean, cleanable = _sizes(log, dirty)
            if not cleanable:
                continue
            ratio = cleanable / (clean + cleanable)
            late = _is_late(log, dirty.first_dirty, now_ms)
            if (ratio > log.config.min_cleanable_dirty_ratio or late) and (best is None or ratio > best[2]):
                best = (tp, dirty, ratio)
        return best

    def _first_dirty(self, tp: TopicPartition, log: Log) -> int:
        checkpoint = self._checkpoint(log)
        known = checkpoint.offsets.get(tp)
        if known is None or known < log.log_start_offset or known > log.log_end_offset:
            if known is not None:
                checkpoint.put(tp, log.log_start_offset)
                checkpoint.write()
            return log.log_start_offset
        return known

    def _first_uncleanable(self, log: Log, first_dirty: int, now_ms: int) -> int:
        """Rounded down to the base of a segment: below the high watermark, the active segment and the least lag."""
        bound = min(log.high_watermark, log.active.base_offset)
        lag = log.config.min_compaction_lag_ms
        if lag > 0:
            young = [s for s in cleaner.segments_from(log, first_dirty)[:-1] if s.max_timestamp > now_ms - lag]
            bound = min(bound, young[0].base_offset) if young else bound
        bound = max(first_dirty, bound)
        bases = [segment.base_offset for segment in log.segments if segment.base_offset <= bound]
        return bases[-1] if bases else log.segments[0].base_offset

    # ------------------------------------------------------------------------- a pass

    def _begin(self, now_ms: int, tp: TopicPartition, dirty: Range, ratio: float) -> None:
        log = self.compacted[tp]
        offsets = cleaner.build_offset_map(log, dirty, self._limit)
        given = Pass(
            map=offsets,
            first_uncleanable=dirty.first_uncleanable,
            now_ms=now_ms,
            delete_retention_ms=log.config.delete_retention_ms,
            last_of_producers={
                entry.producer_id: entry.batches[-1].last_offset
                for entry in log.producers.entries.values()
                if entry.batches
            },
        )
        made = cleaner.groups(log, offsets.end, dirty.first_uncleanable)
        self._current = log.cleaning = Cleaning(tp, log, dirty, made, given, ratio, log.size)
        self._next_group()

    def _next_group(self) -> None:
        current = self._current
        assert current is not None, "no pass"
        log, group = current.log, current.groups[0]
        for suffix in (".log", ".index", ".timeindex"):
            name = f"{log.directory}/{group[0].base_offset:020}{suffix}{CLEANED}"
            if log.files.get(name) is not None:
                log.files.delete(name)
        result = Segment(
            log.files,
            log.directory,
            group[0].base_offset,
            log.config.index_interval_bytes,
            group[-1].created_ms,
            suffix=CLEANED,
        )
        for segment in group:
            for head, data in cleaner.batches_of(segment):
                kept = cleaner.clean_batch(head, data, current.given)
                if kept:
                    result.append(kept, batches.header(kept))
        result.finish()
        current.result = result
        self._outbox.flush(result.file, ("cleaned", log.directory, result.base_offset))

    def on_flushed(self, directory: str, base_offset: int, now_ms: int) -> None:
        """A cleaned segment is on the disk: it takes its place, unless the pass was given up meanwhile."""
        current = self._current
        if current is None or current.result is None or current.log.directory != directory:
            return
        result, current.result = current.result, None
        if current.log.cleaning is not current or result.base_offset != base_offset:
            result.delete()
            self._current = None
            return
        current.log.replace_segments(current.groups.pop(0), result)
        if current.groups:
            self._next_group()
        else:
            self._end(current)
            self.run(now_ms)

    def _end(self, current: Cleaning) -> None:
        log, end = current.log, current.given.map.end
        log.cleaning = self._current = None
        checkpoint = self._checkpoint(log)
        checkpoint.put(current.tp, end)
        checkpoint.write()
        why = because(
            facts.DIRTY,
            ratio=f"{current.ratio:.3f}",
            least=str(log.config.min_cleanable_dirty_ratio),
            first=current.dirty[0],
        )
        log.outbox.happened(
            facts.LogCompacted(log=log.directory, to=end, before=current.before, after=log.size, because=why)
        )


def _sizes(log: Log, dirty: Range) -> tuple[int, int]:
    """Clean and cleanable bytes; the segment with the first dirty offset counts as both (Kafka: ``LogToClean``)."""
    clean = sum(s.size for s in log.segments if s.base_offset < dirty.first_dirty)
    part = [s for s in cleaner.segments_from(log, dirty.first_dirty) if s.base_offset < dirty.first_uncleanable]
    return clean, sum(segment.size for segment in part)


def _is_late(log: Log, first_dirty: int, now_ms: int) -> bool:
    """Is there a dirty record older than max.compaction.lag.ms?"""
    firsts = [s.first_timestamp for s in cleaner.segments_from(log, first_dirty)[:-1] if s is not log.active]
    oldest = min((stamp for stamp in firsts if stamp is not None and stamp > 0), default=None)
    return oldest is not None and oldest < now_ms - log.config.max_compaction_lag_ms
