"""Compaction against a model that keeps the last record of each key, and what a crash in the middle leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafsim.cluster.disk import SimDisk
from kafsim.protocol.config import broker_settings
from kafsim.protocol.effects import FLUSH, HAPPENED, Outbox
from kafsim.protocol.facts.log import LogCompacted
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records.record import decode_batch, encode_batch
from kafsim.protocol.safeguards import ALL_ON
from kafsim.protocol.types import Micros, TopicPartition
from kafsim.protocol.uuid import ZERO_UUID
from kafsim.storage.cleaner import batches_of
from kafsim.storage.log import Log
from kafsim.storage.log_cleaner import LogCleaner
from kafsim.storage.log_config import LogConfig
from kafsim.storage.log_manager import Disk, LogManager
from kafsim.storage.segment import CLEANED, SWAP
from tests.storage.kit import NOW

TP = TopicPartition("t", 0)
COMPACT = {"cleanup_policy": ("compact",), "min_cleanable_dirty_ratio": 0.0}


class Compacting:
    """A compacted log on a disk of its own; flushes are done when :meth:`flush` is called."""

    def __init__(self, **config: object) -> None:
        self.disk = SimDisk(lambda: Micros(0))
        self.config = LogConfig(**{**COMPACT, **config})
        self.settings = broker_settings({})
        self.facts: list[object] = []
        self.open()

    def open(self) -> None:
        self.outbox = Outbox()
        self.outbox.heard = 3
        logs = LogManager([Disk("d", self.disk)], self.outbox, ALL_ON)
        self.log: Log = logs.open(TP, ZERO_UUID, self.config, NOW, ZERO_UUID)
        self.cleaner = LogCleaner(self.outbox, logs, self.settings)
        self.cleaner.note(TP, self.log)

    def append(self, *records: tuple[str, str | None], at: int = NOW, **fields: int) -> None:
        encoded = [(at, k.encode(), None if v is None else v.encode()) for k, v in records]
        assert not self.log.append_as_leader(encode_batch(encoded, **fields), 0, at).error
        self.log.set_high_watermark(self.log.log_end_offset)

    def roll(self, at: int = NOW) -> None:
        if self.log.active.size:
            self.log.roll(self.log.log_end_offset, at)

    def compact(self, at: int = NOW) -> None:
        self.cleaner.run(at)
        self.flush(at)

    def flush(self, at: int = NOW) -> None:
        """Carry out flushes, and those that they lead to."""
        while self.outbox.effects:
            effects, self.outbox.effects = self.outbox.effects, []
            self.facts += [effect[1] for effect in effects if effect[0] == HAPPENED]
            for effect in effects:
                if effect[0] == FLUSH and effect[2] and effect[2][0] == "cleaned":
                    self.cleaner.on_flushed(effect[2][1], effect[2][2], at)

    def records(self) -> list[tuple[int, str, str | None]]:
        return [
            (r.offset, r.key.decode(), None if r.value is None else r.value.decode())
            for segment in self.log.segments
            for _, data in batches_of(segment)
            for r in decode_batch(data)
        ]


keys = st.sampled_from("abc")
values = st.sampled_from(["1", "2", None])
steps = st.lists(st.lists(st.tuples(keys, values), min_size=1, max_size=4) | st.just("roll") | st.just("compact"))


@given(steps)
def test_the_last_record_of_each_key_stays_at_its_offset(steps):
    log, written = Compacting(), []
    for step in steps:
        if step == "roll":
            log.roll()
        elif step == "compact":
            log.compact()
        else:
            written += [(len(written) + n, key, value) for n, (key, value) in enumerate(step)]
            log.append(*step)
    log.roll()
    log.compact()
    closed = log.log.active.base_offset
    last = {key: offset for offset, key, _ in written if offset < closed}
    expected = [r for r in written if r[0] >= closed or last[r[1]] == r[0]]
    assert log.records() == expected
    assert log.log.log_end_offset == len(written)
    log.open()
    assert log.records() == expected


def test_a_tombstone_goes_with_a_pass_after_its_horizon() -> None:
    log = Compacting(delete_retention_ms=1_000)
    log.append(("a", "1"))
    log.append(("a", None))
    log.roll()
    log.compact(NOW)
    assert log.records() == [(1, "a", None)]
    log.compact(NOW + 5_000)
    assert log.records() == [(1, "a", None)]  # nothing is dirty, so there is no pass
    log.append(("b", "1"))
    log.roll()
    log.compact(NOW + 999)
    assert log.records() == [(1, "a", None), (2, "b", "1")]
    log.append(("c", "1"))
    log.roll()
    log.compact(NOW + 1_000)
    assert log.records() == [(2, "b", "1"), (3, "c", "1")]


def test_even_without_retention_a_tombstone_survives_its_first_pass() -> None:
    log = Compacting(delete_retention_ms=0)
    log.append(("a", None), ("b", "1"))
    log.roll()
    log.compact()
    assert log.records() == [(0, "a", None), (1, "b", "1")]
    head = batches.header(next(batches_of(log.log.segments[0]))[1])
    assert head.attributes & batches.DELETE_HORIZON
    assert head.base_timestamp == NOW


def test_batches_keep_offsets_and_sequences() -> None:
    log = Compacting()
    log.append(("a", "1"), ("b", "1"), ("a", "2"), producer_id=7, producer_epoch=0, base_sequence=0)
    log.append(("c", "1"), producer_id=7, producer_epoch=0, base_sequence=3)
    log.roll()
    log.compact()
    heads = [head for head, _ in batches_of(log.log.segments[0])]
    assert [(h.base_offset, h.last_offset, h.base_sequence, h.record_count) for h in heads] == [
        (0, 2, 0, 2),
        (3, 3, 3, 1),
    ]


def test_the_last_batch_of_a_producer_stays_as_a_header() -> None:
    log = Compacting()
    log.append(("a", "1"), producer_id=7, producer_epoch=0, base_sequence=0)
    log.append(("b", "1"))
    log.append(("a", "2"))
    log.roll()
    log.compact()
    heads = [head for head, _ in batches_of(log.log.segments[0])]
    assert [(h.base_offset, h.record_count, h.producer_id) for h in heads] == [(0, 0, 7), (1, 1, -1), (2, 1, -1)]


def test_the_active_segment_and_what_is_above_the_high_watermark_stay() -> None:
    log = Compacting()
    log.append(("a", "1"))
    log.roll()
    log.append(("a", "2"))
    log.roll()
    log.append(("a", "3"))
    log.log.high_watermark = 1
    log.compact()
    assert log.records() == [(0, "a", "1"), (1, "a", "2"), (2, "a", "3")]
    log.log.set_high_watermark(3)
    log.compact()
    assert log.records() == [(1, "a", "2"), (2, "a", "3")]


def test_small_segments_become_one() -> None:
    log = Compacting(segment_bytes=400)
    for number in range(8):
        log.append((f"k{number}", "x" * 20))
        log.roll()
    log.compact()
    assert [segment.base_offset for segment in log.log.segments] == [0, 4, 8]
    assert len(log.records()) == 8


def test_a_clean_log_is_left_alone_until_enough_is_dirty() -> None:
    log = Compacting(min_cleanable_dirty_ratio=0.5)
    for value in "12":
        log.append(("a", value))
        log.append(("b", value))
    log.roll()
    log.compact()
    log.append(("a", "3"))
    log.roll()
    assert [offset for offset, _, _ in log.records()] == [2, 3, 4]
    log.compact()  # one batch of three is dirty
    assert [offset for offset, _, _ in log.records()] == [2, 3, 4]
    log.append(("a", "4"))
    log.append(("a", "5"))
    log.roll()
    log.compact()
    assert [offset for offset, _, _ in log.records()] == [3, 6]
    assert [fact.to for fact in log.facts if isinstance(fact, LogCompacted)] == [4, 7]


def test_a_truncation_below_the_active_segment_gives_the_pass_up() -> None:
    log = Compacting()
    log.append(("a", "1"))
    log.append(("a", "2"))
    log.roll()
    log.append(("b", "1"))
    log.cleaner.run(NOW)
    log.log.truncate_to(1, NOW)
    log.flush()
    assert log.records() == [(0, "a", "1")]
    assert not [name for name in log.disk.names() if name.endswith(CLEANED)]


def test_what_is_cut_off_and_written_again_is_dirty() -> None:
    log = Compacting()
    log.append(("a", "1"))
    log.append(("b", "1"))
    log.roll()
    log.append(("c", "1"))
    log.roll()
    log.compact()
    log.log.truncate_to(1, NOW)
    log.append(("a", "2"))
    log.roll()
    log.compact()
    assert log.records() == [(1, "a", "2")]


@pytest.mark.parametrize("suffix", [CLEANED, SWAP])
def test_a_crash_while_a_segment_takes_its_place(suffix) -> None:
    """Before the renames the old files count, after the first one the new ones do."""
    log = Compacting()
    log.append(("a", "1"))
    log.append(("a", "2"))
    log.roll()
    log.cleaner.run(NOW)
    result = log.log.cleaning.result
    if suffix == SWAP:
        result.rename(SWAP)
    log.open()
    assert log.records() == ([(1, "a", "2")] if suffix == SWAP else [(0, "a", "1"), (1, "a", "2")])
    assert not [name for name in log.disk.names() if name.endswith((CLEANED, SWAP))]
    log.log.set_high_watermark(2)
    log.compact()
    assert log.records() == [(1, "a", "2")]
