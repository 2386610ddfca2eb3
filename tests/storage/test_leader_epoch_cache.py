"""The epoch cache against a model that keeps the epoch of every offset."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kafsim.cluster.disk import SimDisk
from kafsim.protocol.types import Micros
from kafsim.storage.leader_epoch_cache import EpochEntry, LeaderEpochCache


def cache() -> LeaderEpochCache:
    return LeaderEpochCache(SimDisk(lambda: Micros(0)), "t-0")


def test_end_offsets_as_kafka_answers_them():
    epochs = cache()
    assert epochs.end_offset_for(3, 50) == (-1, -1)
    for epoch, start in ((2, 10), (4, 20), (7, 30)):
        epochs.assign(epoch, start)
    assert epochs.end_offset_for(-1, 50) == (-1, -1)
    assert epochs.end_offset_for(7, 50) == (7, 50)
    assert epochs.end_offset_for(8, 50) == (-1, -1)
    assert epochs.end_offset_for(4, 50) == (4, 30)
    assert epochs.end_offset_for(5, 50) == (4, 30)
    assert epochs.end_offset_for(2, 50) == (2, 20)
    assert epochs.end_offset_for(1, 50) == (1, 10)


def test_an_epoch_without_records_is_replaced_by_the_next_one_at_the_same_offset():
    epochs = cache()
    epochs.assign(1, 5)
    epochs.assign(2, 5)
    assert epochs.entries == [EpochEntry(2, 5)]


def test_what_is_on_disk_is_what_is_in_memory():
    disk = SimDisk(lambda: Micros(0))
    epochs = LeaderEpochCache(disk, "t-0")
    epochs.assign(0, 0)
    epochs.assign(2, 60)
    assert disk.get("t-0/leader-epoch-checkpoint").read() == b"0\n2\n0 0\n2 60\n"
    epochs.truncate_from_start(20)
    again = LeaderEpochCache(disk, "t-0")
    again.load()
    assert again.entries == [EpochEntry(0, 20), EpochEntry(2, 60)]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), st.integers(1, 4)),
        st.tuples(st.just("end"), st.integers(0, 40), st.just(0)),
        st.tuples(st.just("start"), st.integers(0, 40), st.just(0)),
    )
)


@given(steps)
def test_every_offset_has_the_epoch_it_was_written_in(steps):
    epochs, model, start, epoch = cache(), {}, 0, 0
    end = 0
    for kind, a, b in steps:
        if kind == "append":
            epoch += a
            epochs.assign(epoch, end)
            model.update(dict.fromkeys(range(end, end + b), epoch))
            end += b
        elif kind == "end" and start <= a < end:
            epochs.truncate_from_end(a)
            model = {offset: e for offset, e in model.items() if offset < a}
            end = a
        elif kind == "start" and start <= a <= end:
            epochs.truncate_from_start(a)
            start = a
    assert {o: epochs.epoch_for(o) for o in range(start, end)} == {o: model[o] for o in range(start, end)}
    assert epochs.entries == sorted(epochs.entries)
    starts = [entry.start_offset for entry in epochs.entries]
    assert starts == sorted(set(starts))
