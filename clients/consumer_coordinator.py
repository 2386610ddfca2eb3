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
from kafsim.clients.backoff import Backoff
from kafsim.clients.coordinator_channel import CoordinatorChannel
from kafsim.clients.errors import KafkaError
from kafsim.clients.extensions import RebalanceListener
from kafsim.clients.group_offsets import RETRIABLE, GroupOffsets, OffsetAndMetadata
from kafsim.clients.membership import Generation, Membership
from kafsim.clients.metadata import ClientMetadata
from kafsim.clients.network import ClientNetwork
from kafsim.clients.subscription_state import SubscriptionState
from kafsim.protocol import errors
from kafsim.protocol.consumer_protocol import decode_partitions, decode_subscription, encode
from kafsim.protocol.facts import client as facts
from kafsim.protocol.facts.fact import STATE
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
AUTO_COMMIT_TIMER = "auto-commit"
NO_ASSIGNMENT = (
    "The assignment that the coordinator gave to this member has {} bytes and cannot be read. The assignor of the "
    "group's leader may have left this member out."
)
CALLBACK_FAILED = "User rebalance callback throws an error"
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


class ConsumerCoordinator:
    """Only for a consumer with a ``group.id``. ``on_assigned``: the partitions of the consumer are others now."""

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
        self._outbox = given.outbox
        self._settings = settings
        self._metadata = metadata
        self._subscriptions = subscriptions
        self._assignors = list(assignors)
        self._on_assigned = on_assigned
        backoff = Backoff(settings["retry.backoff.ms"], settings["retry.backoff.max.ms"], given.entropy)
        self.channel = CoordinatorChannel(given.outbox, network, metadata, backoff, settings["group.id"])
        self.membership = Membership(given.outbox, self.channel, settings, self, is_polling)
        self.offsets = GroupOffsets(self.channel, settings)
        self.is_subscribed = False
        self.joined = Generation()
        """The last one that it got an assignment in, whatever became of it (Kafka: ``groupMetadata``)."""
        self._topics: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None
        self._listener = RebalanceListener()
        self._joined_topics: frozenset[str] | None = None
        """What it subscribed to when it joined last."""
        self._snapshot: Snapshot | None = None
        """What the topics of the group were when this member assigned them as its leader."""
        self._group_topics: tuple[str, ...] = ()
        self._before_join, self._before_assign = FreshMetadata(metadata), FreshMetadata(metadata)
        self._seen_version = -1
        self._next_auto_commit = Micros(0)
        self._preparing: Preparing | None = None
        self._prepare_until = self._prepare_again = Micros(0)

    @property
    def protocol(self) -> str:
        """Cooperative when all assignors can be used so."""
        return COOPERATIVE if all(COOPERATIVE in one.supports for one in self._assignors) else EAGER

    @property
    def topics(self) -> tuple[str, ...]:
        """Of its subscription."""
        return self._topics

    @property
    def group_topics(self) -> tuple[str, ...]:
        """Of all members, as far as this one assigns them as their leader."""
        return self._group_topics

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

    def _take_topics(self, now: Micros, topics: tuple[str, ...]) -> None:
        self._topics = tuple(dict.fromkeys(topics))
        for topic in self._topics:
            self._metadata.want(now, topic)
        for tp, state in self._subscriptions.assigned.items():
            state.is_subscribed = tp.topic in self._topics

    def _matching(self) -> tuple[str, ...]:
        assert self._pattern is not None, "it subscribes by pattern"
        hidden = INTERNAL if self._settings["exclude.internal.topics"] else frozenset()
        return tuple(
            name
            for name in sorted(self._metadata.partition_counts)
            if self._pattern.fullmatch(name) and name not in hidden
        )

    def unsubscribe(self, now: Micros) -> None:
        """KafkaError when the listener fails; it is a member still then."""
        if self.is_subscribed:
            self._give_up_all()
            self.membership.leave(now, "the consumer unsubscribed from all topics")
        self._subscriptions.assign(())
        self.is_subscribed, self._topics, self._pattern = False, (), None
        self.offsets.membership = None
        self._metadata.all_topics = False

    # --------------------------------------------------------------------------------- poll

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
        self._maybe_auto_commit(now)
        return True

    def _look_at_metadata(self, now: Micros) -> None:
        """A subscription by pattern follows the topics that there are."""
        if self._metadata.version == self._seen_version or not self._metadata.brokers:
            return
        self._seen_version = self._metadata.version
        if self._pattern is not None:
            self._take_topics(now, self._matching())

    def _metadata_has_changed(self) -> bool:
        return self._snapshot is not None and self._snapshot != self._look(self._group_topics)

    def _look(self, topics: tuple[str, ...]) -> Snapshot:
        """The topics that are known, with the racks of their partitions if this consumer has one."""
        found = {topic: self._metadata.racks_of(topic) for topic in topics}
        with_racks = bool(self._settings["client.rack"])
        return {
            t: racks if with_racks else (frozenset(),) * len(racks) for t, racks in found.items() if racks is not None
        }

    # ------------------------------------------------------------------------------ commits

    def all_consumed(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """The positions of all partitions that have a valid one."""
        found = {
            tp: OffsetAndMetadata(state.position.offset, state.position.epoch)
            for tp, state in self._subscriptions.assigned.items()
            if state.is_valid and state.position is not None
        }
        if found and self._outbox.heard >= STATE:
            positions = tuple((str(tp), one.offset) for tp, one in found.items())
            self._outbox.happened(facts.PositionsTaken(group=self._settings["group.id"], positions=positions))
        return found

    def _maybe_auto_commit(self, now: Micros) -> None:
        if not self._settings["enable.auto.commit"]:
            return
        interval = millis(self._settings["auto.commit.interval.ms"])
        if not self._next_auto_commit:
            self._next_auto_commit = Micros(now + interval)
        if now >= self._next_auto_commit:
            self._next_auto_commit = Micros(now + interval)
            self.offsets.commit(now, self.all_consumed(), self._auto_committed)
        self._outbox.set_timer(AUTO_COMMIT_TIMER, self._next_auto_commit)

    def _auto_committed(self, now: Micros, error: KafkaError | None) -> None:
        """What may pass is tried again soon."""
        self._tell_failed(error)
        if error is not None and error.code in RETRIABLE:
            self._next_auto_commit = self._soon(now)

    def _soon(self, now: Micros) -> Micros:
        at = Micros(now + millis(self._settings["retry.backoff.ms"]))
        self._outbox.set_timer(AUTO_COMMIT_TIMER, at)
        return at

    def _tell_failed(self, error: KafkaError | None) -> None:
        if error is not None:
            self._outbox.happened(
                facts.CommitFailed(group=self._settings["group.id"], error=error.name, automatic=True)
            )

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
            raise KafkaError(errors.UNKNOWN_SERVER_ERROR, CALLBACK_FAILED)
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
        self._snapshot = self._look(topics)
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
            raise KafkaError(errors.UNKNOWN_SERVER_ERROR, CALLBACK_FAILED)

    def _matches(self, topic: str) -> bool:
        return self._pattern is not None and self._pattern.fullmatch(topic) is not None

    # ------------------------------------------------------------------------------- giving

    def _take(self, partitions: tuple[TopicPartition, ...], now: Micros) -> None:
        self._subscriptions.assign(partitions)
        self._on_assigned(now)

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
            raise KafkaError(errors.UNKNOWN_SERVER_ERROR, CALLBACK_FAILED)

    def leave(self, now: Micros, then: Callable[[Micros], None]) -> None:
        """The consumer is closed. KafkaError when the listener fails; the coordinator is not told then."""
        if self.is_subscribed:
            self._give_up_all()
            self.membership.leave(now, "the consumer is being closed", then)
        else:
            then(now)

    def _tell_revoked(self, partitions: tuple[TopicPartition, ...]) -> bool:
        self._outbox.happened(
            facts.PartitionsRevoked(group=self._settings["group.id"], partitions=tuple(map(str, partitions)))
        )
        return self._call(self._listener.on_partitions_revoked, partitions)

    def _tell_lost(self, partitions: tuple[TopicPartition, ...]) -> bool:
        self._outbox.happened(
            facts.PartitionsLost(group=self._settings["group.id"], partitions=tuple(map(str, partitions)))
        )
        return self._call(self._listener.on_partitions_lost, partitions)

    def _call(
        self, callback: Callable[[tuple[TopicPartition, ...]], None], partitions: tuple[TopicPartition, ...]
    ) -> bool:
        try:
            callback(partitions)
        except Exception as error:  # noqa: BLE001  # a user's code may fail in any way
            self._outbox.happened(facts.ExtensionFailed(what="rebalance listener", error=repr(error)))
            return False
        return True


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
