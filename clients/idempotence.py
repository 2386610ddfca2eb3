"""Producer id, epoch and sequences of an idempotent producer (Kafka: ``TransactionManager``, without transactions).

    UNINITIALIZED --ask a broker--> INITIALIZING --an id--> READY
    READY --the epoch is used up--> UNINITIALIZED
    any --an error that cannot be lived with--> FATAL

Sequences are given when a batch is drained. A batch that is sent again keeps its sequence and goes alone until it is
answered; when a gap cannot be closed the epoch is raised and what is under way is numbered anew from 0.
"""

from __future__ import annotations

import enum

import attrs

from kafsim.clients.accumulator import ProducerBatch
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts.client import EPOCH_BUMP, ProducerEpochBumped, ProducerIdTaken
from kafsim.protocol.facts.fact import because
from kafsim.protocol.types import TopicPartition

LAST_EPOCH = 32_767
FATAL_ERRORS = frozenset(
    {
        errors.CLUSTER_AUTHORIZATION_FAILED,
        errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        errors.PRODUCER_FENCED,
        errors.UNSUPPORTED_VERSION,
        errors.INVALID_PRODUCER_ID_MAPPING,
    }
)


class IdempotenceState(enum.Enum):
    UNINITIALIZED = "uninitialized"
    INITIALIZING = "initializing"
    READY = "ready"
    FATAL = "fatal"


@attrs.define
class PartitionSequences:
    """``in_flight``: batches with a sequence and no answer, queued again or on the way, in the order of sequences."""

    producer_id: int = -1
    producer_epoch: int = -1
    next_sequence: int = 0
    last_acked: int = -1
    last_acked_offset: int = -1
    in_flight: list[ProducerBatch] = attrs.field(factory=list)


class Idempotence:
    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.state = IdempotenceState.UNINITIALIZED
        self.producer_id = -1
        self.producer_epoch = -1
        self.error = errors.NONE
        self._partitions: dict[TopicPartition, PartitionSequences] = {}
        self._unresolved: dict[TopicPartition, int] = {}
        self._to_rewrite: dict[TopicPartition, str] = {}

    def _of(self, tp: TopicPartition) -> PartitionSequences:
        return self._partitions.setdefault(tp, PartitionSequences())

    # ---------------------------------------------------------------------------- identity

    def take_id(self, producer_id: int, producer_epoch: int) -> None:
        self.producer_id, self.producer_epoch = producer_id, producer_epoch
        self.state = IdempotenceState.READY
        self._outbox.happened(ProducerIdTaken(producer_id=producer_id, producer_epoch=producer_epoch))

    def fail(self, error: int) -> None:
        self.state, self.error = IdempotenceState.FATAL, error

    def before_sending(self) -> None:
        """Look for gaps that cannot be closed, and raise the epoch where one was found."""
        for tp in list(self._unresolved):
            sequences = self._of(tp)
            if sequences.in_flight:
                continue
            del self._unresolved[tp]
            if sequences.next_sequence - sequences.last_acked != 1:
                self._to_rewrite[tp] = "a batch was given up and nobody knows whether it was written"
        if self._to_rewrite and self.state is IdempotenceState.READY:
            self._bump()

    def _bump(self) -> None:
        if self.producer_epoch >= LAST_EPOCH:
            self.producer_id = self.producer_epoch = -1
            self.state = IdempotenceState.UNINITIALIZED
            return
        self.producer_epoch += 1
        first, error = next(iter(self._to_rewrite.items()))
        self._outbox.happened(
            ProducerEpochBumped(
                producer_id=self.producer_id,
                producer_epoch=self.producer_epoch,
                because=because(EPOCH_BUMP, error=error, partition=str(first)),
            )
        )
        for tp in self._to_rewrite:
            self._start_anew(tp)
            self._unresolved.pop(tp, None)
        self._to_rewrite.clear()

    def _start_anew(self, tp: TopicPartition) -> None:
        """Number everything of a partition from 0 in the current epoch."""
        sequences = self._of(tp)
        following = 0
        for batch in sequences.in_flight:
            batch.producer_id, batch.producer_epoch = self.producer_id, self.producer_epoch
            batch.base_sequence = following
            batch.was_reset = True
            following += batch.count
        sequences.producer_id, sequences.producer_epoch = self.producer_id, self.producer_epoch
        sequences.next_sequence, sequences.last_acked = following, -1

    # ---------------------------------------------------------------------------- draining

    def must_wait(self, batch: ProducerBatch) -> bool:
        """May this batch, the first of its partition, not be sent yet (``shouldStopDrainBatchesForPartition``)?"""
        sequences = self._of(batch.tp)
        if not batch.has_sequence:
            other = (sequences.producer_id, sequences.producer_epoch) != (self.producer_id, self.producer_epoch)
            if (sequences.in_flight and other) or batch.tp in self._unresolved:
                return True
        first = sequences.in_flight[0] if sequences.in_flight else None
        return first is not None and batch.has_sequence and batch is not first

    def give_sequence(self, batch: ProducerBatch) -> None:
        """A batch keeps the sequence it has."""
        batch.was_reset = False
        if batch.has_sequence:
            return
        sequences = self._of(batch.tp)
        if (sequences.producer_id, sequences.producer_epoch) != (self.producer_id, self.producer_epoch):
            self._start_anew(batch.tp)
        batch.producer_id, batch.producer_epoch = self.producer_id, self.producer_epoch
        batch.base_sequence = sequences.next_sequence
        sequences.next_sequence = (sequences.next_sequence + batch.count) & 0x7FFF_FFFF
        sequences.in_flight.append(batch)

    # ----------------------------------------------------------------------------- answers

    def completed(self, batch: ProducerBatch, base_offset: int) -> None:
        sequences = self._of(batch.tp)
        sequences.last_acked = max(sequences.last_acked, batch.last_sequence)
        if base_offset >= 0:
            sequences.last_acked_offset = max(sequences.last_acked_offset, base_offset + batch.count - 1)
        self._remove(sequences, batch)

    def failed(self, batch: ProducerBatch, error: int, *, final_answer: bool) -> None:
        """``final_answer``: a broker refused it for good, so it was not written."""
        sequences = self._of(batch.tp)
        self._remove(sequences, batch)
        if error in FATAL_ERRORS:
            self.fail(error)
        elif final_answer or error in (errors.OUT_OF_ORDER_SEQUENCE_NUMBER, errors.UNKNOWN_PRODUCER_ID):
            self._to_rewrite[batch.tp] = errors.name(error)

    def split(self, batch: ProducerBatch, parts: list[ProducerBatch]) -> None:
        """A batch was too large: its sequences go to its parts."""
        sequences = self._of(batch.tp)
        at = sequences.in_flight.index(batch)
        following = batch.base_sequence
        for part in parts:
            part.producer_id, part.producer_epoch = batch.producer_id, batch.producer_epoch
            part.base_sequence = following
            following = (following + part.count) & 0x7FFF_FFFF
        sequences.in_flight[at : at + 1] = parts

    def expired_after_retry(self, batch: ProducerBatch) -> None:
        """Nobody knows whether it was written: what follows waits until that is known."""
        known = self._unresolved.get(batch.tp, -1)
        self._unresolved[batch.tp] = max(known, batch.last_sequence + 1)

    def _remove(self, sequences: PartitionSequences, batch: ProducerBatch) -> None:
        if batch in sequences.in_flight:
            sequences.in_flight.remove(batch)

    def can_retry(self, batch: ProducerBatch, error: int) -> bool:
        """Beside what any producer retries: gaps, which close when an earlier batch is sent again."""
        if error == errors.UNKNOWN_PRODUCER_ID:
            if not batch.was_reset:
                self._to_rewrite[batch.tp] = errors.name(error)
            return True
        if error == errors.OUT_OF_ORDER_SEQUENCE_NUMBER:
            unresolved = self._unresolved.get(batch.tp)
            is_next = batch.base_sequence == self._of(batch.tp).last_acked + 1
            if unresolved is None and (batch.was_reset or not is_next):
                return True
            if unresolved is None or batch.base_sequence == unresolved:
                self._to_rewrite[batch.tp] = errors.name(error)
            return True
        return error in errors.RETRIABLE
