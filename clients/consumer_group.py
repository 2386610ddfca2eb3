"""A consumer in a group of the consumer protocol (KIP-848; Kafka: ``AbstractMembershipManager``).

It comes to the target that its coordinator gives while somebody polls: what it read is committed, what it has to give
up is given up, what is new is taken, and then it tells so. It goes on reading what it keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafsim.clients.consumer_membership import ConsumerMembership, LocalAssignment, State, Subscribed
from kafsim.clients.epoch_offsets import EpochOffsets
from kafsim.clients.errors import KafkaError
from kafsim.clients.extensions import RebalanceListener
from kafsim.clients.group_consumer import GroupConsumer, OnUnsubscribed, callback_failed
from kafsim.clients.membership import Generation
from kafsim.clients.metadata import ClientMetadata
from kafsim.clients.network import ClientNetwork
from kafsim.clients.subscription_state import SubscriptionState
from kafsim.protocol import errors
from kafsim.protocol.facts import client as facts
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Micros, TopicPartition, millis
from kafsim.protocol.uuid import Uuid

OUTSIDE = (State.FENCED, State.STALE, State.FATAL)


class Reconciling:
    """One step to a target: ``partitions`` of it are known by name, and ``assigned`` are to be the consumer's."""

    def __init__(self, local: LocalAssignment, assigned: tuple[TopicPartition, ...], until: Micros) -> None:
        self.local = local
        self.assigned = dict.fromkeys(assigned)
        self.until = until
        self.not_before = Micros(0)
        self.is_committing = False
        self.is_committed = False


class ConsumerGroupMember(GroupConsumer):
    """The same to its consumer as :class:`~kafsim.clients.consumer_coordinator.ConsumerCoordinator`."""

    def __init__(
        self,
        given: Surroundings,
        settings: dict[str, Any],
        network: ClientNetwork,
        metadata: ClientMetadata,
        subscriptions: SubscriptionState,
        *,
        is_polling: Callable[[], bool],
        on_assigned: Callable[[Micros], None],
    ) -> None:
        super().__init__(given, settings, network, metadata, subscriptions, on_assigned)
        self.membership = ConsumerMembership(given, self.channel, settings, is_polling)
        self.offsets: EpochOffsets = EpochOffsets(self.channel, settings)
        self.group_topics: tuple[str, ...] = ()
        self.is_by_pattern = False
        self._last = Generation()
        self._has_listener = False
        self._names: dict[Uuid, str] = {}
        """Of topics that were assigned, for those that the metadata does not have any more."""
        self._step: Reconciling | None = None
        self._is_committing = False

    @property
    def is_stable(self) -> bool:
        return self.membership.state is State.STABLE

    can_assign = True
    """The coordinator assigns."""

    @property
    def refused_for(self) -> int:
        """The error for which it is no member until it is made anew."""
        return self.membership.refused_for

    @property
    def joined(self) -> Generation:
        """The last epoch that it was a member in; none after it has unsubscribed (Kafka: ``groupMetadata``)."""
        return self.membership.generation if self.membership.epoch > 0 else self._last

    # ------------------------------------------------------------------------- subscription

    def subscribe(
        self, now: Micros, topics: tuple[str, ...], pattern: str | None, listener: RebalanceListener | None
    ) -> None:
        """Told with the next heartbeat; a pattern is resolved by the coordinator."""
        self.is_subscribed, self.is_by_pattern = True, pattern is not None
        self.offsets.member = self.membership
        self._listener, self._has_listener = listener or RebalanceListener(), listener is not None
        self._metadata.asks_by_id = pattern is not None
        if pattern is None:
            self._take_topics(now, topics)
        self.membership.subscribed = Subscribed(tuple(sorted(self._topics)), pattern)
        self._metadata.request_new(now)

    def _wants(self, topic: str) -> bool:
        return self.is_by_pattern or topic in self._topics

    def unsubscribe(self, now: Micros, then: OnUnsubscribed) -> None:
        """Told when the coordinator has answered, or cannot be asked; it is no member any more in any case."""
        failed = None if self._give_up(revokes=self.membership.epoch > 0) else callback_failed()
        if self.membership.state is State.FATAL:
            failed, self.membership.failed = self.membership.failed or failed, None
        was_subscribed = self.is_subscribed
        self.is_subscribed, self.is_by_pattern, self._topics = False, False, ()
        self._metadata.asks_by_id = False
        self._metadata.want_ids(now, ())
        self._forget_subscription()
        if was_subscribed:
            self.membership.leave(now, lambda at: then(at, failed))
        else:
            then(now, failed)
        self._last = Generation()
        self.offsets.member = None

    def _forget_subscription(self) -> None:
        self.membership.subscribed = Subscribed()
        self._step = None

    def _give_up(self, *, revokes: bool) -> bool:
        """All that it has; false when the listener fails."""
        owned = tuple(sorted(self._subscriptions.assigned))
        is_told = True
        if owned and self.is_subscribed:
            is_told = (self._tell_revoked if revokes else self._tell_lost)(owned)
        self._subscriptions.assign(())
        return is_told

    def leave(self, now: Micros, then: Callable[[Micros], None]) -> None:
        """The consumer is closed. KafkaError when the listener fails; the coordinator is told even so."""
        if not self.is_subscribed:
            then(now)
            return
        is_told = self._give_up(revokes=self.joined.id > 0)
        self._forget_subscription()
        self.membership.leave(now, then if is_told else lambda _: None)
        if not is_told:
            raise callback_failed()

    # --------------------------------------------------------------------------------- poll

    def drive(self, now: Micros) -> None:
        """Who has nothing to give up any more, or nobody to tell it to, needs no poll for that."""
        if self.membership.state in OUTSIDE and self.is_subscribed:
            if not self._has_listener:
                self._lose(now)
            if self.membership.state is State.FENCED and not self._subscriptions.assigned:
                self._step = None
                self.membership.join(now)
        self.membership.drive(now)

    def _lose(self, now: Micros) -> bool:
        """What it has may be another's; false when the listener fails."""
        owned = tuple(sorted(self._subscriptions.assigned))
        is_told = self._tell_lost(owned) if owned else True
        if owned:
            self._take((), now)
        self._step = None
        return is_told

    def poll(self, now: Micros) -> bool:
        """The part of a poll that is about the group; positions may be looked for in any case.

        What was read is committed, if that is due, before anything is lost.
        """
        if not self.is_subscribed:
            self.maybe_auto_commit(now)
            return True
        is_told = self.membership.state is not State.FATAL or self._lose(now)
        self.membership.on_poll(now)
        self._last = self.joined
        self._reconcile(now)
        self.maybe_auto_commit(now)
        if self.membership.state in (State.FENCED, State.STALE):
            is_told = self._lose(now)
        if self.membership.state in (State.UNSUBSCRIBED, State.FENCED, State.STALE):
            self.membership.join(now)
        if not is_told:
            raise callback_failed()
        return True

    # --------------------------------------------------------------------------- reconcile

    def _reconcile(self, now: Micros) -> None:
        """One after the other, until the target is reached or something has to be waited for."""
        member = self.membership
        while member.state is State.RECONCILING:
            if member.is_interrupted:
                self._step, member.is_interrupted = None, False
            step = self._step or self._new_step(now)
            if step is None:
                return
            self._step = step
            if not self._has_committed(now, step):
                return
            self._step = None
            self._apply(now, step)

    def _new_step(self, now: Micros) -> Reconciling | None:
        """None when there is nothing to do, or the names of the topics are not known yet."""
        member = self.membership
        member.is_interrupted = False
        known: dict[Uuid, tuple[int, ...]] = {}
        partitions: list[TopicPartition] = []
        for topic, indexes in member.target.partitions.items():
            name = self._metadata.topic_names.get(topic) or self._names.get(topic)
            if name is not None:
                self._names[topic] = name
                known[topic] = indexes
                partitions += [TopicPartition(name, index) for index in indexes]
        if self.is_by_pattern:
            self._metadata.want_ids(now, member.target.partitions)
        knows_all = len(known) == len(member.target.partitions)
        if not knows_all:
            self._metadata.request_update(now)
        local = LocalAssignment(member.target.epoch, known)
        if member.current.epoch >= 0 and known == member.current.partitions:
            if knows_all:
                member.acknowledge(now, local)
            return None
        until = Micros(now + millis(self._settings["max.poll.interval.ms"]))
        step = Reconciling(local, tuple(sorted(partitions)), until)
        for tp in self._revoked(step):
            self._subscriptions.assigned[tp].is_being_revoked = True
        return step

    def _revoked(self, step: Reconciling) -> tuple[TopicPartition, ...]:
        return tuple(tp for tp in sorted(self._subscriptions.assigned) if tp not in step.assigned)

    def _has_committed(self, now: Micros, step: Reconciling) -> bool:
        """What was read is committed before anything changes, if that is done automatically."""
        if not self._settings["enable.auto.commit"] or step.is_committed or now >= step.until:
            return True
        if not step.is_committing and now >= step.not_before:
            step.is_committing = self._is_committing = True
            self.offsets.commit(now, self.all_consumed(), lambda at, error: self._committed(at, step, error))
        return step.is_committed

    def _committed(self, now: Micros, step: Reconciling, error: KafkaError | None) -> None:
        step.is_committing = self._is_committing = False
        self._tell_failed(error)
        again = error is not None and error.code in self.offsets.retriable_fetch
        if again and error is not None and error.code != errors.UNKNOWN_TOPIC_OR_PARTITION:
            step.not_before = self._soon(now)
        else:
            step.is_committed = True

    def _apply(self, now: Micros, step: Reconciling) -> None:
        owned = self._subscriptions.assigned
        revoked = self._revoked(step)
        added = tuple(tp for tp in step.assigned if tp not in owned)
        if revoked and not self._tell_revoked(revoked):
            raise callback_failed()
        self._take(tuple(step.assigned), now)
        for tp in added:
            self._subscriptions.assigned[tp].awaits_listener = True
        self._outbox.happened(
            facts.PartitionsAssigned(
                group=self._settings["group.id"],
                member=self.membership.member,
                generation=self.membership.epoch,
                added=tuple(map(str, added)),
                assigned=tuple(map(str, step.assigned)),
            )
        )
        is_told = self._call(self._listener.on_partitions_assigned, added)
        self._next_auto_commit = Micros(0)
        if not is_told:
            raise callback_failed()
        for state in self._subscriptions.assigned.values():
            state.awaits_listener = False
        self.membership.acknowledge(now, step.local)

    # ------------------------------------------------------------------------------ commits

    def maybe_auto_commit(self, now: Micros) -> None:
        """One at a time."""
        if not self._is_committing:
            super().maybe_auto_commit(now)

    def _commit_automatically(self, now: Micros) -> None:
        """As soon as the coordinator is known; the next one an interval later, whatever becomes of it."""
        self._is_committing = True
        self.offsets.commit_once_known(now, self.all_consumed(), self._auto_committed)

    def _auto_committed(self, now: Micros, error: KafkaError | None) -> None:
        self._is_committing = False
        self._tell_failed(error)
