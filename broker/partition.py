"""One replica of one partition on a broker (Kafka: ``Partition``): its log, its role, and what a leader decides.

It leads or it follows, as the metadata says. A leader that is named again stays it, with the ISR and the epochs of the
metadata.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import attrs

from kafsim.broker.isr import CommittedIsr, IsrState, PendingExpand, PendingShrink
from kafsim.broker.replica_progress import ReplicaProgress
from kafsim.controller.metadata_state import PartitionState
from kafsim.coordinator.coordinator_runtime import TOPIC as OFFSETS_TOPIC
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import broker as facts
from kafsim.protocol.facts.fact import STATE, because
from kafsim.protocol.files import DiskError
from kafsim.protocol.messages.fetch import FetchPartition
from kafsim.protocol.safeguards import Safeguards
from kafsim.protocol.types import EventNumber, Micros, TopicPartition
from kafsim.protocol.uuid import Uuid
from kafsim.storage.log import Appended, Log


class Surround(Protocol):
    """What a partition needs of its broker."""

    id: int
    outbox: Outbox
    safeguards: Safeguards
    lag_max: Micros

    def is_isr_eligible(self, replica: ReplicaProgress) -> bool: ...
    def alive_epoch(self, broker: int) -> int | None: ...
    def propose_isr(self, now: Micros, partition: Partition) -> None: ...
    def on_appended(self, partition: Partition) -> None: ...
    def on_high_watermark(self, now: Micros, partition: Partition) -> None: ...
    def on_lagging(self, partition: Partition, *, lagging: bool) -> None: ...
    def on_low_watermark(self, partition: Partition) -> None: ...
    def on_disk_error(self, partition: Partition) -> None: ...


class Waiting(NamedTuple):
    """A produce request that waits until ``needed`` is below the high watermark."""

    needed: int
    number: int
    finish: Callable[[int], None]
    event: EventNumber


@attrs.define
class Leader:
    """This replica leads. Whoever is not assigned any more has no progress here."""

    epoch_start: int
    isr: IsrState
    replicas: dict[int, ReplicaProgress]
    waiting: list[Waiting] = attrs.field(factory=list)
    """A heap: a batch that was sent again may need less than those before it."""


class Partition:
    """``leader_epoch`` is -1 until the metadata has spoken of it, so that any epoch is new after a restart."""

    def __init__(self, tp: TopicPartition, topic_id: Uuid, log: Log, broker: Surround) -> None:
        self.tp = tp
        self.topic_id = topic_id
        self.log = log
        self.leader: Leader | None = None
        """What it does as leader; None while another replica leads, or nobody."""
        self.leader_epoch = -1
        self.partition_epoch = -1
        self.replica_count = 0
        self.is_coordinators = tp.topic == OFFSETS_TOPIC
        """Who coordinates its groups wants to know how far it is committed."""
        self.watchers: dict[int, Any] = {}
        """The fetch sessions that hold this partition, by their number."""
        self._broker = broker
        self._outbox = broker.outbox
        self._is_lagging = False
        self._waits = 0

    @property
    def name(self) -> str:
        return self.log.directory

    @property
    def min_isr(self) -> int:
        """min.insync.replicas as far as the number of replicas lets it count."""
        return min(self.log.config.min_insync_replicas, self.replica_count)

    # ------------------------------------------------------------------------------ roles

    def make_leader(self, now: Micros, state: PartitionState) -> bool:
        """The metadata names this broker. True when it did not lead before."""
        if state.partition_epoch < self.partition_epoch:
            return False
        was, is_new_epoch = self.leader, state.leader_epoch > self.leader_epoch
        known = was.replicas if was is not None else {}
        replicas = {r: known.get(r) or ReplicaProgress(r) for r in state.replicas if r != self._broker.id}
        start = was.epoch_start if was is not None else 0
        if is_new_epoch:
            start = self.log.log_end_offset
            self.log.start_epoch(state.leader_epoch)
            for replica in replicas.values():
                replica.reset(now, start, in_isr=replica.id in state.isr, is_new_leader=was is None)
        waiting = was.waiting if was is not None else []
        if was is not None and state.partition_epoch == self.partition_epoch:
            self._note_forgotten(was.isr)
        self.leader = Leader(start, CommittedIsr(state.isr), replicas, waiting)
        self.leader_epoch, self.partition_epoch = state.leader_epoch, state.partition_epoch
        self.replica_count = len(state.replicas)
        if is_new_epoch:
            why = because(facts.ELECTED, leader_epoch=state.leader_epoch)
            self._outbox.happened(
                facts.BecameLeader(
                    log=self.name, leader_epoch=state.leader_epoch, epoch_start=start, isr=state.isr, because=why
                )
            )
        self._isr_changed()
        self._note_lag()
        self.maybe_advance_high_watermark(now)
        return was is None

    def _note_forgotten(self, isr: IsrState) -> None:
        """The answer of the controller told of this epoch before the metadata did, and something new is asked since.

        Kafka counts only what the metadata says from now on (``Partition.updateAssignmentAndIsr``): the high watermark
        may pass a replica that the controller is about to take into the ISR.
        """
        if not isinstance(isr, CommittedIsr):
            epoch = self.partition_epoch
            why = because(facts.SAME_EPOCH, partition_epoch=epoch)
            self._outbox.happened(
                facts.IsrProposalForgotten(log=self.name, proposed=isr.proposed, partition_epoch=epoch, because=why)
            )

    def make_follower(self, now: Micros, state: PartitionState) -> bool:
        """The metadata names another leader, or none. True when its epoch is new."""
        if state.partition_epoch < self.partition_epoch:
            return False
        is_new_epoch = state.leader_epoch > self.leader_epoch
        was, self.leader = self.leader, None
        self.leader_epoch, self.partition_epoch = state.leader_epoch, state.partition_epoch
        self.replica_count = len(state.replicas)
        if was is not None:
            self._set_lagging(lagging=False)
            self._fail_waiting(was)
        if is_new_epoch:
            rule = facts.FOLLOWS if state.leader >= 0 else facts.LEADERLESS
            why = because(rule, leader=state.leader, leader_epoch=state.leader_epoch)
            self._outbox.happened(
                facts.BecameFollower(log=self.name, leader=state.leader, leader_epoch=state.leader_epoch, because=why)
            )
        return is_new_epoch

    def _fail_waiting(self, leader: Leader) -> None:
        self._broker.on_low_watermark(self)
        while leader.waiting:
            heapq.heappop(leader.waiting).finish(errors.NOT_LEADER_OR_FOLLOWER)

    def on_disk_error(self) -> None:
        """Its log could not be read or written."""
        self._broker.on_disk_error(self)

    def go_offline(self) -> None:
        """Its directory failed. Who waits for it waits until its time is over."""
        if self.leader is not None:
            self._set_lagging(lagging=False)
            self.leader = None

    def close(self) -> None:
        """The replica is deleted or moved away."""
        leader, self.leader = self.leader, None
        if leader is not None:
            self._set_lagging(lagging=False)
            self._fail_waiting(leader)

    def check_epoch(self, epoch: int) -> int:
        """An error for whoever believes in another leader epoch; -1 believes in none."""
        if epoch < 0 or epoch == self.leader_epoch or not self._broker.safeguards.fence_leader_epochs:
            return errors.NONE
        return errors.FENCED_LEADER_EPOCH if epoch < self.leader_epoch else errors.UNKNOWN_LEADER_EPOCH

    # -------------------------------------------------------------------------- appending

    def append_as_leader(self, now: Micros, data: bytes, acks: int, wall_ms: int) -> Appended:
        """One batch of a client, if this replica leads and enough replicas are in sync."""
        leader = self.leader
        if leader is None:
            return Appended(-1, -1, errors.NOT_LEADER_OR_FOLLOWER)
        if acks == -1 and len(leader.isr.isr) < self.min_isr and self._broker.safeguards.check_min_isr:
            why = because(facts.TOO_FEW, isr=str(list(leader.isr.isr)), min_isr=self.min_isr)
            error = errors.NOT_ENOUGH_REPLICAS
            self._outbox.happened(facts.ProduceRefused(log=self.name, error=errors.name(error), because=why))
            return Appended(-1, -1, error)
        old_end = self.log.log_end_offset
        try:
            appended = self.log.append_as_leader(data, self.leader_epoch, wall_ms)
        except DiskError:
            self._broker.on_disk_error(self)
            return Appended(-1, -1, errors.KAFKA_STORAGE_ERROR)
        if self.log.log_end_offset != old_end:
            for replica in leader.replicas.values():
                replica.falls_behind(old_end)
            self._note_lag()
            self._broker.on_appended(self)
        self.maybe_advance_high_watermark(now)
        return appended

    def wait_for(self, needed: int, finish: Callable[[int], None]) -> None:
        """Call ``finish`` with an error code once the high watermark has reached an offset, or this cannot be."""
        leader = self.leader
        if leader is None:
            finish(errors.NOT_LEADER_OR_FOLLOWER)
        elif self.log.high_watermark >= needed or not self._broker.safeguards.wait_for_in_sync_replicas:
            finish(self._after_append_error(leader))
        else:
            self._waits += 1
            heapq.heappush(leader.waiting, Waiting(needed, self._waits, finish, self._outbox.event))

    def _after_append_error(self, leader: Leader) -> int:
        enough = len(leader.isr.maximal) >= self.min_isr or not self._broker.safeguards.check_min_isr
        if enough:
            return errors.NONE
        why = because(facts.SHRANK, min_isr=self.min_isr)
        error = errors.NOT_ENOUGH_REPLICAS_AFTER_APPEND
        self._outbox.happened(facts.ProduceRefused(log=self.name, error=errors.name(error), because=why))
        return error

    def maybe_advance_high_watermark(self, now: Micros) -> bool:
        """To the smallest end of all replicas that count: the maximal ISR, and whoever is about to join it."""
        leader = self.leader
        if leader is None:
            return False
        safeguards = self._broker.safeguards
        if safeguards.freeze_high_watermark_under_min_isr and len(leader.isr.isr) < self.min_isr:
            return False
        end = candidate = self.log.log_end_offset
        counted = leader.isr.maximal if safeguards.use_maximal_isr else _proposed(leader.isr)
        for replica in leader.replicas.values():
            if replica.log_end_offset < candidate and (
                replica.id in counted
                or (
                    safeguards.use_maximal_isr
                    and replica.is_caught_up(end, now, self._broker.lag_max)
                    and self._broker.is_isr_eligible(replica)
                )
            ):
                candidate = replica.log_end_offset
        if candidate <= self.log.high_watermark:
            return False
        self._move_high_watermark(candidate, leads=True)
        while leader.waiting and leader.waiting[0].needed <= candidate:
            waiting = heapq.heappop(leader.waiting)
            waiting.finish(self._after_append_error(leader))
        self._broker.on_high_watermark(now, self)
        return True

    def _move_high_watermark(self, to: int, *, leads: bool) -> bool:
        was = self.log.high_watermark
        if not self.log.set_high_watermark(to):
            return False
        if self._outbox.heard >= STATE:
            self._outbox.happened(
                facts.HighWatermarkMoved(log=self.name, to=self.log.high_watermark, was=was, leads=leads)
            )
        return True

    # -------------------------------------------------------------------------- followers

    def update_follower(
        self, now: Micros, replica_id: int, asked: FetchPartition, broker_epoch: int, session: Any
    ) -> int:
        """A follower asks for an offset: it has everything below. An error code when it may not."""
        leader = self.leader
        assert leader is not None, f"{self.name} does not lead"
        replica = leader.replicas.get(replica_id)
        if replica is None:
            return errors.NOT_LEADER_OR_FOLLOWER if asked.current_leader_epoch < 0 else errors.UNKNOWN_LEADER_EPOCH
        alive = self._broker.alive_epoch(replica_id)
        stale = broker_epoch != -1 and alive is not None and alive > broker_epoch
        if stale and self._broker.safeguards.check_broker_epochs:
            return errors.NOT_LEADER_OR_FOLLOWER
        old, old_start = replica.log_end_offset, replica.log_start_offset
        replica.fetched(now, asked.fetch_offset, asked.log_start_offset, self.log.log_end_offset, broker_epoch)
        if replica.session is not session:
            self._take_over(replica, session)
        self._note_lag()
        self._maybe_expand(now, leader, replica)
        self._note_outside(replica)
        if replica.log_start_offset != old_start:
            self._broker.on_low_watermark(self)
        if replica.log_end_offset != old:
            self.maybe_advance_high_watermark(now)
        return errors.NONE

    def _take_over(self, replica: ReplicaProgress, session: Any) -> None:
        """Another session of this follower. The one before is looked at again with its next fetch, if there is one.

        What arrives late of an incarnation that is gone must not keep the living one from being noted.
        """
        if replica.session is not None:
            replica.session.outside[self.topic_id, self.tp.partition] = None
        replica.session = session

    def forget(self, session: Any) -> None:
        """A session does not hold this partition any more: its fetches say nothing of it."""
        self.watchers.pop(session.number, None)
        replica = self.leader.replicas.get(session.replica_id) if self.leader is not None else None
        if replica is not None and replica.session is session:
            replica.session = None

    def take_high_watermark(self, now: Micros, offset: int, log_start: int) -> None:
        """What the leader said with its answer; a follower's high watermark may also go down."""
        if self._move_high_watermark(offset, leads=False):
            self._broker.on_high_watermark(now, self)
        if log_start > self.log.log_start_offset:
            self.log.advance_log_start(min(log_start, self.log.high_watermark))

    def _note_outside(self, replica: ReplicaProgress) -> None:
        """A follower outside the ISR is looked at with each of its fetches, others only when something changed."""
        leader = self.leader
        if leader is not None and replica.session is not None:
            key = (self.topic_id, self.tp.partition)
            if replica.id in leader.isr.isr:
                replica.session.outside.pop(key, None)
            else:
                replica.session.outside[key] = None

    def _note_lag(self) -> None:
        leader = self.leader
        if leader is None:
            return
        end = self.log.log_end_offset
        lagging = any(replica.log_end_offset != end for replica in leader.replicas.values())
        if lagging != self._is_lagging:
            self._set_lagging(lagging=lagging)

    def _set_lagging(self, *, lagging: bool) -> None:
        self._is_lagging = lagging
        self._broker.on_lagging(self, lagging=lagging)

    # ------------------------------------------------------------------------------- ISR

    def _maybe_expand(self, now: Micros, leader: Leader, replica: ReplicaProgress) -> None:
        if leader.isr.in_flight or replica.id in leader.isr.isr or not self._broker.is_isr_eligible(replica):
            return
        reached = replica.log_end_offset >= max(self.log.high_watermark, leader.epoch_start)
        if not reached and self._broker.safeguards.expand_isr_only_when_caught_up:
            return
        why = because(
            facts.CAUGHT_UP,
            replica=replica.id,
            offset=replica.log_end_offset,
            high_watermark=self.log.high_watermark,
            epoch_start=leader.epoch_start,
        )
        self._propose(now, leader, PendingExpand(leader.isr.isr, replica.id), why)

    def maybe_shrink(self, now: Micros) -> None:
        """Take out of the ISR whoever has not been caught up for replica.lag.time.max.ms."""
        leader = self.leader
        if leader is None or leader.isr.in_flight:
            return
        end, lag_max = self.log.log_end_offset, self._broker.lag_max
        late = []
        for member in leader.isr.isr:
            replica = leader.replicas.get(member)
            if member != self._broker.id and (replica is None or not replica.is_caught_up(end, now, lag_max)):
                late.append(member)
        if not late:
            return
        first = leader.replicas.get(late[0]) or ReplicaProgress(late[0])
        why = because(
            facts.LAGGING,
            replica=",".join(map(str, late)),
            behind=end - max(first.log_end_offset, 0),
            since_ms=(now - first.last_caught_up) // 1_000,
            lag_ms=lag_max // 1_000,
        )
        self._propose(now, leader, PendingShrink(leader.isr.isr, tuple(late)), why)

    def _propose(self, now: Micros, leader: Leader, state: PendingExpand | PendingShrink, why: Any) -> None:
        leader.isr = state
        self._outbox.happened(
            facts.IsrProposed(
                log=self.name, isr=state.proposed, was=state.isr, leader_epoch=self.leader_epoch, because=why
            )
        )
        self._isr_changed()
        self._broker.propose_isr(now, self)

    def on_isr_answer(
        self, now: Micros, asked: IsrState, error: int, isr: tuple[int, ...], leader_epoch: int, partition_epoch: int
    ) -> bool:
        """The controller's word on a proposal. True when it should be sent again as it is."""
        leader = self.leader
        if leader is None or leader.isr is not asked:
            return False
        if error == errors.NONE:
            if leader_epoch == self.leader_epoch and partition_epoch >= self.partition_epoch:
                leader.isr = CommittedIsr(isr)
                self.partition_epoch = partition_epoch
                self._isr_changed()
                self.maybe_advance_high_watermark(now)
            return False
        why = because(facts.PROPOSAL_REFUSED, error=errors.name(error))
        self._outbox.happened(facts.IsrProposalRefused(log=self.name, because=why))
        if error in (errors.OPERATION_NOT_ATTEMPTED, errors.INELIGIBLE_REPLICA):
            leader.isr = CommittedIsr(asked.isr)
            self._isr_changed()
            return False
        return error not in _WAIT_FOR_METADATA

    def _isr_changed(self) -> None:
        leader = self.leader
        if leader is not None:
            for replica in leader.replicas.values():
                self._note_outside(replica)
        if leader is not None and self._outbox.heard >= STATE:
            self._outbox.happened(
                facts.IsrCommitted(
                    log=self.name,
                    isr=leader.isr.isr,
                    maximal=leader.isr.maximal,
                    partition_epoch=self.partition_epoch,
                )
            )


_WAIT_FOR_METADATA = frozenset(
    {
        errors.UNKNOWN_TOPIC_OR_PARTITION,
        errors.UNKNOWN_TOPIC_ID,
        errors.FENCED_LEADER_EPOCH,
        errors.INVALID_UPDATE_VERSION,
        errors.INVALID_REQUEST,
        errors.NEW_LEADER_ELECTED,
    }
)
"""After these a proposal stays pending until the metadata says what is."""


def _proposed(isr: IsrState) -> tuple[int, ...]:
    return isr.isr if isinstance(isr, CommittedIsr) else isr.proposed
