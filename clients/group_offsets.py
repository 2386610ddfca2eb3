"""Commits offsets to a group, and asks what is committed (Kafka: ``ConsumerCoordinator``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from kafsim.clients.coordinator_channel import CoordinatorChannel
from kafsim.clients.errors import CommitFailedError, KafkaError
from kafsim.clients.membership import Generation, Membership, MemberState
from kafsim.clients.network import Lost
from kafsim.protocol import errors
from kafsim.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from kafsim.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
)
from kafsim.protocol.types import Micros, TopicPartition, by_topic

OFFSET_COMMIT, OFFSET_FETCH = 8, 9
VERSION = 9
"""Both name topics by their names, as Kafka's classic consumer does."""
ANYBODY = Generation()
REBALANCING = (
    "Offset commit cannot be completed since the consumer is undergoing a rebalance for auto partition assignment. You "
    "can try completing the rebalance by calling poll() and then retry the operation."
)
NOT_IN_GROUP = (
    "Offset commit cannot be completed since the consumer is not part of an active group for auto partition "
    "assignment; it is likely that the consumer was kicked out of the group."
)
EXECUTING = (
    "Offset commit cannot be completed since the consumer group is executing a rebalance at the moment. You can try "
    "completing the rebalance by calling poll() and then retry commit again"
)
STALE = (
    "Offset commit cannot be completed since the consumer member's generation is already stale, meaning it has already "
    "participated another rebalance and got a new generation. You can try completing the rebalance by calling poll() "
    "and then retry commit again"
)
RETRIABLE = frozenset(
    {
        errors.COORDINATOR_LOAD_IN_PROGRESS,
        errors.COORDINATOR_NOT_AVAILABLE,
        errors.NOT_COORDINATOR,
        errors.UNKNOWN_TOPIC_OR_PARTITION,
        errors.REQUEST_TIMED_OUT,
        errors.NETWORK_EXCEPTION,
        errors.UNSTABLE_OFFSET_COMMIT,
    }
)
_NOT_HERE = frozenset({errors.COORDINATOR_NOT_AVAILABLE, errors.NOT_COORDINATOR, errors.REQUEST_TIMED_OUT})


@attrs.frozen
class OffsetAndMetadata:
    """The next offset to read; ``leader_epoch``: of the record before it, -1 when it is not known."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""


Offsets = Mapping[TopicPartition, OffsetAndMetadata]
OnCommitted = Callable[[Micros, KafkaError | None], None]
OnFetched = Callable[[Micros, dict[TopicPartition, OffsetAndMetadata] | KafkaError], None]


class GroupOffsets:
    """``membership``: None for a consumer whose partitions are assigned by hand."""

    retriable_fetch = RETRIABLE
    """After these a question for committed offsets may be asked again."""

    def __init__(self, channel: CoordinatorChannel, settings: dict[str, Any]) -> None:
        self.membership: Membership | None = None
        self._channel = channel
        self._settings = settings

    # ------------------------------------------------------------------------------ commit

    def commit(self, now: Micros, offsets: Offsets, then: OnCommitted) -> None:
        """Once, as soon as the coordinator is known; ``then`` is told what it failed with."""
        if offsets:
            self._channel.when_known(now, lambda at, known: self._commit(at, offsets, then, known=known))
        else:
            then(now, None)

    def _commit(self, now: Micros, offsets: Offsets, then: OnCommitted, *, known: bool) -> None:
        member = self.membership
        if not known:
            then(now, self._not_known())
        elif member is not None and member.is_rebalancing:
            then(now, KafkaError(errors.REBALANCE_IN_PROGRESS, REBALANCING))
        elif member is not None and member.state is not MemberState.STABLE:
            then(now, CommitFailedError(NOT_IN_GROUP))
        else:
            self._send_commit(now, offsets, ANYBODY if member is None else member.generation, then)

    def _not_known(self) -> KafkaError:
        """What a lookup of the coordinator ended with."""
        failed, self._channel.failed = self._channel.failed, None
        return failed or KafkaError(errors.COORDINATOR_NOT_AVAILABLE)

    def _send_commit(self, now: Micros, offsets: Offsets, who: Generation, then: OnCommitted) -> None:
        topics: dict[str, list[OffsetCommitRequestPartition]] = {}
        for tp, one in offsets.items():
            part = OffsetCommitRequestPartition(
                partition_index=tp.partition,
                committed_offset=one.offset,
                committed_leader_epoch=one.leader_epoch,
                committed_metadata=one.metadata,
            )
            topics.setdefault(tp.topic, []).append(part)
        request = OffsetCommitRequest(
            group_id=self._settings["group.id"],
            generation_id_or_member_epoch=who.id,
            member_id=who.member,
            group_instance_id=self._instance(),
            topics=tuple(OffsetCommitRequestTopic(name=name, partitions=tuple(p)) for name, p in topics.items()),
        )

        def answered(at: Micros, response: OffsetCommitResponse | Lost) -> None:
            then(at, self._outcome(at, response, who))

        self._channel.send(now, OFFSET_COMMIT, request, answered, version=VERSION)

    def _instance(self) -> str | None:
        instance: str | None = self._settings["group.instance.id"]
        return None if self.membership is None else instance

    def _outcome(self, now: Micros, response: OffsetCommitResponse | Lost, who: Generation) -> KafkaError | None:
        """The first error of a partition decides."""
        if isinstance(response, Lost):
            return KafkaError(errors.REQUEST_TIMED_OUT if response.timed_out else errors.NETWORK_EXCEPTION)
        error = next((p.error_code for t in response.topics for p in t.partitions if p.error_code), errors.NONE)
        member = self.membership
        if error == errors.NONE:
            return None
        if error in _NOT_HERE:
            self._channel.forget(now)
        if error == errors.REBALANCE_IN_PROGRESS:
            if member is not None:
                member.request_rejoin("offset commit failed since group is already rebalancing")
            return KafkaError(error, EXECUTING)
        if error in (errors.UNKNOWN_MEMBER_ID, errors.ILLEGAL_GENERATION):
            return self._not_a_member(error, who)
        return KafkaError(error)

    def _not_a_member(self, error: int, who: Generation) -> KafkaError:
        member = self.membership
        if member is None:
            return CommitFailedError()
        if member.generation != who and member.state is MemberState.PREPARING:
            return KafkaError(errors.REBALANCE_IN_PROGRESS, STALE)
        member.reset_after(error, "OFFSET_COMMIT")
        return CommitFailedError()

    # ------------------------------------------------------------------------------- fetch

    def fetch(self, now: Micros, partitions: list[TopicPartition], then: OnFetched) -> None:
        """Once, as soon as the coordinator is known; partitions without a committed offset are not in the answer."""
        self._channel.when_known(
            now,
            lambda at, known: self._send_fetch(at, partitions, then) if known else then(at, self._not_known()),
        )

    def _send_fetch(self, now: Micros, partitions: list[TopicPartition], then: OnFetched) -> None:
        topics = by_topic(partitions).items()
        asked = tuple(OffsetFetchRequestTopics(name=name, partition_indexes=tuple(i)) for name, i in topics)
        member, epoch = self._asks_as()
        group = OffsetFetchRequestGroup(
            group_id=self._settings["group.id"], member_id=member, member_epoch=epoch, topics=asked
        )
        request = OffsetFetchRequest(groups=(group,), require_stable=True)
        self._channel.send(
            now, OFFSET_FETCH, request, lambda at, answer: then(at, self._fetched(at, answer)), version=VERSION
        )

    def _asks_as(self) -> tuple[str | None, int]:
        """The member and its epoch, where they are told."""
        return None, -1

    def _fetched(
        self, now: Micros, response: OffsetFetchResponse | Lost
    ) -> dict[TopicPartition, OffsetAndMetadata] | KafkaError:
        if isinstance(response, Lost):
            return KafkaError(errors.REQUEST_TIMED_OUT if response.timed_out else errors.NETWORK_EXCEPTION)
        group = response.groups[0]
        parts = [(TopicPartition(t.name, p.partition_index), p) for t in group.topics for p in t.partitions]
        error = group.error_code or next((p.error_code for _, p in parts if p.error_code), errors.NONE)
        if error in _NOT_HERE:
            self._channel.forget(now)
        if error:
            return KafkaError(error)
        return {
            tp: OffsetAndMetadata(p.committed_offset, p.committed_leader_epoch, p.metadata or "")
            for tp, p in parts
            if p.committed_offset >= 0
        }
