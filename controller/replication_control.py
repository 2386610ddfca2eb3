"""Decides about partitions (Kafka: ``ReplicationControlManager``). Pure: the records are replayed elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafsim.controller.metadata_state import (
    BROKER,
    MIGRATING,
    NO_LEADER,
    NO_LEADER_CHANGE,
    RECOVERED,
    RECOVERING,
    TOPIC,
    UNASSIGNED,
    MetadataState,
    PartitionKey,
    PartitionState,
)
from kafsim.controller.partition_change import Change, Election, PartitionChangeBuilder
from kafsim.protocol import errors
from kafsim.protocol.config import topic_value
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import controller as facts
from kafsim.protocol.facts.fact import Because, because
from kafsim.protocol.messages.alter_partition import (
    AlterPartitionRequest,
    AlterPartitionResponse,
    PartitionData,
    PartitionDataResult,
    TopicDataResult,
)
from kafsim.protocol.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)
from kafsim.protocol.safeguards import Safeguards
from kafsim.protocol.uuid import Uuid

PREFERRED_ELECTION, UNCLEAN_ELECTION = 0, 1
ELECTION_TEXTS = {
    errors.PREFERRED_LEADER_NOT_AVAILABLE: "The preferred leader was not available.",
    errors.ELIGIBLE_LEADERS_NOT_AVAILABLE: "Eligible topic partition leaders are not available.",
    errors.ELECTION_NOT_NEEDED: "Leader election not needed for topic partition.",
}
"""Kafka: ``ElectionType``."""


class ReplicationControl:
    """``settings`` are the controller's static broker settings."""

    def __init__(
        self, state: MetadataState, settings: dict[str, Any], outbox: Outbox, safeguards: Safeguards, node_id: int
    ) -> None:
        self.state = state
        self.node_id = node_id
        self.settings = settings
        self.outbox = outbox
        self.safeguards = safeguards

    # ------------------------------------------------------------------------ settings

    def topic_setting(self, topic_id: Uuid, name: str) -> Any:
        topic = self.state.topic_names[topic_id]
        dynamic = {**self.state.config(BROKER, ""), **self.state.config(BROKER, str(self.node_id))}
        return topic_value(name, self.state.config(TOPIC, topic), dynamic, self.settings)

    def min_isr(self, topic_id: Uuid) -> int:
        """min.insync.replicas as far as the number of replicas lets it count."""
        replicas = self.state.partitions[topic_id, 0].replicas
        return min(int(self.topic_setting(topic_id, "min.insync.replicas")), len(replicas))

    def election_of(self, topic_id: Uuid) -> Election:
        unclean = self.topic_setting(topic_id, "unclean.leader.election.enable")
        return Election.UNCLEAN if unclean else Election.ONLINE

    def builder(self, key: PartitionKey, acceptable: Callable[[int], bool] | None = None) -> PartitionChangeBuilder:
        partition, may_lead = self.state.partitions[key], acceptable or self.state.is_active
        return PartitionChangeBuilder(
            key=key,
            partition=partition,
            is_acceptable=lambda broker: may_lead(broker) and self.state.is_online(partition, broker),
            why_not=self._why_not,
            min_isr=self.min_isr(key[0]),
            elr_enabled=self.state.elr_enabled,
            only_from_isr=self.safeguards.elect_only_from_isr,
            election=self.election_of(key[0]),
            directory_of=self.directory_of,
        )

    def directory_of(self, broker: int) -> Uuid:
        """Where a new replica goes: the only directory of its broker; otherwise the broker chooses."""
        state = self.state.brokers.get(broker)
        if state is not None and len(state.directories) < 2:
            return state.directories[0] if state.directories else MIGRATING
        return UNASSIGNED

    def _why_not(self, broker: int) -> str:
        state = self.state.brokers.get(broker)
        if state is None:
            return "not registered"
        if state.fenced:
            return "fenced"
        if state.is_active:
            return "on another disk than its replica was"
        return "in controlled shutdown" if state.in_controlled_shutdown else "up"

    # ------------------------------------------------------------------ brokers that go

    def update_leaders_and_isrs(
        self,
        why_isr: Because,
        *,
        keys: list[PartitionKey],
        remove: int | None = None,
        add: int | None = None,
        unclean: int | None = None,
        leaving: str = "being fenced",
    ) -> list[Any]:
        """Elect anew where needed, as if ``remove`` were gone and ``add`` were up; ``leaving`` says why it goes.

        ``unclean``: came back without a clean stop. ``add`` does not join the ISR by this.
        """

        def acceptable(broker: int) -> bool:
            return broker not in (remove, unclean) and (broker == add or self.state.is_active(broker))

        def why_not(broker: int) -> str:
            if broker == unclean:
                return "back after an unclean shutdown"
            return leaving if broker == remove else self._why_not(broker)

        records = []
        for key in keys:
            builder = self.builder(key, acceptable)
            builder.why_not = why_not
            builder.target_isr = tuple(b for b in builder.partition.isr if b not in (remove, unclean))
            builder.unclean_shutdown = () if unclean is None else (unclean,)
            change = builder.build()
            if change is not None:
                records.append(self.decide(key, change, why_isr))
        return records

    def in_isr(self, broker: int) -> list[PartitionKey]:
        return [key for key, partition in self.state.partitions.items() if broker in partition.isr]

    def in_elr(self, broker: int) -> list[PartitionKey]:
        return [key for key, partition in self.state.partitions.items() if broker in partition.elr]

    def in_directory(self, broker: int, directory: Uuid) -> list[PartitionKey]:
        """Partitions whose replica on this broker is in that directory."""
        return [key for key, partition in self.state.partitions.items() if partition.directory_of(broker) == directory]

    def leaderless(self) -> list[PartitionKey]:
        return [key for key, partition in self.state.partitions.items() if partition.leader == NO_LEADER]

    def has_leaderships(self, broker: int) -> bool:
        return any(partition.leader == broker for partition in self.state.partitions.values())

    def broker_shut_down(self, broker: int, why: Because, *, clean: bool) -> list[Any]:
        """A broker registers again: what it was before is over (Kafka: ``handleBrokerShutdown``)."""
        if self.state.elr_enabled and not clean:
            records = self.update_leaders_and_isrs(why, keys=self.in_isr(broker), unclean=broker)
            return records + self.update_leaders_and_isrs(why, keys=self.in_elr(broker), unclean=broker)
        return self.update_leaders_and_isrs(why, keys=self.in_isr(broker), remove=broker)

    # -------------------------------------------------------------------- alter partition

    def alter_partition(self, request: AlterPartitionRequest) -> tuple[list[Any], AlterPartitionResponse]:
        """A leader asks for another ISR."""
        known = self.state.brokers.get(request.broker_id)
        stale = known is None or known.epoch != request.broker_epoch
        if stale and self.safeguards.check_broker_epochs:
            return [], AlterPartitionResponse(error_code=errors.STALE_BROKER_EPOCH)
        records: list[Any] = []
        topics = []
        for topic in request.topics:
            answers = [self._alter_one(request.broker_id, topic.topic_id, asked, records) for asked in topic.partitions]
            topics.append(TopicDataResult(topic_id=topic.topic_id, partitions=tuple(answers)))
        return records, AlterPartitionResponse(topics=tuple(topics))

    def _alter_one(self, leader: int, topic_id: Uuid, asked: PartitionData, records: list[Any]) -> PartitionDataResult:
        key = (topic_id, asked.partition_index)
        partition = self.state.partitions.get(key)
        if topic_id not in self.state.topic_names:
            return PartitionDataResult(partition_index=asked.partition_index, error_code=errors.UNKNOWN_TOPIC_ID)
        if partition is None:
            return PartitionDataResult(
                partition_index=asked.partition_index, error_code=errors.UNKNOWN_TOPIC_OR_PARTITION
            )
        isr = tuple(member.broker_id for member in asked.new_isr_with_epochs)
        error, reason = self._check_alter(leader, partition, asked, isr)
        if error:
            self._refuse_alter(key, leader, error, reason)
            return PartitionDataResult(partition_index=asked.partition_index, error_code=error)
        builder = self.builder(key)
        builder.target_isr = isr
        builder.target_recovery = asked.leader_recovery_state
        change = builder.build()
        if change is not None:
            why = because(facts.LEADER_ASKED, leader=leader, isr=str(list(isr)))
            records.append(self.decide(key, change, why))
            partition = partition.merge(change.record)
            if change.record.leader not in (NO_LEADER_CHANGE, leader):
                return PartitionDataResult(partition_index=asked.partition_index, error_code=errors.NEW_LEADER_ELECTED)
        return PartitionDataResult(
            partition_index=asked.partition_index,
            leader_id=partition.leader,
            leader_epoch=partition.leader_epoch,
            isr=partition.isr,
            leader_recovery_state=partition.recovery,
            partition_epoch=partition.partition_epoch,
        )

    def _check_alter(
        self, leader: int, now: PartitionState, asked: PartitionData, isr: tuple[int, ...]
    ) -> tuple[int, str]:
        error, reason = (
            self._check_epochs(leader, now, asked) if self.safeguards.check_partition_epochs else (errors.NONE, "")
        )
        if error:
            return error, reason
        if len(set(isr)) != len(isr) or any(replica not in now.replicas for replica in isr):
            return errors.INVALID_REQUEST, f"the ISR {list(isr)} is not a subset of the replicas {list(now.replicas)}"
        if now.leader not in isr and self.safeguards.check_partition_epochs:
            return errors.INVALID_REQUEST, f"the ISR {list(isr)} is without the leader {now.leader}"
        if asked.leader_recovery_state == RECOVERING and (len(isr) > 1 or now.recovery == RECOVERED):
            return errors.INVALID_REQUEST, "the leader cannot go back to recovering, or grow its ISR meanwhile"
        return self._check_members(asked) if self.safeguards.check_broker_epochs else (errors.NONE, "")

    def _check_epochs(self, leader: int, now: PartitionState, asked: PartitionData) -> tuple[int, str]:
        if asked.leader_epoch > now.leader_epoch or asked.partition_epoch > now.partition_epoch:
            return errors.NOT_CONTROLLER, "the leader knows newer epochs than this controller"
        if asked.leader_epoch < now.leader_epoch:
            return errors.FENCED_LEADER_EPOCH, f"leader epoch {asked.leader_epoch}, now it is {now.leader_epoch}"
        if leader != now.leader:
            return errors.INVALID_REQUEST, f"broker {now.leader} leads"
        if asked.partition_epoch < now.partition_epoch:
            old, new = asked.partition_epoch, now.partition_epoch
            return errors.INVALID_UPDATE_VERSION, f"partition epoch {old}, now it is {new}"
        return errors.NONE, ""

    def _check_members(self, asked: PartitionData) -> tuple[int, str]:
        for member in asked.new_isr_with_epochs:
            broker = self.state.brokers.get(member.broker_id)
            if broker is None or not broker.is_active:
                return errors.INELIGIBLE_REPLICA, f"broker {member.broker_id} is {self._why_not(member.broker_id)}"
            if member.broker_epoch not in (-1, broker.epoch):
                return errors.INELIGIBLE_REPLICA, f"broker {member.broker_id} fetched before it registered again"
        return errors.NONE, ""

    def _refuse_alter(self, key: PartitionKey, leader: int, error: int, reason: str) -> None:
        self.outbox.happened(
            facts.AlterPartitionRefused(
                topic=self.state.topic_names[key[0]],
                partition=key[1],
                broker=leader,
                error=errors.name(error),
                because=because(facts.REFUSED, reason=reason),
            )
        )

    # ------------------------------------------------------------------------- elections

    def elect_preferred(self, limit: int = 1_000) -> list[Any]:
        """Give leadership back where the first replica is in sync again."""
        records: list[Any] = []
        for key, partition in self.state.partitions.items():
            if partition.leader != partition.replicas[0] and len(records) < limit:
                records += self._elect(key, Election.PREFERRED)
        return records

    def elect_unclean(self, limit: int = 1_000) -> list[Any]:
        """Give a leader to partitions without one whose topic allows it."""
        records: list[Any] = []
        for key in self.leaderless():
            if self.election_of(key[0]) is Election.UNCLEAN and len(records) < limit:
                records += self._elect(key, Election.UNCLEAN)
        return records

    def _elect(self, key: PartitionKey, election: Election) -> list[Any]:
        builder = self.builder(key)
        builder.election = election
        change = builder.build()
        if change is None:
            return []
        return [self.decide(key, change, because(facts.LEADER_ASKED, leader=-1, isr=""))]

    def elect_leaders(self, request: ElectLeadersRequest) -> tuple[list[Any], ElectLeadersResponse]:
        """An admin's request. Asked for all partitions, those that need no election are left out of the answer."""
        records: list[Any] = []
        results = []
        if request.election_type not in (PREFERRED_ELECTION, UNCLEAN_ELECTION):
            text = f"Unknown election type {request.election_type}"
            return [], ElectLeadersResponse(
                error_code=errors.INVALID_REQUEST, replica_election_results=_all_refused(request, text)
            )
        for topic, indexes in self._asked_for_election(request):
            answers = [self._elect_one(topic, index, request.election_type, records) for index in indexes]
            if request.topic_partitions is None:
                answers = [answer for answer in answers if answer.error_code != errors.ELECTION_NOT_NEEDED]
            results.append(ReplicaElectionResult(topic=topic, partition_result=tuple(answers)))
        return records, ElectLeadersResponse(replica_election_results=tuple(results))

    def _asked_for_election(self, request: ElectLeadersRequest) -> list[tuple[str, tuple[int, ...]]]:
        if request.topic_partitions is not None:
            return [(topic.topic, topic.partitions) for topic in request.topic_partitions]
        return [(n, tuple(range(self.state.partition_counts[id_]))) for n, id_ in self.state.topic_ids.items()]

    def _elect_one(self, topic: str, index: int, type_: int, records: list[Any]) -> PartitionResult:
        topic_id = self.state.topic_ids.get(topic)
        partition = None if topic_id is None else self.state.partitions.get((topic_id, index))
        if topic_id is None or partition is None:
            what = f"topic as {topic}" if topic_id is None else f"partition as {topic}-{index}"
            unknown = errors.UNKNOWN_TOPIC_OR_PARTITION
            return PartitionResult(partition_id=index, error_code=unknown, error_message=f"No such {what}")
        is_preferred = type_ == PREFERRED_ELECTION
        if partition.leader == partition.replicas[0] if is_preferred else partition.leader != NO_LEADER:
            error = errors.ELECTION_NOT_NEEDED
        else:
            made = self._elect((topic_id, index), Election.PREFERRED if is_preferred else Election.UNCLEAN)
            records += made
            missing = errors.PREFERRED_LEADER_NOT_AVAILABLE if is_preferred else errors.ELIGIBLE_LEADERS_NOT_AVAILABLE
            error = errors.NONE if made else missing
        return PartitionResult(partition_id=index, error_code=error, error_message=ELECTION_TEXTS.get(error))

    # ----------------------------------------------------------------------------- facts

    def decide(self, key: PartitionKey, change: Change, why_isr: Because) -> Any:
        """State what a change decides; gives its record."""
        before = self.state.partitions[key]
        after = before.merge(change.record)
        name = self.state.topic_names[key[0]]
        if change.record.leader != NO_LEADER_CHANGE:
            self.outbox.happened(
                facts.LeaderElected(
                    topic=name,
                    partition=key[1],
                    leader=after.leader,
                    was=before.leader,
                    leader_epoch=after.leader_epoch,
                    because=change.election or why_isr,
                )
            )
        if after.isr != before.isr:
            self.outbox.happened(
                facts.IsrChanged(
                    topic=name,
                    partition=key[1],
                    isr=after.isr,
                    was=before.isr,
                    partition_epoch=after.partition_epoch,
                    because=why_isr,
                )
            )
        return change.record


def _all_refused(request: ElectLeadersRequest, why: str) -> tuple[ReplicaElectionResult, ...]:
    error = errors.INVALID_REQUEST
    return tuple(
        ReplicaElectionResult(
            topic=asked.topic,
            partition_result=tuple(
                PartitionResult(partition_id=index, error_code=error, error_message=why) for index in asked.partitions
            ),
        )
        for asked in request.topic_partitions or ()
    )
