"""One replica that leads: who counts for the high watermark, who may join or leave the ISR, who is refused."""

from __future__ import annotations

import attrs
import pytest

from kafsim.broker.isr import PendingExpand, PendingShrink
from kafsim.broker.partition import Partition
from kafsim.broker.replica_progress import ReplicaProgress
from kafsim.controller.metadata_state import PartitionState
from kafsim.protocol import errors
from kafsim.protocol.effects import HAPPENED, Outbox
from kafsim.protocol.facts.broker import IsrProposalForgotten
from kafsim.protocol.messages.fetch import FetchPartition
from kafsim.protocol.safeguards import ALL_ON, Safeguards
from kafsim.protocol.types import Micros, TopicPartition
from tests.storage.kit import NOW, Machine, batch

TOPIC_ID = b"t" * 16
LAG_MAX = Micros(10_000_000)


@attrs.define
class Broker:
    """Broker 1 as its partition sees it: notes what it is told."""

    outbox: Outbox
    safeguards: Safeguards = ALL_ON
    id: int = 1
    lag_max: Micros = LAG_MAX
    alive: dict[int, int] = attrs.field(factory=lambda: {1: 11, 2: 12, 3: 13})
    proposed: list[tuple[int, ...]] = attrs.field(factory=list)
    lagging: bool = False

    def is_isr_eligible(self, replica: ReplicaProgress) -> bool:
        return replica.id in self.alive and replica.broker_epoch in (-1, self.alive[replica.id])

    def alive_epoch(self, broker: int) -> int | None:
        return self.alive.get(broker)

    def propose_isr(self, now: Micros, partition: Partition) -> None:
        leader = partition.leader
        assert leader is not None
        assert isinstance(leader.isr, (PendingExpand, PendingShrink))
        self.proposed.append(leader.isr.proposed)

    def on_appended(self, partition: Partition) -> None: ...
    def on_low_watermark(self, partition: Partition) -> None: ...
    def on_high_watermark(self, now: Micros, partition: Partition) -> None: ...
    def on_lagging(self, partition: Partition, *, lagging: bool) -> None:
        self.lagging = lagging


@attrs.define
class Session:
    replica_id: int
    number: int = 1
    last_fetch: Micros = Micros(0)  # noqa: RUF009
    outside: dict[tuple[bytes, int], None] = attrs.field(factory=dict)


class Leader:
    """Broker 1 leads; brokers 2 and 3 follow."""

    def __init__(self, isr: tuple[int, ...] = (1, 2, 3), safeguards: Safeguards = ALL_ON, **config: object) -> None:
        log = Machine(**config).open()
        self.broker = Broker(log.outbox, safeguards)
        self.partition = Partition(TopicPartition("t", 0), TOPIC_ID, log, self.broker)
        self.sessions = {id_: Session(id_) for id_ in (2, 3)}
        self.epoch = 0
        self.become(isr, leader_epoch=1)

    def become(self, isr: tuple[int, ...], leader_epoch: int, now: int = 0) -> None:
        self.epoch += 1
        state = PartitionState(
            replicas=(1, 2, 3), isr=isr, leader=1, leader_epoch=leader_epoch, partition_epoch=self.epoch
        )
        self.partition.make_leader(Micros(now), state)

    def append(self, count: int = 1, now: int = 0, acks: int = -1) -> int:
        for number in range(count):
            appended = self.partition.append_as_leader(Micros(now), batch(f"v{number}"), acks, NOW)
        return appended.error

    def fetch(self, replica: int, offset: int, now: int = 0, epoch: int | None = None) -> int:
        session = self.sessions[replica]
        session.last_fetch = Micros(now)
        given = self.broker.alive[replica] if epoch is None else epoch
        asked = FetchPartition(fetch_offset=offset, log_start_offset=0, current_leader_epoch=1)
        return self.partition.update_follower(Micros(now), replica, asked, given, session)

    @property
    def high_watermark(self) -> int:
        return self.partition.log.high_watermark


def test_the_high_watermark_is_what_the_whole_isr_has() -> None:
    leader = Leader()
    leader.append(5)
    leader.fetch(2, 5)
    assert leader.high_watermark == 0
    leader.fetch(3, 3)
    assert leader.high_watermark == 3
    leader.fetch(3, 5)
    assert leader.high_watermark == 5


def test_a_follower_outside_the_isr_does_not_hold_it_back() -> None:
    leader = Leader(isr=(1, 2))
    leader.append(5, now=LAG_MAX + 1)
    leader.fetch(2, 5, now=LAG_MAX + 1)
    assert leader.high_watermark == 5


def test_one_about_to_join_holds_it_back_already() -> None:
    """Asked for, not confirmed: the controller may have taken it."""
    leader = Leader(isr=(1, 2))
    leader.fetch(3, 0)
    assert leader.broker.proposed == [(1, 2, 3)]
    leader.append(2, now=LAG_MAX + 1)
    leader.fetch(2, 2, now=LAG_MAX + 1)
    assert leader.high_watermark == 0
    leader.fetch(3, 2, now=LAG_MAX + 2)
    assert leader.high_watermark == 2


def test_one_about_to_join_is_forgotten_when_the_metadata_comes_to_an_epoch_that_is_known_already() -> None:
    """As Kafka does, though the controller may take it in yet; the fact tells."""
    leader = Leader(isr=(1, 2))
    leader.fetch(3, 0)
    leader.append(2, now=LAG_MAX + 1)
    leader.fetch(2, 2, now=LAG_MAX + 1)
    assert leader.high_watermark == 0
    leader.epoch -= 1
    leader.become((1, 2), leader_epoch=1, now=LAG_MAX + 2)
    assert leader.high_watermark == 2
    told = [effect[1] for effect in leader.broker.outbox.effects if effect[0] == HAPPENED]
    assert [one.proposed for one in told if isinstance(one, IsrProposalForgotten)] == [(1, 2, 3)]


def test_a_lagging_member_is_asked_out_and_counts_until_that_is_confirmed() -> None:
    leader = Leader()
    leader.append(3)
    leader.fetch(2, 3, now=LAG_MAX)
    leader.partition.maybe_shrink(Micros(LAG_MAX + 1))
    assert leader.broker.proposed == [(1, 2)]
    assert leader.high_watermark == 0
    leader.become((1, 2), leader_epoch=1, now=LAG_MAX + 2)
    assert leader.high_watermark == 3


def test_a_follower_joins_at_the_high_watermark_and_not_before() -> None:
    leader = Leader(isr=(1, 2))
    leader.append(4, now=LAG_MAX + 1)
    leader.fetch(2, 4, now=LAG_MAX + 1)
    leader.fetch(3, 3, now=LAG_MAX + 1)
    assert leader.broker.proposed == []
    leader.fetch(3, 4, now=LAG_MAX + 1)
    assert leader.broker.proposed == [(1, 2, 3)]


def test_a_new_leader_takes_nobody_before_its_epoch_is_reached() -> None:
    """A replica at the old high watermark may lack what the new leader has beyond it."""
    leader = Leader(isr=(1, 2))
    leader.append(4, now=LAG_MAX + 1)
    leader.fetch(2, 3, now=LAG_MAX + 1)
    leader.become((1, 2), leader_epoch=2, now=LAG_MAX + 1)
    leader.fetch(3, 3, now=LAG_MAX + 1)
    assert (leader.high_watermark, leader.broker.proposed) == (3, [])
    leader.fetch(3, 4, now=LAG_MAX + 1)
    assert leader.broker.proposed == [(1, 2, 3)]


def test_only_one_proposal_at_a_time() -> None:
    leader = Leader(isr=(1,))
    leader.fetch(2, 0)
    leader.fetch(3, 0)
    assert leader.broker.proposed == [(1, 2)]


@pytest.mark.parametrize("change", [{}, {"check_broker_epochs": False}], ids=["on", "off"])
def test_a_fetch_of_an_incarnation_before_is_refused(change: dict[str, bool]) -> None:
    leader = Leader(safeguards=attrs.evolve(ALL_ON, **change))
    leader.append(1)
    error = leader.fetch(2, 1, epoch=5)
    assert error == (errors.NONE if change else errors.NOT_LEADER_OR_FOLLOWER)


def test_who_is_not_assigned_is_refused() -> None:
    leader = Leader()
    for epoch, error in ((1, errors.UNKNOWN_LEADER_EPOCH), (-1, errors.NOT_LEADER_OR_FOLLOWER)):
        asked = FetchPartition(current_leader_epoch=epoch)
        assert leader.partition.update_follower(Micros(0), 9, asked, -1, Session(9)) == error


def test_other_leader_epochs_are_fenced() -> None:
    leader = Leader()
    leader.become((1, 2, 3), leader_epoch=4)
    asked = {epoch: leader.partition.check_epoch(epoch) for epoch in (-1, 3, 4, 5)}
    assert asked == {
        -1: errors.NONE,
        3: errors.FENCED_LEADER_EPOCH,
        4: errors.NONE,
        5: errors.UNKNOWN_LEADER_EPOCH,
    }


def test_without_fencing_every_leader_epoch_is_served() -> None:
    leader = Leader(safeguards=attrs.evolve(ALL_ON, fence_leader_epochs=False))
    leader.become((1, 2, 3), leader_epoch=4)
    assert {leader.partition.check_epoch(epoch) for epoch in (-1, 3, 4, 5)} == {errors.NONE}


def test_too_few_in_sync_refuses_acks_all_only() -> None:
    leader = Leader(isr=(1,), min_insync_replicas=2)
    assert leader.append(acks=-1) == errors.NOT_ENOUGH_REPLICAS
    assert leader.append(acks=1) == errors.NONE
    assert leader.partition.log.log_end_offset == 1


def test_below_the_minimum_the_high_watermark_stands_still() -> None:
    leader = Leader(isr=(1,), min_insync_replicas=2)
    leader.append(acks=1, now=LAG_MAX + 1)
    assert leader.high_watermark == 0


def test_more_than_there_are_replicas_is_never_asked_for() -> None:
    leader = Leader(min_insync_replicas=9)
    assert leader.append() == errors.NONE


def test_a_wait_ends_with_the_high_watermark_or_with_the_leadership() -> None:
    leader, finished = Leader(), []
    leader.append(2)
    for needed in (1, 2):
        leader.partition.wait_for(needed, lambda error, n=needed: finished.append((n, error)))
    leader.fetch(2, 1)
    leader.fetch(3, 1)
    assert finished == [(1, errors.NONE)]
    state = PartitionState(replicas=(1, 2, 3), isr=(2, 3), leader=2, leader_epoch=2, partition_epoch=9)
    leader.partition.make_follower(Micros(0), state)
    assert finished[1:] == [(2, errors.NOT_LEADER_OR_FOLLOWER)]


def test_an_isr_that_shrank_after_the_append_is_told() -> None:
    leader, finished = Leader(min_insync_replicas=2), []
    leader.append(1)
    leader.partition.wait_for(1, finished.append)
    leader.fetch(2, 1)
    leader.fetch(3, 1)
    assert finished == [errors.NONE]
    leader.partition.wait_for(1, finished.append)
    assert finished == [errors.NONE, errors.NONE]
    leader.become((1,), leader_epoch=1)
    leader.partition.wait_for(1, finished.append)
    assert finished[-1] == errors.NOT_ENOUGH_REPLICAS_AFTER_APPEND


def test_metadata_of_an_older_partition_epoch_changes_nothing() -> None:
    leader = Leader()
    leader.become((1, 2), leader_epoch=1)
    state = PartitionState(replicas=(1, 2, 3), isr=(1, 2, 3), leader=1, leader_epoch=1, partition_epoch=1)
    leader.partition.make_leader(Micros(0), state)
    assert leader.partition.leader is not None
    assert leader.partition.leader.isr.isr == (1, 2)


def test_only_partitions_with_a_follower_behind_are_lagging() -> None:
    leader = Leader()
    leader.fetch(2, 0)
    leader.fetch(3, 0)
    assert not leader.broker.lagging
    leader.append(1)
    assert leader.broker.lagging
    leader.fetch(2, 1)
    assert leader.broker.lagging
    leader.fetch(3, 1)
    assert not leader.broker.lagging


def test_a_late_fetch_of_an_incarnation_that_is_gone_hides_nothing() -> None:
    """The living session is looked at again with its next fetch, though nothing in it changed."""
    leader = Leader()
    late, living = leader.sessions[2], Session(2, number=9)
    leader.fetch(2, 0)
    leader.sessions[2] = living
    leader.fetch(2, 0)
    leader.sessions[2] = late
    leader.fetch(2, 0)
    assert (TOPIC_ID, 0) in living.outside
    leader.become((1, 3), leader_epoch=1)
    leader.sessions[2] = living
    leader.fetch(2, 0)
    assert (TOPIC_ID, 0) in living.outside
