"""What a consumer does in its group (Kafka: ``ConsumerCoordinator``): it subscribes, gives up and takes partitions.

Eager: before each join it gives up everything. Cooperative (KIP-429): it goes on reading what it has, and gives up only
what a rebalance took away from it, after which it joins once more, so that the new owner gets it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable
from typing import Any

from kafsim.clients.assignors.assignor import COOPERATIVE, EAGER, Assignment, Assignor, Subscription
from kafsim.clients.assignors.constrained import AssignmentError
from kafsim.clients.errors import KafkaError
from kafsim.clients.extensions import RebalanceListener
from kafsim.clients.group_consumer import GroupConsumer, OnUnsubscribed, callback_failed
from kafsim.clients.group_offsets import RETRIABLE, GroupOffsets
from kafsim.clients.membership import Generation, Membership, MemberState
from kafsim.clients.metadata import ClientMetadata
from kafsim.clients.network import ClientNetwork
from kafsim.clients.subscription_state import SubscriptionState
from kafsim.protocol import errors
from kafsim.protocol.consumer_protocol import decode_partitions, decode_subscription, encode
from kafsim.protocol.facts import client as facts
from kafsim.protocol.java import text_order
from kafsim.protocol.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartitionResult,
)
from kafsim.protocol.messages.consumer_protocol import TopicPartition as OwnedTopic
from kafsim.protocol.messages.join_group import JoinGroupRequestProtocol, JoinGroupResponse
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Micros, TopicPartition, by_topic, millis
from kafsim.protocol.wire.primitives import WireError

INTERNAL = frozenset({"__consumer_offsets", "__transaction_state"})
NO_ASSIGNMENT = (
    "The assignment that the coordinator gave to this member has {} bytes and cannot be read. The assignor of the "
    "group's leader may have left this member out."
)
Snapshot = dict[str, tuple[frozenset[str], ...]]


class Preparing(enum.Enum):
    """The commit before a join."""

    TO_COMMIT = enum.auto()
    COMMITS = enum.auto()
    DONE = enum.auto()


class FreshMetadata:
    """One answer more, if the metadata is wanted anew (Kafka: ``ensureFreshMetadata``)."""

    def __init__(self, metadata: ClientMetadata) -> None:
        self._metadata = metadata
        self._since: int | None = None

    def is_there(self) -> bool:
        """Asked again and again, until it is."""
        if self._since is None:
            self._since = self._metadata.version
        if self._metadata.is_update_wanted and self._metadata.version == self._since:
            return False
        self._since = None
        return True


class ConsumerCoordinator(GroupConsumer):
    """``is_polling``: does somebody poll at this moment?"""

    def __init__(
        self,
        given: Surroundings,
        settings: dict[str, Any],
        network: ClientNetwork,
        metadata: ClientMetadata,
        subscriptions: SubscriptionState,
        assignors: Iterable[Assignor],
        *,
        is_polling: Callable[[], bool],
        on_assigned: Callable[[Micros], None],
    ) -> None:
        super().__init__(given, settings, network, metadata, subscriptions, on_assigned)
        self.offsets = GroupOffsets(self.channel, settings)
        self._assignors = list(assignors)
        self.membership = Membership(given.outbox, self.channel, settings, self, is_polling)
        self.joined = Generation()
        """The last one that it got an assignment in, whatever became of it (Kafka: ``groupMetadata``)."""
        self._pattern: re.Pattern[str] | None = None
        self._joined_topics: frozenset[str] | None = None
        """What it subscribed to when it joined last."""
        self._known: Snapshot = {}
        """What the topics that it cares for were when the metadata was new last (Kafka: ``MetadataSnapshot``)."""
        self._snapshot: Snapshot | None = None
        """The same when this member assigned them as its leader."""
        self._group_topics: tuple[str, ...] = ()
        self._before_join, self._before_assign = FreshMetadata(metadata), FreshMetadata(metadata)
        self._seen_version = -1
        self._preparing: Preparing | None = None
        self._prepare_until = self._prepare_again = Micros(0)

    @property
    def protocol(self) -> str:
        """Cooperative when all assignors can be used so."""
        return COOPERATIVE if all(COOPERATIVE in one.supports for one in self._assignors) else EAGER

    @property
    def can_assign(self) -> bool:
        return bool(self._assignors)

    @property
    def group_topics(self) -> tuple[str, ...]:
        """Of all members, as far as this one assigns them as their leader."""
        return self._group_topics

    refused_for = errors.NONE
    """A member of the classic protocol tries again whatever it was refused for."""

    @property
    def is_stable(self) -> bool:
        """Is it a member, and nothing under way?"""
        return self.membership.state is MemberState.STABLE

    @property
    def is_by_pattern(self) -> bool:
        return self._pattern is not None

    # ------------------------------------------------------------------------- subscription

    def subscribe(
        self, now: Micros, topics: tuple[str, ...], pattern: str | None, listener: RebalanceListener | None
    ) -> None:
        """Takes the place of an earlier subscription; what is assigned stays so until the next rebalance."""
        self._pattern = None if pattern is None else re.compile(pattern)
        self.is_subscribed = True
        self.offsets.membership = self.membership
        self._listener = listener or RebalanceListener()
        self._metadata.all_topics = pattern is not None
        self._take_topics(now, topics if pattern is None else self._matching())
        self._metadata.request_new(now)

    def _matching(self) -> tuple[str, ...]:
        assert self._pattern is not None, "it subscribes by pattern"
        hidden = INTERNAL if self._settings["exclude.internal.topics"] else frozenset()
        return tuple(
            name
            for name in sorted(self._metadata.partition_counts)
            if self._pattern.fullmatch(name) and name not in hidden
        )

    def unsubscribe(self, now: Micros, then: OnUnsubscribed) -> None:
        """Told at once; KafkaError when the listener fails: it is a member still then."""
        try:
            self._unsubscribe(now)
        except KafkaError as error:
            then(now, error)
        else:
            then(now, None)

    def _unsubscribe(self, now: Micros) -> None:
        if self.is_subscribed:
            self._give_up_all()
            self.membership.leave(now, "the consumer unsubscribed from all topics")
        self._subscriptions.assign(())
        self.is_subscribed, self._topics, self._pattern = False, (), None
        self.offsets.membership = None
        self._metadata.all_topics = False

    # --------------------------------------------------------------------------------- poll

    def drive(self, now: Micros) -> None:
        """Heartbeats have a timer of their own."""

    def poll(self, now: Micros) -> bool:
        """The part of a poll that is about the group: may positions be looked for? KafkaError for what is fatal."""
        if self.is_subscribed:
            self._look_at_metadata(now)
            self.membership.on_poll(now)
            if self._metadata_has_changed():
                self.membership.request_rejoin("cached metadata has changed", unless_wanted=True)
            if self._joined_topics is not None and self._joined_topics != frozenset(self._topics):
                self.membership.request_rejoin("subscription has changed", unless_wanted=True)
            if self._pattern is not None and self.membership.is_to_join and not self._before_join.is_there():
                return False
            if not self.membership.ensure_active(now):
                return False
        self.maybe_auto_commit(now)
        return True

    def _look_at_metadata(self, now: Micros) -> None:
        """A subscription by pattern follows the topics that there are."""
        if self._metadata.version == self._seen_version or not self._metadata.brokers:
            return
        self._seen_version = self._metadata.version
        if self._pattern is not None:
            self._take_topics(now, self._matching())
        covered = set(self._topics) <= set(self._group_topics)
        self._known = self._look(self._group_topics if covered else (*self._group_topics, *self._topics))

    def _metadata_has_changed(self) -> bool:
        return self._snapshot is not None and self._snapshot != self._known

    def _look(self, topics: tuple[str, ...]) -> Snapshot:
        """The partitions of topics, with their racks if this consumer has one; none of a topic that is not known."""
        found = {topic: self._metadata.racks_of(topic) or () for topic in topics}
        with_racks = bool(self._settings["client.rack"])
        return {topic: racks if with_racks else (frozenset(),) * len(racks) for topic, racks in found.items()}

    # ----------------------------------------------------------------------- hooks of a join

    def prepare(self, now: Micros, generation: Generation) -> bool:
        if not self._has_committed(now):
            return False
        self._snapshot, self._group_topics = None, ()
        is_told = True
        owned = tuple(sorted(self._subscriptions.assigned))
        if generation.is_none:
            if owned:
                is_told = self._tell_lost(owned)
            self._take((), now)
        elif self.protocol == EAGER:
            is_told = self._tell_revoked(owned)
            self._take((), now)
        else:
            revoked = tuple(tp for tp in owned if tp.topic not in self._topics)
            if revoked:
                is_told = self._tell_revoked(revoked)
                self._take(tuple(tp for tp in owned if tp not in revoked), now)
        if not is_told:
            raise callback_failed()
        return True

    def _has_committed(self, now: Micros) -> bool:
        """Before partitions are given up, what was read of them is committed, as far as that is possible in time."""
        if not self._settings["enable.auto.commit"]:
            return True
        if self._preparing is None:
            self._prepare_until = Micros(now + millis(self._settings["max.poll.interval.ms"]))
            for state in self._subscriptions.assigned.values() if self.protocol == EAGER else ():
                state.is_being_revoked = True
            self._preparing, self._prepare_again = Preparing.TO_COMMIT, now
        if self._preparing is Preparing.TO_COMMIT and now >= self._prepare_again:
            self._preparing = Preparing.COMMITS
            self.offsets.commit(now, self.all_consumed(), self._prepared)
        if self._preparing is not Preparing.DONE and now < self._prepare_until:
            return False
        self._preparing = None
        return True

    def _prepared(self, now: Micros, error: KafkaError | None) -> None:
        self._tell_failed(error)
        if self._preparing is not Preparing.COMMITS:
            return
        if error is not None and error.code in RETRIABLE:
            self._preparing, self._prepare_again = Preparing.TO_COMMIT, self._soon(now)
        else:
            self._preparing = Preparing.DONE

    def protocols(self, generation: Generation) -> tuple[JoinGroupRequestProtocol, ...]:
        self._joined_topics = frozenset(self._topics)
        owned = by_topic(self._subscriptions.assigned)
        return tuple(
            JoinGroupRequestProtocol(
                name=assignor.name,
                metadata=encode(
                    ConsumerProtocolSubscription(
                        topics=self._topics,
                        user_data=assignor.user_data(self._topics),
                        owned_partitions=tuple(OwnedTopic(topic=t, partitions=tuple(i)) for t, i in owned.items()),
                        generation_id=generation.id,
                        rack_id=self._settings["client.rack"] or None,
                    )
                ),
            )
            for assignor in self._assignors
        )

    def assign(self, now: Micros, joined: JoinGroupResponse) -> dict[str, bytes] | None:
        told = {member.member_id: member for member in joined.members}
        given = {member: decode_subscription(told[member].metadata) for member in text_order(told)}
        topics = tuple(dict.fromkeys(topic for blob in given.values() for topic in blob.topics))
        self._group_topics = topics
        for topic in topics:
            self._metadata.want(now, topic)
        if not self._before_assign.is_there():
            return None
        self._look_at_metadata(now)
        self._snapshot = self._known
        if joined.skip_assignment:
            return {}
        assignor = next((one for one in self._assignors if one.name == joined.protocol_name), None)
        if assignor is None:
            text = f"Coordinator selected invalid assignment protocol: {joined.protocol_name}"
            raise KafkaError(errors.INCONSISTENT_GROUP_PROTOCOL, text)
        known = {t: racks for t in topics if (racks := self._metadata.racks_of(t)) is not None}
        subscriptions = {m: _subscription(blob, told[m].group_instance_id) for m, blob in given.items()}
        try:
            found = assignor.assign(known, subscriptions)
        except AssignmentError as error:
            raise KafkaError(errors.UNKNOWN_SERVER_ERROR, str(error)) from None
        except Exception as error:  # noqa: BLE001  # a user's code may fail in any way
            self._outbox.happened(facts.ExtensionFailed(what=f"assignor {assignor.name}", error=repr(error)))
            text = f"The assignor {assignor.name} failed with {error!r}"
            raise KafkaError(errors.UNKNOWN_SERVER_ERROR, text) from None
        self._tell_decided(joined, assignor, found)
        return {member: encode(_blob(partitions)) for member, partitions in found.items()}

    def _tell_decided(self, joined: JoinGroupResponse, assignor: Assignor, found: Assignment) -> None:
        self._outbox.happened(
            facts.GroupAssignmentDecided(
                group=self._settings["group.id"],
                generation=joined.generation_id,
                assignor=assignor.name,
                assigned=tuple((member, tuple(map(str, partitions))) for member, partitions in found.items()),
            )
        )

    def complete(self, now: Micros, generation: Generation, assignment: bytes) -> None:
        try:
            given = tuple(sorted(decode_partitions(assignment)))
        except WireError:
            raise KafkaError(errors.UNKNOWN_SERVER_ERROR, NO_ASSIGNMENT.format(len(assignment))) from None
        if any(tp.topic not in self._topics and not self._matches(tp.topic) for tp in given):
            self.membership.request_rejoin("received assignment does not match the current subscription")
            return
        owned = self._subscriptions.assigned
        added = tuple(tp for tp in given if tp not in owned)
        failed = False
        if self.protocol == COOPERATIVE:
            revoked = tuple(tp for tp in sorted(owned) if tp not in given)
            if revoked:
                failed = not self._tell_revoked(revoked)
                self.membership.request_rejoin("need to revoke partitions and re-join")
        for assignor in self._assignors:
            if assignor.name == generation.protocol:
                assignor.on_assignment(given, generation.id)
        self._next_auto_commit = Micros(0)
        self.joined = generation
        self._take(given, now)
        self._outbox.happened(
            facts.PartitionsAssigned(
                group=self._settings["group.id"],
                member=generation.member,
                generation=generation.id,
                added=tuple(map(str, added)),
                assigned=tuple(map(str, given)),
            )
        )
        failed |= not self._call(self._listener.on_partitions_assigned, added)
        if failed:
            raise callback_failed()

    def _matches(self, topic: str) -> bool:
        return self._pattern is not None and self._pattern.fullmatch(topic) is not None

    # ------------------------------------------------------------------------------- giving

    def _give_up_all(self) -> None:
        """It leaves, or is closed."""
        owned = tuple(sorted(self._subscriptions.assigned))
        if not owned:
            return
        if self.membership.generation.is_none or self.membership.is_rebalancing:
            is_told = self._tell_lost(owned)
        else:
            is_told = self._tell_revoked(owned)
        self._subscriptions.assign(())
        if not is_told:
            raise callback_failed()

    def leave(self, now: Micros, then: Callable[[Micros], None]) -> None:
        """The consumer is closed. KafkaError when the listener fails; the coordinator is not told then."""
        if self.is_subscribed:
            self._give_up_all()
            self.membership.leave(now, "the consumer is being closed", then)
        else:
            then(now)


def _subscription(blob: ConsumerProtocolSubscription, instance: str | None) -> Subscription:
    return Subscription(
        topics=blob.topics,
        user_data=blob.user_data,
        owned=tuple(TopicPartition(t.topic, i) for t in blob.owned_partitions for i in t.partitions),
        generation=None if blob.generation_id < 0 else blob.generation_id,
        instance_id=instance,
        rack=blob.rack_id or "",
    )


def _blob(partitions: list[TopicPartition]) -> ConsumerProtocolAssignment:
    topics = by_topic(partitions)
    return ConsumerProtocolAssignment(
        assigned_partitions=tuple(
            TopicPartitionResult(topic=t, partitions=tuple(topics[t])) for t in text_order(topics)
        )
    )
