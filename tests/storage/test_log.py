"""The log against a model: appends, cuts, retention, restarts, crashes and power failures at every point."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafsim.protocol import errors
from kafsim.protocol.facts import log as facts
from kafsim.protocol.records.batch import header, place, spans_in_memory
from kafsim.protocol.records.errors import RecordError
from kafsim.protocol.records.record import decode_batch
from kafsim.storage.log import UnexpectedOffset
from kafsim.storage.producer_state import ProducerState
from kafsim.storage.retention import delete_old_segments
from tests.storage.kit import NOW, Machine, batch, contents


def values(log, offset: int = 0, bound: int | None = None) -> list[str]:
    """What a reader gets from an offset on."""
    found: list[str] = []
    bound = log.log_end_offset if bound is None else bound
    while offset < bound:
        read = log.read(offset, 1, bound)
        assert read.error == errors.NONE
        if not read.records:
            break
        for record in decode_batch(read.records):
            if record.offset >= offset:
                found.append(record.value.decode())
        offset = header(read.records).next_offset
    return found


def test_a_leader_gives_offsets_and_its_epoch():
    log = Machine().open()
    assert log.append_as_leader(batch("a", "b"), 0, NOW)[:2] == (0, 1)
    assert log.append_as_leader(batch("c"), 3, NOW)[:2] == (2, 2)
    assert contents(log) == [(0, 0), (2, 3)]
    assert values(log) == ["a", "b", "c"]
    assert values(log, 1) == ["b", "c"]


def test_a_read_stays_below_its_bound_and_within_its_bytes():
    log = Machine().open()
    for text in "abc":
        log.append_as_leader(batch(text, text), 0, NOW)
    assert values(log, 0, 4) == ["a", "a", "b", "b"]
    assert values(log, 0, 5) == ["a", "a", "b", "b"]
    one = log.read(0, 1, 6)
    assert len(list(spans_in_memory(one.records))) == 1
    assert log.read(0, 1, 6, at_least_one=False).records == b""
    assert len(list(spans_in_memory(log.read(0, 1_000, 6).records))) == 3
    assert log.read(6, 1, 6) == (b"", errors.NONE)
    assert log.read(7, 1, 6).error == errors.OFFSET_OUT_OF_RANGE


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (batch("a")[:40], errors.INVALID_RECORD),
        (batch("a") + batch("b"), errors.INVALID_RECORD),
        (batch("a")[:-1] + b"\x07", errors.CORRUPT_MESSAGE),
        (batch("a")[:16] + b"\x03" + batch("a")[17:], errors.CORRUPT_MESSAGE),
        (batch("a")[:16] + b"\x01" + batch("a")[17:], errors.INVALID_RECORD),
        (place(batch("a"), 5, 0), errors.INVALID_RECORD),
        (batch("a", attributes=0x20), errors.INVALID_RECORD),
        (batch("a", producer_id=3), errors.INVALID_RECORD),
        (batch("a" * 2_000), errors.MESSAGE_TOO_LARGE),
        (batch("a", timestamp=NOW + 3_600_001), errors.INVALID_TIMESTAMP),
        (batch("a", timestamp=NOW + 3_600_000), errors.NONE),
        (batch("a") + b"trailing", errors.NONE),
    ],
)
def test_what_a_leader_refuses(data, error):
    machine = Machine(max_message_bytes=1_500)
    log = machine.open()
    assert log.append_as_leader(data, 0, NOW).error == error
    assert log.log_end_offset == (error == errors.NONE)


def test_log_append_time_is_the_time_of_every_record():
    log = Machine(message_timestamp_type="LogAppendTime").open()
    appended = log.append_as_leader(batch("a", timestamp=5), 0, NOW)
    assert appended.log_append_time_ms == NOW
    assert decode_batch(log.read(0, 1, 1).records)[0].timestamp == NOW


def test_a_follower_copies_bytes_and_refuses_what_overlaps():
    leader, follower = Machine().open(), Machine().open()
    for text in "abc":
        leader.append_as_leader(batch(text), 2, NOW)
    data = leader.read(0, 10_000, 3).records
    assert follower.append_as_follower(data, 2, NOW)[:2] == (0, 2)
    assert follower.read(0, 10_000, 3).records == data
    with pytest.raises(UnexpectedOffset):
        follower.append_as_follower(data, 2, NOW)


def test_a_follower_leaves_out_batches_of_an_epoch_it_does_not_know_yet():
    leader, follower = Machine().open(), Machine().open()
    leader.append_as_leader(batch("a"), 0, NOW)
    leader.append_as_leader(batch("b"), 1, NOW)
    follower.append_as_follower(leader.read(0, 10_000, 2).records, 0, NOW)
    assert contents(follower) == [(0, 0)]


def test_segments_roll_by_size_and_by_the_time_of_their_records():
    machine = Machine(segment_bytes=200)
    log = machine.open()
    for text in "abcdef":
        log.append_as_leader(batch(text), 0, NOW)
    assert [segment.base_offset for segment in log.segments] == [0, 2, 4]
    machine = Machine(segment_ms=1_000)
    log = machine.open()
    for age in (5_000, 4_000, 3_999, 0):
        log.append_as_leader(batch("a", timestamp=NOW - age), 0, NOW)
    assert [segment.base_offset for segment in log.segments] == [0, 2, 3]


def test_retention_by_time_goes_on_to_the_active_segment():
    log = Machine(segment_bytes=200, retention_ms=1_000).open()
    for _ in range(5):
        log.append_as_leader(batch("a", timestamp=NOW), 0, NOW)
    log.set_high_watermark(5)
    assert delete_old_segments(log, NOW + 1_000) == 0
    assert delete_old_segments(log, NOW + 1_001) == 3
    assert (log.log_start_offset, log.log_end_offset) == (5, 5)


def test_retention_never_goes_above_the_high_watermark():
    log = Machine(segment_bytes=200, retention_ms=1_000).open()
    for _ in range(5):
        log.append_as_leader(batch("a", timestamp=NOW), 0, NOW)
    log.set_high_watermark(3)
    assert delete_old_segments(log, NOW + 5_000) == 1
    assert log.log_start_offset == 2


def test_retention_by_size_leaves_at_least_that_much():
    machine = Machine(segment_bytes=200, retention_bytes=250)
    log = machine.open()
    for _ in range(7):
        log.append_as_leader(batch("a"), 0, NOW)
    log.set_high_watermark(7)
    size = log.size
    deleted = delete_old_segments(log, NOW)
    assert deleted == (size - 250) // log.segments[0].size
    assert log.size >= 250
    assert "retention.bytes=250" in str(machine.facts(facts.SegmentDeleted)[0].because)


def test_records_below_the_log_start_go_with_the_next_retention():
    log = Machine(segment_bytes=200).open()
    for _ in range(6):
        log.append_as_leader(batch("a"), 0, NOW)
    log.set_high_watermark(6)
    log.advance_log_start(3)
    assert log.read(2, 1, 6).error == errors.OFFSET_OUT_OF_RANGE
    assert delete_old_segments(log, NOW) == 1
    assert log.segments[0].base_offset == 2


def test_a_batch_torn_by_a_power_failure_is_cut_and_told():
    found = set()
    for key in range(60):
        machine = Machine(key)
        log = machine.open()
        log.append_as_leader(batch("a"), 0, NOW)
        machine.disk.flush(log.active.file)[1]()
        log.append_as_leader(batch("b"), 0, NOW)
        machine.disk.lose_power()
        log = machine.open()
        found.add((log.log_end_offset, len(machine.facts(facts.TornTailCut))))
        assert values(log) == ["a", "b"][: log.log_end_offset]
    assert found == {(1, 0), (1, 1), (2, 0)}


def test_without_recovery_a_torn_batch_stays_in_the_way():
    """What is written behind it cannot be read any more."""
    for key in range(60):
        machine = Machine(key)
        machine.safeguards = attrs.evolve(machine.safeguards, recover_after_unclean_shutdown=False)
        log = machine.open()
        log.append_as_leader(batch("a"), 0, NOW)
        machine.disk.flush(log.active.file)[1]()
        log.append_as_leader(batch("b"), 0, NOW)
        machine.disk.lose_power()
        log = machine.open()
        torn = log.active.size > sum(p.size for p in log.active.batches)
        log.append_as_leader(batch("c"), 1, NOW)
        log = machine.open()
        if torn:
            with pytest.raises(RecordError):
                decode_batch(log.read(1, 1, log.log_end_offset).records)
            return
    raise AssertionError("no key tore the batch")


operations = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 3)),
        st.tuples(st.just("epoch"), st.integers(1, 2)),
        st.tuples(st.just("truncate"), st.integers(0, 12)),
        st.tuples(st.just("start"), st.integers(0, 8)),
        st.tuples(st.just("retention"), st.just(0)),
        st.tuples(st.just("flush"), st.just(0)),
        st.tuples(st.just("crash"), st.just(0)),
        st.tuples(st.just("stop"), st.just(0)),
        st.tuples(st.just("power"), st.integers(0, 99)),
    ),
    max_size=25,
)


class Story:
    """A log and what should be in it: ``model[offset] = (epoch, value)`` from ``start`` on."""

    def __init__(self, key: int) -> None:
        self.machine = Machine(key, segment_bytes=260, index_interval_bytes=100)
        self.log = self.machine.open()
        self.model: list[tuple[int, str] | None] = []
        self.ever: dict[int, set[tuple[int, str]]] = {}
        self.epoch, self.start, self.number, self.safe, self.sequence = 0, 0, 0, 0, 0

    def do(self, kind: str, argument: int) -> None:
        getattr(self, f"do_{kind}")(argument)
        self.check()

    def do_append(self, count: int) -> None:
        texts = [f"{self.number + n}" for n in range(count)]
        data = batch(*texts, producer_id=4, producer_epoch=self.epoch, base_sequence=self.sequence)
        assert self.log.append_as_leader(data, self.epoch, NOW).error == errors.NONE
        for text in texts:
            self.ever.setdefault(len(self.model), set()).add((self.epoch, text))
            self.model.append((self.epoch, text))
        self.number += count
        self.sequence += count

    def do_epoch(self, more: int) -> None:
        self.epoch += more
        self.sequence = 0
        self.log.start_epoch(self.epoch)

    def do_truncate(self, offset: int) -> None:
        offset = max(offset, self.start)
        if offset < len(self.model):
            self.log.truncate_to(offset, NOW)
            self.model = [m for i, m in enumerate(self.model) if i < offset]
            whole = [p.last_offset + 1 for p in self.log.active.batches]
            # A batch goes whole, the log still ends at the target (Kafka: LogSegment.truncateTo).
            for hole in range(whole[-1] if whole else self.log.active.base_offset, offset):
                self.model[hole] = None
            self.safe = min(self.safe, offset)
            self.do_epoch(1)

    def do_start(self, offset: int) -> None:
        if self.start < offset <= len(self.model):
            self.log.set_high_watermark(len(self.model))
            self.log.advance_log_start(offset)
            self.start = offset

    def do_retention(self, _: int) -> None:
        delete_old_segments(self.log, NOW)

    def do_flush(self, _: int) -> None:
        for name in self.machine.disk.names():
            self.machine.disk.flush(self.machine.disk.get(name))[1]()
        self.safe = len(self.model)

    def do_crash(self, _: int) -> None:
        self.log = self.machine.open(log_start_offset=self.start, recovery_point=0)
        self.after_restart()

    def do_stop(self, _: int) -> None:
        self.log.close()
        self.machine.flush_all()
        self.log = self.machine.open(log_start_offset=self.start, clean=True)
        self.after_restart()

    def after_restart(self) -> None:
        """A log that ended inside what was a batch ends where its last batch does."""
        assert values(self.log, self.start) == [m[1] for m in self.model[self.start :] if m is not None]
        self.model = self.model[: self.log.log_end_offset]
        self.do_epoch(1)

    def do_power(self, key: int) -> None:
        self.machine.disk._key = key
        self.machine.disk.lose_power()
        self.log = self.machine.open(log_start_offset=self.start, recovery_point=0)
        found = {o: (e, v) for o, e, v in self.records()}
        for offset, what in enumerate(self.model[: self.safe]):
            if offset >= self.start and what is not None:
                assert found.get(offset) == what
        for offset, what in found.items():
            assert what in self.ever[offset]
        self.model = [found.get(offset) for offset in range(self.log.log_end_offset)]
        self.safe = min(self.safe, len(self.model))
        self.epoch = max([self.epoch, *(e for e, _ in found.values())])
        self.do_epoch(1)

    def records(self):
        for segment in self.log.segments:
            for index, placed in enumerate(segment.batches):
                for record in decode_batch(segment.read(index, index + 1)):
                    if record.offset >= self.log.log_start_offset:
                        yield record.offset, placed.leader_epoch, record.value.decode()

    def check(self) -> None:
        log = self.log
        assert (log.log_start_offset, log.log_end_offset) == (self.start, len(self.model))
        assert log.log_start_offset <= log.high_watermark <= log.log_end_offset
        assert log.segments[0].base_offset <= log.log_start_offset
        kept = {o: m for o, m in enumerate(self.model) if m is not None and o >= self.start}
        assert {o: (e, v) for o, e, v in self.records()} == kept
        for offset, (epoch, _) in kept.items():
            assert log.epochs.epoch_for(offset) == epoch
        self.check_producers()

    def check_producers(self) -> None:
        """The last sequence of the producer is that of its last batch, however the state was rebuilt."""
        naive = ProducerState()
        for segment in self.log.segments:
            for placed in segment.batches:
                naive.update(header(segment.file.read(placed.position, 61)))
        ours, wanted = self.log.producers.entries.get(4), naive.entries.get(4)
        if ours is not None and wanted is not None:
            assert (ours.epoch, ours.last_sequence) == (wanted.epoch, wanted.last_sequence)


@given(operations, st.integers(0, 2**32))
def test_the_log_is_its_model(operations, key):
    story = Story(key)
    for kind, argument in operations:
        story.do(kind, argument)


def test_truncation_forgets_epochs_and_sequences_that_are_gone():
    log = Machine().open()
    for epoch, sequence in ((0, 0), (1, 0), (1, 1)):
        log.append_as_leader(batch("a", producer_id=4, producer_epoch=epoch, base_sequence=sequence), epoch, NOW)
    log.truncate_to(1, NOW)
    assert log.latest_epoch == 0
    assert log.end_offset_for_epoch(1) == (-1, -1)
    again = log.append_as_leader(batch("b", producer_id=4, producer_epoch=1, base_sequence=0), 2, NOW)
    assert not again.duplicate
    assert again.base_offset == 1


def test_indexes_after_a_truncation_are_those_of_a_log_that_never_had_more():
    files = []
    for count in (40, 30):
        machine = Machine(index_interval_bytes=100)
        log = machine.open()
        for n in range(count):
            log.append_as_leader(batch("a", timestamp=NOW + n), 0, NOW)
        log.truncate_to(30, NOW)
        log.close()
        files.append([machine.disk.get(f"t-0/{0:020}.{suffix}").read() for suffix in ("index", "timeindex", "log")])
    assert files[0] == files[1]
    assert files[0][0]


def test_recovery_ends_the_log_at_the_first_broken_batch_and_drops_later_segments():
    machine = Machine(segment_bytes=200)
    log = machine.open()
    for _ in range(6):
        log.append_as_leader(batch("a"), 0, NOW)
    log.segments[1].file.overwrite(log.segments[1].batches[1].position + 30, b"\xff")
    log = machine.open()
    assert (log.log_end_offset, len(log.segments)) == (3, 2)
    assert str(machine.facts(facts.TornTailCut)[0].because).startswith("69 bytes at the end of segment 2")


def test_after_a_clean_stop_or_above_the_recovery_point_nothing_is_checked():
    machine = Machine(segment_bytes=200)
    log = machine.open()
    for _ in range(6):
        log.append_as_leader(batch("a"), 0, NOW)
    log.segments[0].file.overwrite(30, b"\xff")
    assert machine.open(clean=True).log_end_offset == 6
    assert machine.open(recovery_point=2).log_end_offset == 6
    assert machine.open(recovery_point=1).log_end_offset == 0


def test_a_log_below_its_start_checkpoint_begins_anew_there():
    machine = Machine()
    log = machine.open()
    log.append_as_leader(batch("a"), 0, NOW)
    log = machine.open(log_start_offset=5)
    assert (log.log_start_offset, log.log_end_offset) == (5, 5)
    assert log.append_as_leader(batch("b"), 1, NOW).base_offset == 5


def test_recovery_writes_the_indexes_anew():
    machine = Machine(index_interval_bytes=100)
    log = machine.open()
    for n in range(40):
        log.append_as_leader(batch("a", timestamp=NOW + n), 0, NOW)
    before = machine.disk.get(f"t-0/{0:020}.index").read()
    machine.open()
    assert machine.disk.get(f"t-0/{0:020}.index").read() == before


def test_truncation_to_the_end_forgets_an_epoch_without_records():
    log = Machine().open()
    log.append_as_leader(batch("a"), 0, NOW)
    log.start_epoch(2)
    assert not log.truncate_to(1, NOW)
    assert log.latest_epoch == 0
