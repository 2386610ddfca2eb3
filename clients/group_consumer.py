"""What a consumer does in its group, whichever protocol it speaks (Kafka: ``ConsumerCoordinator``).

It subscribes, takes and gives up partitions and tells its listener, and commits what was read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafsim.clients.backoff import Backoff
from kafsim.clients.coordinator_channel import CoordinatorChannel
from kafsim.clients.errors import KafkaError
from kafsim.clients.extensions import RebalanceListener
from kafsim.clients.group_offsets import RETRIABLE, GroupOffsets, OffsetAndMetadata
from kafsim.clients.metadata import ClientMetadata
from kafsim.clients.network import ClientNetwork
from kafsim.clients.subscription_state import SubscriptionState
from kafsim.protocol import errors
from kafsim.protocol.facts import client as facts
from kafsim.protocol.facts.fact import STATE
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Micros, TopicPartition, millis

AUTO_COMMIT_TIMER = "auto-commit"
CALLBACK_FAILED = "User rebalance callback throws an error"
OnUnsubscribed = Callable[[Micros, KafkaError | None], None]


def callback_failed() -> KafkaError:
    """What a poll or a close ends with when the listener fails."""
    return KafkaError(errors.UNKNOWN_SERVER_ERROR, CALLBACK_FAILED)


class GroupConsumer:
    """Only for a consumer with a ``group.id``. ``on_assigned``: the partitions of the consumer are others now."""

    offsets: GroupOffsets

    def __init__(
        self,
        given: Surroundings,
        settings: dict[str, Any],
        network: ClientNetwork,
        metadata: ClientMetadata,
        subscriptions: SubscriptionState,
        on_assigned: Callable[[Micros], None],
    ) -> None:
        self._outbox = given.outbox
        self._settings = settings
        self._metadata = metadata
        self._subscriptions = subscriptions
        self._on_assigned = on_assigned
        backoff = Backoff(settings["retry.backoff.ms"], settings["retry.backoff.max.ms"], given.entropy)
        self.channel = CoordinatorChannel(given.outbox, network, metadata, backoff, settings["group.id"])
        self.is_subscribed = False
        self._topics: tuple[str, ...] = ()
        self._listener = RebalanceListener()
        self._next_auto_commit = Micros(0)

    @property
    def topics(self) -> tuple[str, ...]:
        """Of its subscription."""
        return self._topics

    def _take_topics(self, now: Micros, topics: tuple[str, ...]) -> None:
        self._topics = tuple(dict.fromkeys(topics))
        for topic in self._topics:
            self._metadata.want(now, topic)
        for tp, state in self._subscriptions.assigned.items():
            state.is_subscribed = tp.topic in self._topics

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

    def maybe_auto_commit(self, now: Micros) -> None:
        """If it is time: with a poll, or before other partitions are assigned by hand."""
        if not self._settings["enable.auto.commit"]:
            return
        interval = millis(self._settings["auto.commit.interval.ms"])
        if not self._next_auto_commit:
            self._next_auto_commit = Micros(now + interval)
        if now >= self._next_auto_commit:
            self._next_auto_commit = Micros(now + interval)
            self._commit_automatically(now)
        self._outbox.set_timer(AUTO_COMMIT_TIMER, self._next_auto_commit)

    def _commit_automatically(self, now: Micros) -> None:
        self.offsets.commit(now, self.all_consumed(), self._auto_committed)

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

    # ------------------------------------------------------------------------------- giving

    def _take(self, partitions: tuple[TopicPartition, ...], now: Micros) -> None:
        """Of a topic that it has not subscribed to any more nothing is fetched."""
        self._subscriptions.assign(partitions)
        for tp, state in self._subscriptions.assigned.items():
            state.is_subscribed = self._wants(tp.topic)
        self._on_assigned(now)

    def _wants(self, topic: str) -> bool:
        return topic in self._topics

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
