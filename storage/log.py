"""The log of one replica (Kafka: ``UnifiedLog``): segments, leader epochs, producers, and the offsets that bound it.

Invariants: log start offset <= high watermark <= log end offset; batches are in the order of their offsets; the epoch
of each batch is in the epoch cache. Every replica has a log of its own, which may diverge from the leader's until it
is truncated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import log as facts
from kafsim.protocol.facts.fact import STATE, because
from kafsim.protocol.files import Directory
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records.batch import NO_PRODUCER_ID, BatchHeader
from kafsim.protocol.records.errors import RecordError
from kafsim.protocol.safeguards import Safeguards
from kafsim.storage import validator
from kafsim.storage.leader_epoch_cache import LeaderEpochCache
from kafsim.storage.log_config import LogConfig
from kafsim.storage.producer_state import BatchMetadata, ProducerState, Refused
from kafsim.storage.segment import SNAPSHOT, SWAP, Segment, file_name


class Appended(NamedTuple):
    """What came of an append. With an error nothing was written, and the offsets are -1."""

    base_offset: int
    last_offset: int
    error: int = errors.NONE
    message: str | None = None
    duplicate: bool = False
    log_append_time_ms: int = -1
    record_errors: tuple[tuple[int, str], ...] = ()
    malformed: bool = False
    """It was no batch that a request may carry, and the log has not been asked."""


class Read(NamedTuple):
    """Whole batches from one segment."""

    records: bytes
    error: int = errors.NONE


class UnexpectedOffset(Exception):
    """A follower was handed batches that begin before its log ends; ``first`` and ``last``: their offsets."""

    def __init__(self, message: str, first: int, last: int) -> None:
        super().__init__(message)
        self.first = first
        self.last = last


class Log:
    """``directory`` is the name of its folder, ``orders-0``; made by :func:`kafsim.storage.recovery.load`."""

    def __init__(
        self, directory: str, files: Directory, outbox: Outbox, config: LogConfig, safeguards: Safeguards
    ) -> None:
        self.directory = directory
        self.files = files
        self.outbox = outbox
        self.config = config
        self.safeguards = safeguards
        self.segments: list[Segment] = []
        self.epochs = LeaderEpochCache(files, directory)
        self.producers = ProducerState()
        self.log_start_offset = 0
        self.log_end_offset = 0
        self.high_watermark = 0
        self.is_quiet = False
        """The metadata log: what it says is stated by whoever replays it."""
        self.cleaning: object | None = None
        """The pass that compacts this log now; whoever takes it away gives the pass up."""
        self.on_truncated: Callable[[int], None] = lambda _: None
        """Told the base of the active segment when the log was cut below it."""
        self.on_start_moved: Callable[[], None] = lambda: None
        """Told that records at the start are gone."""
        self.on_cut: Callable[[], None] = lambda: None
        """Told that the log was cut, or replaced by an empty one."""
        self.recovery_point = 0
        """All below it is durable."""
        self.flushed_ms = 0
        """When it was flushed last, or loaded."""
        self.moved: dict[str, Log] = {}
        """Logs whose bounds may differ from their checkpoints; one for all logs of a directory."""

    @property
    def active(self) -> Segment:
        return self.segments[-1]

    @property
    def size(self) -> int:
        """Of all segments, in bytes."""
        return sum(segment.size for segment in self.segments)

    @property
    def latest_epoch(self) -> int:
        return self.epochs.latest

    # ---------------------------------------------------------------------- appending

    def append_as_leader(self, data: bytes, leader_epoch: int, now_ms: int) -> Appended:
        """One batch of a client, at the end of the log and in this leader epoch."""
        batch = validator.only_batch(data)
        if isinstance(batch, Refused):
            return self._refuse(batch)._replace(malformed=True)
        head = batches.header(batch)
        refused = validator.check(batch, head, self.config, now_ms, self.directory)
        if refused is not None:
            return self._refuse(refused)
        converted = validator.convert(batch, head, self.config)
        if isinstance(converted, Refused):
            return self._refuse(converted)
        batch, head = converted, batches.header(converted)
        batch = validator.stamp(batch, head, self.config, now_ms)
        batch = batches.place(batch, self.log_end_offset, leader_epoch)
        head = batches.header(batch)
        if len(batch) > self.config.segment_bytes:
            return self._refuse(Refused(errors.RECORD_LIST_TOO_LARGE, "the batch is larger than a segment"))
        self.epochs.assign(leader_epoch, head.base_offset)
        self._maybe_roll(head, len(batch), now_ms)
        if head.producer_id > NO_PRODUCER_ID:
            known = self.producers.check(head, self.safeguards)
            if isinstance(known, BatchMetadata):
                return self._answer_duplicate(head, known)
            if known is not None:
                return self._refuse(known)
        self._append(batch, head)
        self._maybe_flush(now_ms)
        time = head.max_timestamp if head.attributes & batches.LOG_APPEND_TIME else -1
        return Appended(head.base_offset, head.last_offset, log_append_time_ms=time)

    def append_control(self, batch: bytes, now_ms: int) -> Appended:
        """A batch of our own making (metadata, markers), placed already."""
        head = batches.header(batch)
        assert head.base_offset == self.log_end_offset, f"{head.base_offset} but the log ends at {self.log_end_offset}"
        self.epochs.assign(head.leader_epoch, head.base_offset)
        self._maybe_roll(head, len(batch), now_ms)
        self._append(batch, head)
        return Appended(head.base_offset, head.last_offset)

    def append_as_follower(self, data: bytes, leader_epoch: int, now_ms: int) -> Appended:
        """Batches from the leader, placed already. Those of a newer epoch than the replica knows are left out.

        UnexpectedOffset when they begin before the log ends (KAFKA-18723 for the epochs).
        """
        first, last = -1, -1
        try:
            for span in batches.spans_in_memory(data):
                batch = data[span.position : span.position + span.size]
                head = batches.header(batch)
                if head.leader_epoch > leader_epoch:
                    break
                batches.ensure_valid(batch, 0, span.size)
                if head.base_offset < self.log_end_offset:
                    text = f"{self.directory} ends at {self.log_end_offset}, not {head.base_offset}"
                    raise UnexpectedOffset(text, head.base_offset, head.last_offset)
                self.epochs.assign(head.leader_epoch, head.base_offset)
                self._maybe_roll(head, span.size, now_ms)
                self._append(batch, head)
                first, last = (head.base_offset if first < 0 else first), head.last_offset
        except RecordError as error:
            return self._refuse(Refused(errors.CORRUPT_MESSAGE, str(error)))
        if first >= 0:
            self._maybe_flush(now_ms)
        return Appended(first, last)

    def _maybe_flush(self, now_ms: int) -> None:
        """After so many messages the disk is waited for (``flush.messages``)."""
        if self.log_end_offset - self.recovery_point >= self.config.flush_messages:
            self.flush(now_ms)

    def flush(self, now_ms: int) -> None:
        """Wait until all that is not durable yet is on the disk."""
        if self.recovery_point >= self.log_end_offset:
            return
        for segment in self.segments[self._segment_index(self.recovery_point) :]:
            segment.file.sync()
        self.flushed_ms = now_ms
        self.on_flushed(self.log_end_offset)

    def _append(self, batch: bytes, head: BatchHeader) -> None:
        self.active.append(batch, head)
        self.log_end_offset = head.next_offset
        if head.producer_id > NO_PRODUCER_ID:
            self.producers.update(head)
        self.producers.map_end_offset = head.next_offset
        if self.outbox.heard >= STATE and not self.is_quiet:
            self.outbox.happened(
                facts.RecordsAppended(
                    log=self.directory,
                    base_offset=head.base_offset,
                    last_offset=head.last_offset,
                    epoch=head.leader_epoch,
                    crc=head.crc,
                    producer_id=head.producer_id,
                    producer_epoch=head.producer_epoch,
                    base_sequence=head.base_sequence,
                )
            )

    def _refuse(self, refused: Refused) -> Appended:
        why = because(facts.REFUSED, message=refused.message)
        self.outbox.happened(facts.AppendRefused(log=self.directory, error=errors.name(refused.error), because=why))
        return Appended(-1, -1, refused.error, refused.message, record_errors=refused.record_errors)

    def _answer_duplicate(self, head: BatchHeader, known: BatchMetadata) -> Appended:
        why = because(
            facts.DUPLICATE,
            producer_id=head.producer_id,
            epoch=head.producer_epoch,
            first=head.base_sequence,
            last=head.last_sequence,
            offset=known.first_offset,
        )
        self.outbox.happened(facts.DuplicateFound(log=self.directory, base_offset=known.first_offset, because=why))
        return Appended(known.first_offset, known.last_offset, duplicate=True, log_append_time_ms=known.timestamp)

    def start_epoch(self, leader_epoch: int) -> None:
        """This replica leads from here on; the epoch may stay without records."""
        self.epochs.assign(leader_epoch, self.log_end_offset)
        start = self.log_end_offset
        self.outbox.happened(facts.LeaderEpochStarted(log=self.directory, epoch=leader_epoch, start_offset=start))

    # ------------------------------------------------------------------------ rolling

    def _maybe_roll(self, head: BatchHeader, size: int, now_ms: int) -> None:
        segment = self.active
        if segment.size and self._is_full(segment, head, size, now_ms):
            self.roll(max(head.base_offset, self.log_end_offset), now_ms)

    def _is_full(self, segment: Segment, head: BatchHeader, size: int, now_ms: int) -> bool:
        if segment.size + size > self.config.segment_bytes or head.last_offset - segment.base_offset > 0x7FFF_FFFF:
            return True
        first = segment.first_timestamp
        by_records = first is not None and first >= 0
        waited = head.max_timestamp - (first or 0) if by_records else now_ms - segment.created_ms
        longest = self.config.segment_ms
        return waited > (min(longest, self.config.max_compaction_lag_ms) if self.config.compacts else longest)

    def roll(self, base_offset: int, now_ms: int) -> None:
        """Close the active segment and begin a new one; the old one is flushed, as Kafka does."""
        old = self.active
        old.finish()
        if base_offset > self.producers.last_snapshot_offset:
            self.take_producer_snapshot(base_offset)
        self.segments.append(self._new_segment(base_offset, now_ms))
        self.outbox.flush(old.file, ("rolled", self.directory, base_offset))
        self.outbox.happened(facts.SegmentRolled(log=self.directory, base_offset=base_offset))

    def _new_segment(self, base_offset: int, now_ms: int) -> Segment:
        return Segment(self.files, self.directory, base_offset, self.config.index_interval_bytes, now_ms)

    def on_flushed(self, offset: int) -> None:
        """All below this offset has reached the disk."""
        self.recovery_point = max(self.recovery_point, min(offset, self.log_end_offset))
        self.note_moved()

    def note_moved(self) -> None:
        """Recovery point, log start or first segment changed."""
        self.moved[self.directory] = self

    def take_producer_snapshot(self, offset: int) -> None:
        self.files.replace(file_name(self.directory, offset, SNAPSHOT), self.producers.snapshot())
        self.producers.last_snapshot_offset = offset

    # ------------------------------------------------------------------------ reading

    def read(self, offset: int, max_bytes: int, bound: int, *, at_least_one: bool = True) -> Read:
        """Whole batches from the one that holds ``offset`` on, all below ``bound``, of one segment.

        ``at_least_one``: the first batch may be larger than ``max_bytes``. Beyond the bound there is nothing and no
        error; outside the log OFFSET_OUT_OF_RANGE.
        """
        if offset < self.log_start_offset or offset > self.log_end_offset:
            return Read(b"", errors.OFFSET_OUT_OF_RANGE)
        if offset >= bound:
            return Read(b"")
        for segment in self.segments[self._segment_index(offset) :]:
            first, end = segment.index_of(offset), segment.index_before(bound)
            if first < end:
                return Read(segment.read(first, _limit(segment, first, end, max_bytes, at_least_one=at_least_one)))
        return Read(b"")

    def bytes_between(self, offset: int, bound: int) -> int | None:
        """From the batch that holds an offset to the bound; None when they are in different segments."""
        segment = self.segments[self._segment_index(offset)]
        if self.segments[self._segment_index(bound)] is not segment:
            return None
        first, end = segment.index_of(offset), segment.index_before(bound)
        if first >= end:
            return 0
        last = segment.batches[end - 1]
        return last.position + last.size - segment.batches[first].position

    def _segment_index(self, offset: int) -> int:
        segments = self.segments
        index = len(segments) - 1
        while index and segments[index].base_offset > offset:
            index -= 1
        return index

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """``(epoch, end offset)`` of the largest epoch here that is not above the one asked for."""
        return self.epochs.end_offset_for(epoch, self.log_end_offset)

    def offset_for_timestamp(self, timestamp: int) -> tuple[int, int] | None:
        """``(base offset, timestamp)`` of the first batch that may hold a record of this time or later."""
        for segment in self.segments:
            if segment.max_timestamp >= timestamp:
                for placed in segment.batches:
                    if placed.max_timestamp >= timestamp and placed.last_offset >= self.log_start_offset:
                        return placed.base_offset, placed.max_timestamp
        return None

    # ---------------------------------------------------------------- offsets that bound

    def set_high_watermark(self, offset: int) -> bool:
        """Within the log's bounds; may go down (a follower's does). True when it changed."""
        bounded = min(max(offset, self.log_start_offset), self.log_end_offset)
        changed = bounded != self.high_watermark
        self.high_watermark = bounded
        return changed

    def advance_log_start(self, offset: int) -> bool:
        """Records below are no longer readable; their segments go at the next retention."""
        if offset <= self.log_start_offset:
            return False
        self.log_start_offset = offset
        self.recovery_point = max(self.recovery_point, offset)
        self.high_watermark = max(self.high_watermark, offset)
        self.epochs.truncate_from_start(offset)
        self.note_moved()
        self.outbox.happened(facts.LogStartAdvanced(log=self.directory, to=offset))
        self.on_start_moved()
        return True

    # ----------------------------------------------------------------------- truncating

    def truncate_to(self, offset: int, now_ms: int) -> bool:
        """Everything from this offset on is gone. True when something was."""
        assert offset >= 0, f"offset {offset}"
        if offset >= self.log_end_offset:
            # An epoch that this replica led without writing anything may still be noted at the very end.
            self.epochs.truncate_from_end(self.log_end_offset)
            return False
        if self.segments[0].base_offset > offset:
            self.replace_all(offset, now_ms)
            return True
        was, below = self.log_end_offset, offset < self.active.base_offset
        while self.active.base_offset > offset:
            self.segments.pop().delete()
        if below:
            self.cleaning = None
            self.on_truncated(self.active.base_offset)
        self.active.truncate(offset)
        self.log_end_offset = offset
        self.recovery_point = min(self.recovery_point, offset)
        self.log_start_offset = min(self.log_start_offset, offset)
        self.high_watermark = min(self.high_watermark, offset)
        self.epochs.truncate_from_end(offset)
        self.note_moved()
        self.rebuild_producers(offset, now_ms)
        self.outbox.happened(facts.LogTruncated(log=self.directory, to=offset, was=was))
        self.on_cut()
        return True

    def replace_all(self, offset: int, now_ms: int) -> None:
        """An empty log that begins at this offset (Kafka: ``truncateFullyAndStartAt``)."""
        was = self.log_end_offset
        self.cleaning = None
        for segment in self.segments:
            segment.delete()
        self._delete_snapshots(lambda _: True)
        self.segments = [self._new_segment(offset, now_ms)]
        self.log_start_offset = self.log_end_offset = self.high_watermark = self.recovery_point = offset
        self.epochs.clear()
        self.note_moved()
        self.producers.clear(offset)
        self.producers.last_snapshot_offset = -1
        self.outbox.happened(facts.LogReplaced(log=self.directory, at=offset, was=was))
        self.on_cut()

    def replace_segments(self, old: list[Segment], new: Segment) -> None:
        """A compacted segment takes the place of those it was made of (Kafka: ``LocalLog.replaceSegments``)."""
        new.rename(SWAP)
        first = self.segments.index(old[0])
        self.segments[first : first + len(old)] = [new]
        for segment in old:
            segment.delete(keep_snapshot=segment.base_offset == new.base_offset)
        new.rename("")
        self.note_moved()

    # ---------------------------------------------------------------------- producer state

    def rebuild_producers(self, offset: int, now_ms: int) -> None:
        """Producers as of an offset: the newest snapshot not beyond it, and the batches after that."""
        self._delete_snapshots(lambda at: at > offset or at <= self.log_start_offset)
        self.producers.clear(self.log_start_offset)
        for at in sorted(self.snapshot_offsets(), reverse=True):
            file = self.files.get(file_name(self.directory, at, SNAPSHOT))
            if file and self.producers.load(file.read(), at, now_ms, self.config.producer_id_expiration_ms):
                break
            self.files.delete(file_name(self.directory, at, SNAPSHOT))
        self._replay_producers(self.producers.map_end_offset, offset)
        self.producers.map_end_offset = offset
        if offset > self.producers.last_snapshot_offset and self.producers.entries:
            self.take_producer_snapshot(offset)

    def _replay_producers(self, start: int, end: int) -> None:
        for segment in self.segments:
            for placed in segment.batches:
                if start <= placed.base_offset < end:
                    head = batches.header(segment.file.read(placed.position, batches.OVERHEAD))
                    if head.producer_id > NO_PRODUCER_ID:
                        self.producers.update(head)

    def snapshot_offsets(self) -> list[int]:
        names = self.files.names(f"{self.directory}/")
        return [int(n.rpartition("/")[2].removesuffix(SNAPSHOT)) for n in names if n.endswith(SNAPSHOT)]

    def _delete_snapshots(self, unwanted: Callable[[int], bool]) -> None:
        for at in self.snapshot_offsets():
            if unwanted(at):
                self.files.delete(file_name(self.directory, at, SNAPSHOT))

    # -------------------------------------------------------------------------- closing

    def close(self) -> None:
        """A clean stop: everything flushed, a snapshot at the end. The caller waits for the flush."""
        self.active.finish()
        if self.log_end_offset > self.producers.last_snapshot_offset:
            self.take_producer_snapshot(self.log_end_offset)
        for segment in self.segments:
            if segment.next_offset > self.recovery_point:
                self.outbox.flush(segment.file)
        self.recovery_point = self.log_end_offset
        self.note_moved()


def _limit(segment: Segment, first: int, end: int, max_bytes: int, *, at_least_one: bool) -> int:
    """How many of the batches from ``first`` to ``end`` fit."""
    placed = segment.batches
    start = placed[first].position
    last = placed[end - 1]
    if last.position + last.size - start <= max_bytes:
        return end
    fits = first
    while fits < end and placed[fits].position + placed[fits].size - start <= max_bytes:
        fits += 1
    return fits if fits > first or not at_least_one else first + 1
