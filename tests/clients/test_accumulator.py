"""Batches of a producer: when one is full, what a split makes, where one that is sent again goes."""

from __future__ import annotations

from kafsim.clients.accumulator import Accumulator, ProducerBatch, upper_bound
from kafsim.protocol.records.record import decode_batch
from kafsim.protocol.types import CallId, Micros, TopicPartition

TP = TopicPartition("t", 0)


def _append(accumulator: Accumulator, value: bytes, call: int = 0) -> tuple[ProducerBatch, int, bool]:
    return accumulator.append(Micros(0), TP, 1, None, value, (), CallId(call))


def test_records_share_a_batch_until_the_next_may_not_fit() -> None:
    """By the exact size of the record in the batch: 68 bytes for a value of 60."""
    for room, fits in ((197, True), (196, False)):
        accumulator = Accumulator(room, Micros(0), 0)
        first, _, full = _append(accumulator, b"x" * 60)
        assert not full
        second, _, full = _append(accumulator, b"x" * 60)
        assert (second is first) == fits
        assert full == fits
        assert first.closed != fits
        assert first.size <= room


def test_a_record_larger_than_a_batch_gets_one_of_its_own() -> None:
    accumulator = Accumulator(100, Micros(0), 0)
    batch, _, full = _append(accumulator, b"x" * 500)
    assert not full  # it waits for linger.ms, as in Kafka: its limit is the most that the record could have taken
    other, _, full = _append(accumulator, b"y" * 20)
    assert not full
    assert other is not batch
    assert batch.count == 1
    assert (accumulator.take(TP), accumulator.take(TP)) == (batch, other)
    assert TP not in accumulator.queues


def test_a_record_is_never_larger_than_its_bound() -> None:
    for size in (0, 1, 63, 64, 8_191, 8_192, 100_000):
        headers = (("name", b"v" * size), ("empty", None))
        accumulator = Accumulator(1, Micros(0), 0)
        batch, _, _ = accumulator.append(Micros(0), TP, 2**50, b"k" * size, b"v" * size, headers, CallId(1))
        assert batch.size - 61 <= upper_bound(b"k" * size, b"v" * size, headers)


def test_a_batch_that_is_too_large_is_split_in_order() -> None:
    accumulator = Accumulator(10_000, Micros(0), 0)
    for number in range(40):
        _append(accumulator, b"%03d" % number * 20, number)
    batch = accumulator.take(TP)
    accumulator.batch_size = 500
    parts = accumulator.split(batch)
    assert len(parts) > 4
    assert batch.done
    values = [record.value for part in parts for record in decode_batch(part.builder.close())]
    assert values == [b"%03d" % number * 20 for number in range(40)]
    assert [call for part in parts for call, _ in part.calls] == list(range(40))
    again = accumulator.split(parts[0])
    assert 1 < len(again) <= parts[0].count  # half as large, whatever batch.size says


def test_a_batch_sent_again_goes_before_those_of_later_sequences() -> None:
    accumulator = Accumulator(1, Micros(0), 0)
    batches = []
    for number in range(4):
        _append(accumulator, b"v" * 30, number)
    for number in range(3):
        batch = accumulator.take(TP)
        batch.base_sequence = number
        batches.append(batch)
    for number in (2, 0, 1):
        accumulator.put_back(batches[number])
    assert [batch.base_sequence for batch in accumulator.queues[TP]] == [0, 1, 2, -1]


def test_an_answered_batch_leaves_every_queue() -> None:
    accumulator = Accumulator(1, Micros(0), 0)
    batch, _, _ = _append(accumulator, b"v")
    accumulator.remove(batch)
    assert not accumulator.queues
    assert not accumulator.incomplete


def test_compression_is_expected_to_do_what_it_did() -> None:
    """Up at once, down by little (Kafka: ``CompressionRatioEstimator``)."""
    accumulator = Accumulator(1_000, Micros(0), 1)
    sizes = []
    for _ in range(40):
        count = 0
        while TP not in accumulator.queues or len(accumulator.queues[TP]) == 1:
            _append(accumulator, b"x" * 80)
            count += 1
        batch = accumulator.take(TP)
        sizes.append(batch.count)
        accumulator.note_compressed(batch, batch.builder.close())
    assert sizes[0] == 10  # (1000 - 61) / (87 * 1.05)
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
    accumulator.ratios.update("t", 0.95)
    assert accumulator.ratios.of("t") == 0.95
