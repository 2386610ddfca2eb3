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
from kafsim.clients.group_consumer import CALLBACK_FAILED, GroupConsumer
from kafsim.clients.membership import Generation
from kafsim.clients.metadata import ClientMetadata
from kafsim.clients.network import ClientNetwork
from kafsim.clients.subscription_state import SubscriptionState
from kafsim.protocol import errors
from kafsim.protocol.facts import client as facts
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Micros, TopicPartition, millis
from kafsim.protocol.uuid import Uuid


class Reconciling:
    """One step to a target: ``partitions`` of it are known by name, and ``assigned`` are to be the consumer's."""

    def __init__(self, local: LocalAssignment, assigned: tuple[TopicPartition, ...], until: Micros) -> None:
        self.local = local
        self.assigned = assigned
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
        self._last_epoch = -1
        self._names: dict[Uuid, str] = {}
        """Of topics that were assigned, for those that the metadata does not have any more."""
        self._step: Reconciling | None = None
        self._is_committing = False

    @property
    def is_stable(self) -> bool:
        return self.membership.state is State.STABLE

    @property
    def refused_for(self) -> int:
        """The error for which it is no member until it is made anew."""
        return self.membership.refused_for

    @property
    def joined(self) -> Generation:
        """The last epoch that it was a member in (Kafka: ``groupMetadata``)."""
        self._last_epoch = max(self.membership.epoch, self._last_epoch)
        return Generation(self._last_epoch, self.membership.member)

    # ------------------------------------------------------------------------- subscription

    def subscribe(
        self, now: Micros, topics: tuple[str, ...], pattern: str | None, listener: RebalanceListener | None
    ) -> None:
        """Told with the next heartbeat; a pattern is resolved by the coordinator."""
        self.is_subscribed, self.is_by_pattern = True, pattern is not None
        self.offsets.member = self.membership
        self._listener = listener or RebalanceListener()
        if pattern is None:
            self._take_topics(now, topics)
        self.membership.subscribed = Subscribed(tuple(sorted(self._topics)), pattern)
        self._metadata.request_new(now)

    def unsubscribe(self, now: Micros) -> None:
        """KafkaError when the listener fails; it is no member any more even so."""
        is_told = self._give_up_all() if self.is_subscribed else True
        self._subscriptions.assign(())
        if self.is_subscribed:
            self.membership.leave(now)
        self.is_subscribed, self.is_by_pattern, self._topics = False, False, ()
        self.membership.subscribed = Subscribed()
        self.offsets.member = None
        self._step = None
        if not is_told:
            raise KafkaError(errors.UNKNOWN_SERVER_ERROR, CALLBACK_FAILED)

    def _give_up_all(self) -> bool:
        owned = tuple(sorted(self._subscriptions.assigned))
        if not owned:
            return True
        return (self._tell_revoked if self.membership.epoch > 0 else self._tell_lost)(owned)

    def leave(self, now: Micros, then: Callable[[Micros], None]) -> None:
        """The consumer is closed. KafkaError when the listener fails; the coordinator is told even so."""
        if not self.is_subscribed:
            then(now)
            return
        is_told = self._give_up_all()
        self._subscriptions.assign(())
        self.membership.leave(now, then if is_told else lambda _: None)
        if not is_told:
            raise KafkaError(errors.UNKNOWN_SERVER_ERROR, CALLBACK_FAILED)

    # --------------------------------------------------------------------------------- poll

    def drive(self, now: Micros) -> None:
        """Who is fenced and has nothing to give up joins again at once."""
        if self.membership.state is State.FENCED and not self._subscriptions.assigned:
            self._step = None
            self.membership.join(now)
        self.membership.drive(now)

    def poll(self, now: Micros) -> bool:
        """The part of a poll that is about the group; positions may be looked for in any case."""
        if self.is_subscribed:
            self.membership.on_poll(now)
            self._begin(now)
            self._reconcile(now)
        self._maybe_auto_commit(now)
        return True

    def _begin(self, now: Micros) -> None:
        member = self.membership
        if member.state in (State.FENCED, State.STALE, State.FATAL):
            owned = tuple(sorted(self._subscriptions.assigned))
            if owned:
                self._tell_lost(owned)
                self._take((), now)
            self._step = None
        if member.state in (State.UNSUBSCRIBED, State.FENCED, State.STALE):
            member.join(now)

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
        if len(known) < len(member.target.partitions):
            self._metadata.request_update(now)
            if not known or known == member.current.partitions:
                return None
        local = LocalAssignment(member.target.epoch, known)
        if member.current.epoch >= 0 and known == member.current.partitions:
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
            step.is_committing = True
            self.offsets.commit(now, self.all_consumed(), lambda at, error: self._committed(at, step, error))
        return step.is_committed

    def _committed(self, now: Micros, step: Reconciling, error: KafkaError | None) -> None:
        step.is_committing = False
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
            raise KafkaError(errors.UNKNOWN_SERVER_ERROR, CALLBACK_FAILED)
        self._take(step.assigned, now)
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
            for tp in added:
                self._subscriptions.assigned[tp].is_being_revoked = True
            raise KafkaError(errors.UNKNOWN_SERVER_ERROR, CALLBACK_FAILED)
        self.membership.acknowledge(now, step.local)

    # ------------------------------------------------------------------------------ commits

    def _commit_automatically(self, now: Micros) -> None:
        """One at a time; the next one an interval later, whatever becomes of it."""
        if not self._is_committing:
            self._is_committing = True
            super()._commit_automatically(now)

    def _auto_committed(self, now: Micros, error: KafkaError | None) -> None:
        self._is_committing = False
        self._tell_failed(error)
