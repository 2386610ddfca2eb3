"""What a log knows of the producers that wrote to it (Kafka: ``ProducerStateManager``, ``ProducerAppendInfo``).

For each producer id the last five batches: a batch with exactly the same epoch and sequences is a duplicate and is
answered from here; any other batch must follow the last one without a gap.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable

import attrs
from google_crc32c import value as crc32c

from kafsim.protocol import errors
from kafsim.protocol.records.batch import BatchHeader, decrement_sequence
from kafsim.protocol.safeguards import Safeguards

KEPT_BATCHES = 5
NO_OFFSET = -1
_VERSION = 1
_ENTRY = struct.Struct(">qhiqiqiq")
_SNAPSHOT_HEAD = struct.Struct(">hIi")
LAST_SEQUENCE = 0x7FFF_FFFF


@attrs.frozen
class BatchMetadata:
    """One batch as far as duplicates need it."""

    last_sequence: int
    last_offset: int
    offset_delta: int
    timestamp: int

    @property
    def first_sequence(self) -> int:
        return decrement_sequence(self.last_sequence, self.offset_delta)

    @property
    def first_offset(self) -> int:
        return self.last_offset - self.offset_delta


@attrs.define
class ProducerEntry:
    """One producer id."""

    producer_id: int
    epoch: int
    last_timestamp: int = -1
    coordinator_epoch: int = -1
    current_txn_first_offset: int = NO_OFFSET
    batches: deque[BatchMetadata] = attrs.field(factory=lambda: deque(maxlen=KEPT_BATCHES))

    @property
    def last_sequence(self) -> int:
        return self.batches[-1].last_sequence if self.batches else -1

    def duplicate_of(self, head: BatchHeader) -> BatchMetadata | None:
        if head.producer_epoch != self.epoch:
            return None
        last = head.last_sequence
        for batch in self.batches:
            if batch.last_sequence == last and batch.first_sequence == head.base_sequence:
                return batch
        return None

    def add(self, head: BatchHeader) -> None:
        """Take a batch at its place in the log."""
        if head.producer_epoch != self.epoch:
            self.epoch = head.producer_epoch
            self.batches.clear()
        self.batches.append(
            BatchMetadata(head.last_sequence, head.last_offset, head.last_offset_delta, head.max_timestamp)
        )
        self.last_timestamp = head.max_timestamp


@attrs.frozen
class Refused:
    """Why a batch may not be appended, in the values that decided."""

    error: int
    message: str
    record_errors: tuple[tuple[int, str], ...] = ()
    """Which records are wrong, and why, by their number in the batch."""


class ProducerState:
    """All producers of one log, and how far into the log that is true."""

    __slots__ = ("entries", "last_snapshot_offset", "map_end_offset")

    def __init__(self) -> None:
        self.entries: dict[int, ProducerEntry] = {}
        self.map_end_offset = 0
        self.last_snapshot_offset = -1

    def check(self, head: BatchHeader, safeguards: Safeguards) -> BatchMetadata | Refused | None:
        """What a leader makes of a batch with a producer id: a duplicate, a refusal, or None to append it."""
        entry = self.entries.get(head.producer_id)
        if entry is None or not safeguards.check_producer_sequences:
            return None
        duplicate = entry.duplicate_of(head)
        return duplicate if duplicate is not None else _check_sequence(entry, head)

    def update(self, head: BatchHeader) -> None:
        """Replay a batch that is in the log."""
        entry = self.entries.get(head.producer_id)
        if entry is None:
            entry = self.entries[head.producer_id] = ProducerEntry(head.producer_id, head.producer_epoch)
        if head.is_control:
            if entry.epoch != head.producer_epoch:
                entry.epoch = head.producer_epoch
                entry.batches.clear()
            entry.last_timestamp = head.max_timestamp
            entry.current_txn_first_offset = NO_OFFSET
            return
        entry.add(head)
        if head.is_transactional and entry.current_txn_first_offset == NO_OFFSET:
            entry.current_txn_first_offset = head.base_offset

    def expire(self, now_ms: int, expiration_ms: int) -> None:
        """Forget producers that have not written for so long."""
        for producer_id, entry in list(self.entries.items()):
            if entry.current_txn_first_offset == NO_OFFSET and now_ms - entry.last_timestamp >= expiration_ms:
                del self.entries[producer_id]

    def clear(self, map_end_offset: int) -> None:
        self.entries.clear()
        self.map_end_offset = map_end_offset

    def snapshot(self) -> bytes:
        """The file ``<offset>.snapshot``: one batch for each producer, so the window is one after a reload."""
        body = b"".join(_pack(self.entries[pid]) for pid in java_hash_map_order(self.entries))
        count = struct.pack(">i", len(self.entries))
        return _SNAPSHOT_HEAD.pack(_VERSION, crc32c(count + body), len(self.entries)) + body

    def load(self, snapshot: bytes, offset: int, now_ms: int, expiration_ms: int) -> bool:
        """Take what a snapshot holds; False for one that is damaged."""
        entries = read_snapshot(snapshot)
        if entries is None:
            return False
        self.entries = {entry.producer_id: entry for entry in entries}
        self.expire(now_ms, expiration_ms)
        self.map_end_offset = self.last_snapshot_offset = offset
        return True


def _check_sequence(entry: ProducerEntry, head: BatchHeader) -> Refused | None:
    if head.producer_epoch < entry.epoch:
        return Refused(
            errors.INVALID_PRODUCER_EPOCH,
            f"producer {head.producer_id} sent epoch {head.producer_epoch}, the last one seen is {entry.epoch}",
        )
    first, last = head.base_sequence, entry.last_sequence
    if head.producer_epoch != entry.epoch:
        if first == 0 or entry.epoch == -1:
            return None
        return Refused(
            errors.OUT_OF_ORDER_SEQUENCE_NUMBER,
            f"producer {head.producer_id} began epoch {head.producer_epoch} at sequence {first} instead of 0",
        )
    if first == last + 1 or (first == 0 and last == LAST_SEQUENCE):
        return None
    return Refused(
        errors.OUT_OF_ORDER_SEQUENCE_NUMBER,
        f"producer {head.producer_id} sent sequence {first} after {last}",
    )


def _pack(entry: ProducerEntry) -> bytes:
    newest = entry.batches[-1] if entry.batches else None
    return _ENTRY.pack(
        entry.producer_id,
        entry.epoch,
        newest.last_sequence if newest else -1,
        newest.last_offset if newest else -1,
        newest.offset_delta if newest else 0,
        entry.last_timestamp,
        entry.coordinator_epoch,
        entry.current_txn_first_offset,
    )


def read_snapshot(data: bytes) -> list[ProducerEntry] | None:
    """The entries in a snapshot file, None when its version, CRC or length is wrong."""
    if len(data) < _SNAPSHOT_HEAD.size:
        return None
    version, crc, count = _SNAPSHOT_HEAD.unpack_from(data)
    if version != _VERSION or crc != crc32c(data[6:]) or len(data) != _SNAPSHOT_HEAD.size + count * _ENTRY.size:
        return None
    return [_unpack(fields) for fields in _ENTRY.iter_unpack(data[_SNAPSHOT_HEAD.size :])]


def _unpack(fields: tuple[int, ...]) -> ProducerEntry:
    producer_id, epoch, last_sequence, last_offset, delta, timestamp, coordinator_epoch, first = fields
    entry = ProducerEntry(producer_id, epoch, timestamp, coordinator_epoch, first)
    if last_offset >= 0:
        entry.batches.append(BatchMetadata(last_sequence, last_offset, delta, timestamp))
    return entry


def java_hash_map_order(keys: Iterable[int]) -> list[int]:
    """The order in which a Java ``HashMap<Long, ...>`` is walked: by bucket, then by insertion."""
    listed = list(keys)
    capacity = 16
    while len(listed) > capacity * 3 // 4:
        capacity *= 2

    def bucket(key: int) -> int:
        low = (key ^ key >> 32) & 0xFFFF_FFFF
        return (low ^ low >> 16) & (capacity - 1)

    return sorted(listed, key=bucket)
