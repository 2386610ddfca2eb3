"""Sequences: what is a duplicate, what is out of order, and what a snapshot forgets."""

from __future__ import annotations

import attrs
import pytest

from kafsim.protocol import errors
from kafsim.protocol.facts.log import AppendRefused, DuplicateFound, RecordsAppended
from tests.storage.kit import NOW, Machine, batch


def sent(epoch: int, first: int, count: int = 1, pid: int = 7) -> bytes:
    return batch(*"x" * count, producer_id=pid, producer_epoch=epoch, base_sequence=first)


def append(log, epoch, first, count=1):
    return log.append_as_leader(sent(epoch, first, count), 0, NOW)


def test_a_batch_sent_again_is_answered_with_its_offsets_and_not_appended():
    machine = Machine()
    log = machine.open()
    for first in range(0, 12, 2):
        append(log, 0, first, 2)
    again = append(log, 0, 4, 2)
    assert (again.base_offset, again.last_offset, again.duplicate, again.error) == (4, 5, True, errors.NONE)
    assert log.log_end_offset == 12
    assert str(machine.facts(DuplicateFound)[0].because) == (
        "producer 7 epoch 0 wrote sequences 4 to 5 already, at offset 4"
    )


def test_only_the_last_five_batches_are_known_as_duplicates():
    log = Machine().open()
    for first in range(6):
        append(log, 0, first)
    assert append(log, 0, 1).duplicate
    assert append(log, 0, 0).error == errors.OUT_OF_ORDER_SEQUENCE_NUMBER


@pytest.mark.parametrize(
    ("epoch", "first", "error"),
    [
        (3, 2, errors.NONE),
        (3, 3, errors.OUT_OF_ORDER_SEQUENCE_NUMBER),
        (3, 7, errors.OUT_OF_ORDER_SEQUENCE_NUMBER),
        (2, 2, errors.INVALID_PRODUCER_EPOCH),
        (4, 0, errors.NONE),
        (4, 2, errors.OUT_OF_ORDER_SEQUENCE_NUMBER),
    ],
)
def test_what_follows_two_records_of_epoch_3(epoch, first, error):
    machine = Machine()
    log = machine.open()
    append(log, 3, 0)
    append(log, 3, 1)
    assert append(log, epoch, first).error == error
    assert len(machine.facts(AppendRefused)) == (error != errors.NONE)


def test_an_unknown_producer_may_begin_anywhere():
    assert append(Machine().open(), 0, 5).error == errors.NONE


def test_sequences_wrap():
    log = Machine().open()
    append(log, 0, 2**31 - 2, 2)
    assert append(log, 0, 0).error == errors.NONE


def test_without_the_safeguard_a_retry_is_written_twice():
    machine = Machine()
    machine.safeguards = attrs.evolve(machine.safeguards, check_producer_sequences=False)
    log = machine.open()
    append(log, 0, 0)
    append(log, 0, 0)
    assert len(machine.facts(RecordsAppended)) == 2


def test_after_a_reload_from_a_snapshot_one_batch_is_known():
    machine = Machine()
    log = machine.open()
    for first in range(4):
        append(log, 0, first)
    log.close()
    log = machine.open(clean=True)
    assert append(log, 0, 3).duplicate
    assert append(log, 0, 2).error == errors.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert append(log, 0, 4).error == errors.NONE


def test_a_damaged_snapshot_is_thrown_away_and_the_log_is_read_instead():
    machine = Machine()
    log = machine.open()
    for first in range(4):
        append(log, 0, first)
    log.close()
    machine.disk.get("t-0/00000000000000000004.snapshot").overwrite(9, b"\xff")
    log = machine.open(clean=True)
    assert append(log, 0, 2).duplicate


def test_producers_are_forgotten_in_time():
    log = Machine().open()
    append(log, 0, 0)
    log.producers.expire(NOW + 86_399_999, 86_400_000)
    assert 7 in log.producers.entries
    log.producers.expire(NOW + 86_400_000, 86_400_000)
    assert 7 not in log.producers.entries
