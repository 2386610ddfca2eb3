"""Sequences of an idempotent producer: given in order, kept on a retry, begun anew with a higher epoch."""

from __future__ import annotations

import pytest

from kafsim.clients.accumulator import Accumulator, ProducerBatch
from kafsim.clients.idempotence import LAST_EPOCH, Idempotence, IdempotenceState
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.types import CallId, Micros, TopicPartition

TP = TopicPartition("t", 0)


class Sender:
    """What a producer does with its batches."""

    def __init__(self, epoch: int = 0) -> None:
        self.accumulator = Accumulator(1, Micros(0), 0)
        self.idempotence = Idempotence(Outbox())
        self.idempotence.take_id(7, epoch)

    def drain(self, records: int = 1) -> ProducerBatch:
        self.accumulator.batch_size = 10_000
        for _ in range(records):
            batch, _, _ = self.accumulator.append(Micros(0), TP, 1, None, b"v", (), CallId(0))
        self.accumulator.take(TP)
        assert not self.idempotence.must_wait(batch)
        self.idempotence.give_sequence(batch)
        return batch


def _sequences(*batches: ProducerBatch) -> list[tuple[int, int]]:
    return [(batch.producer_epoch, batch.base_sequence) for batch in batches]


def test_sequences_follow_each_other() -> None:
    sender = Sender()
    assert _sequences(*(sender.drain() for _ in range(4))) == [(0, 0), (0, 1), (0, 2), (0, 3)]


def test_a_retry_keeps_its_sequence_and_goes_alone() -> None:
    sender = Sender()
    first, second = sender.drain(), sender.drain()
    sender.idempotence.give_sequence(first)
    assert _sequences(first, second) == [(0, 0), (0, 1)]
    assert sender.idempotence.must_wait(second)
    assert not sender.idempotence.must_wait(first)
    sender.idempotence.completed(first, 0)
    assert not sender.idempotence.must_wait(second)


def test_a_refused_batch_raises_the_epoch_and_numbers_the_others_anew() -> None:
    sender = Sender()
    first, second, third = sender.drain(), sender.drain(2), sender.drain(3)
    sender.idempotence.failed(first, errors.MESSAGE_TOO_LARGE, final_answer=True)
    sender.idempotence.before_sending()
    assert sender.idempotence.producer_epoch == 1
    assert _sequences(second, third) == [(1, 0), (1, 2)]
    assert _sequences(sender.drain()) == [(1, 5)]


def test_an_expired_batch_holds_back_what_follows_until_its_fate_is_known() -> None:
    sender = Sender()
    first, second = sender.drain(), sender.drain()
    sender.idempotence.expired_after_retry(first)
    sender.idempotence.failed(first, errors.REQUEST_TIMED_OUT, final_answer=False)
    waiting, _, _ = sender.accumulator.append(Micros(0), TP, 1, None, b"v", (), CallId(0))
    assert sender.idempotence.must_wait(waiting)
    sender.idempotence.completed(second, 1)  # a leader takes sequence 1 only when it has 0
    sender.idempotence.before_sending()
    assert sender.idempotence.producer_epoch == 0
    assert not sender.idempotence.must_wait(waiting)


def test_a_gap_that_stays_raises_the_epoch() -> None:
    sender = Sender()
    only = sender.drain()
    sender.idempotence.expired_after_retry(only)
    sender.idempotence.failed(only, errors.REQUEST_TIMED_OUT, final_answer=False)
    sender.idempotence.before_sending()
    assert sender.idempotence.producer_epoch == 1
    assert _sequences(sender.drain()) == [(1, 0)]


def test_out_of_order_is_sent_again_unless_it_was_the_next_one() -> None:
    sender = Sender()
    first, second = sender.drain(), sender.drain()
    assert sender.idempotence.can_retry(second, errors.OUT_OF_ORDER_SEQUENCE_NUMBER)
    sender.idempotence.before_sending()
    assert sender.idempotence.producer_epoch == 0  # the first one is under way; it will close the gap
    assert sender.idempotence.can_retry(first, errors.OUT_OF_ORDER_SEQUENCE_NUMBER)
    sender.idempotence.before_sending()
    assert _sequences(first, second) == [(1, 0), (1, 1)]


def test_the_last_epoch_is_followed_by_another_producer_id() -> None:
    sender = Sender(epoch=LAST_EPOCH)
    sender.idempotence.failed(sender.drain(), errors.UNKNOWN_PRODUCER_ID, final_answer=True)
    sender.idempotence.before_sending()
    assert sender.idempotence.state is IdempotenceState.UNINITIALIZED
    sender.idempotence.take_id(8, 0)
    assert _sequences(sender.drain()) == [(0, 0)]


@pytest.mark.parametrize("error", [errors.PRODUCER_FENCED, errors.CLUSTER_AUTHORIZATION_FAILED])
def test_some_errors_end_the_producer(error: int) -> None:
    sender = Sender()
    sender.idempotence.failed(sender.drain(), error, final_answer=True)
    assert sender.idempotence.state is IdempotenceState.FATAL


def test_a_split_batch_hands_its_sequences_to_its_parts() -> None:
    sender = Sender()
    sender.accumulator.batch_size = 10_000
    for number in range(6):
        sender.accumulator.append(Micros(0), TP, 1, None, b"x" * 100, (), CallId(number))
    batch = sender.accumulator.take(TP)
    sender.idempotence.give_sequence(batch)
    following = sender.drain()
    sender.accumulator.batch_size = 250
    parts = sender.accumulator.split(batch)
    sender.idempotence.split(batch, parts)
    assert [sequence for _, sequence in _sequences(*parts)] == [0, 1, 2, 3, 4, 5][:: parts[0].count]
    assert following.base_sequence == 6
