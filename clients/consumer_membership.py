"""The part of a consumer in a group of the consumer protocol: states and heartbeats (KIP-848).

Kafka: ``ConsumerMembershipManager``, ``ConsumerHeartbeatRequestManager``.

UNSUBSCRIBED  no member
JOINING       it asks to be one, in epoch 0
RECONCILING   the coordinator has given it another target, which it comes to while somebody polls
ACKNOWLEDGING it has come to the target, and tells so
STABLE        it has its target
FENCED        it was told that it is none any more: it gives up all it has, and joins again
LEAVING       it tells that it leaves
STALE         it has left because nobody polled for max.poll.interval.ms; it joins with the next poll
FATAL         it was refused for good

UNSUBSCRIBED  --poll, subscribed-->                     JOINING
JOINING, STABLE, ACKNOWLEDGING  --another target-->     RECONCILING
JOINING, RECONCILING  --the target is what it has-->    STABLE
RECONCILING   --all is done-->                          ACKNOWLEDGING
ACKNOWLEDGING --told-->                                 STABLE, RECONCILING
any member    --unknown, stale epoch-->                 FENCED
FENCED        --poll, told what is lost-->              JOINING
any member    --unsubscribe, close-->                   LEAVING
any member    --no poll-->                              STALE
LEAVING       --told-->                                 UNSUBSCRIBED
STALE         --poll-->                                 JOINING
any           --any other error-->                      FATAL

Heartbeats go on whether anybody polls or not. A heartbeat says only what has changed since the one before.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from kafsim.clients.backoff import Backoff
from kafsim.clients.coordinator_channel import CoordinatorChannel
from kafsim.clients.errors import KafkaError
from kafsim.clients.membership import HEARTBEAT_TIMER, Generation
from kafsim.clients.network import Lost
from kafsim.protocol import errors
from kafsim.protocol.facts import client as facts
from kafsim.protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Micros, millis
from kafsim.protocol.uuid import Uuid, to_text

API, VERSION = 68, 1
JOINS, LEAVES, LEAVES_FOR_A_WHILE = 0, -1, -2
NOT_SUPPORTED = (
    "The cluster does not support the new CONSUMER group protocol. Set group.protocol=classic on the consumer configs "
    "to revert to the CLASSIC protocol until the cluster is upgraded."
)
BAD_REGEX = "Invalid RE2J SubscriptionPattern provided in the call to subscribe. "
_NOT_HERE = frozenset({errors.NOT_COORDINATOR, errors.COORDINATOR_NOT_AVAILABLE})
_FENCED = frozenset({errors.FENCED_MEMBER_EPOCH, errors.UNKNOWN_MEMBER_ID})
_GONE = _FENCED | {errors.GROUP_ID_NOT_FOUND}


class State(enum.Enum):
    UNSUBSCRIBED = enum.auto()
    JOINING = enum.auto()
    RECONCILING = enum.auto()
    ACKNOWLEDGING = enum.auto()
    STABLE = enum.auto()
    FENCED = enum.auto()
    LEAVING = enum.auto()
    STALE = enum.auto()
    FATAL = enum.auto()


MEMBERS = frozenset({State.JOINING, State.RECONCILING, State.ACKNOWLEDGING, State.STABLE})
_AT_ONCE = frozenset({State.JOINING, State.ACKNOWLEDGING})
_URGENT = _AT_ONCE | {State.LEAVING}

Assigned = Mapping[Uuid, tuple[int, ...]]
"""Partitions in order, by topic."""


class LocalAssignment(NamedTuple):
    """``epoch`` counts the targets; one with the same partitions is another one."""

    epoch: int = -1
    partitions: Assigned = MappingProxyType({})


NONE = LocalAssignment()


class Subscribed(NamedTuple):
    """Topics, or a regular expression that the coordinator resolves."""

    topics: tuple[str, ...] = ()
    regex: str | None = None


class ConsumerMembership:
    """``settings``: parsed consumer settings; ``is_polling``: does somebody poll at this moment?"""

    def __init__(
        self,
        given: Surroundings,
        channel: CoordinatorChannel,
        settings: dict[str, Any],
        is_polling: Callable[[], bool],
    ) -> None:
        self.state = State.UNSUBSCRIBED
        self.member = to_text(given.entropy.uuid())
        self.epoch = JOINS
        self.current = self.target = NONE
        self.subscribed = Subscribed()
        self.failed: KafkaError | None = None
        """What heartbeats found out, told to the next poll."""
        self.refused_for = errors.NONE
        """The error that it is FATAL for."""
        self.is_interrupted = False
        """It has to begin anew, whatever a reconciliation under way comes to."""
        self._outbox = given.outbox
        self._channel = channel
        self._settings = settings
        self._is_polling = is_polling
        self._backoff = Backoff(settings["retry.backoff.ms"], settings["retry.backoff.max.ms"], given.entropy)
        self._attempts = 0
        self._in_flight = 0
        """The number of the heartbeat that waits for its answer, 0 when none does."""
        self._sent = self._leaving = 0
        self._interval = 0
        self._next = self._not_before = self._polled = self._wake = Micros(0)
        self._told: dict[str, object] = {}
        """What the coordinator knows already, by the name of the field."""
        self._on_left: Callable[[Micros], None] | None = None
        channel.on_found = self.drive

    @property
    def generation(self) -> Generation:
        """As :class:`~kafsim.clients.membership.Membership` has it: the epoch, -1 when there is none."""
        return Generation(self.epoch if self.epoch > 0 else -1, self.member)

    @property
    def is_member(self) -> bool:
        return self.state in MEMBERS

    # ---------------------------------------------------------------------------- from a poll

    def on_poll(self, now: Micros) -> None:
        self._polled = now
        failed, self.failed = self.failed, None
        if failed is not None:
            raise failed

    def join(self, now: Micros) -> None:
        """In epoch 0, without any partition."""
        self.state, self.epoch = State.JOINING, JOINS
        self.current = self.target = NONE
        self._told.clear()
        self.drive(now)

    def acknowledge(self, now: Micros, reconciled: LocalAssignment) -> None:
        """It has come to this part of the target, if it is a member still."""
        self.current = reconciled
        self.state = State.ACKNOWLEDGING
        self.drive(now)

    # ----------------------------------------------------------------------------- heartbeats

    @property
    def _poll_over(self) -> Micros:
        return Micros(self._polled + millis(self._settings["max.poll.interval.ms"]))

    def drive(self, now: Micros) -> None:
        """Send a heartbeat if it is time; run whenever something may have changed."""
        if self.state not in MEMBERS and self.state is not State.LEAVING:
            return
        if self._is_polling():
            self._polled = now
        if self.state not in _URGENT and now < self._wake and self._channel.is_known:
            return
        if not self._channel.ensure(now):
            if self.state is State.LEAVING:
                self._left(now)
            else:
                self._fail_for_good(now)
            return
        if self.state is State.LEAVING:
            self._send(now)
            self._leaving, self.state = self._sent, State.UNSUBSCRIBED
        elif now >= self._poll_over:
            self._leave_stale(now)
        elif not self._in_flight and (self.state in _AT_ONCE or now >= max(self._next, self._not_before)):
            self._send(now)
        self._arm(now)

    def _fail_for_good(self, now: Micros) -> None:
        """What a lookup of the coordinator ended with; it is asked for again."""
        failed, self._channel.failed = self._channel.failed, None
        if failed is not None:
            self.failed = failed

    def _arm(self, now: Micros) -> None:
        """The timer may be earlier than need be; it is set again then."""
        if self.state in MEMBERS:
            at = self._poll_over if self._in_flight else min(self._poll_over, max(self._next, self._not_before))
            self._wake = Micros(max(at, now + 1))
            self._outbox.set_timer(HEARTBEAT_TIMER, self._wake)

    def on_timer(self, now: Micros) -> None:
        self._wake = now
        self.drive(now)

    def _send(self, now: Micros) -> None:
        self._sent += 1
        self._in_flight = number = self._sent
        self._next = Micros(now + millis(self._interval))
        request = self._request()
        if self.state is State.ACKNOWLEDGING:
            self.state = State.STABLE if self.current == self.target else State.RECONCILING
        self._channel.send(now, API, request, lambda at, answer: self._heard(at, answer, number), version=VERSION)

    def _request(self) -> ConsumerGroupHeartbeatRequest:
        full = self.state is State.JOINING
        owned = tuple(
            TopicPartitions(topic_id=topic, partitions=parts) for topic, parts in self.current.partitions.items()
        )
        regex = self.subscribed.regex
        wanted: dict[str, object] = {
            "rebalance_timeout_ms": self._settings["max.poll.interval.ms"],
            "subscribed_topic_names": self.subscribed.topics,
            "subscribed_topic_regex": regex if regex is not None or "subscribed_topic_regex" not in self._told else "",
            "server_assignor": self._settings["group.remote.assignor"],
            "topic_partitions": (self.current.epoch, owned),
        }
        changed = {name: value for name, value in wanted.items() if full or self._told.get(name) != value}
        self._told.update({name: value for name, value in changed.items() if value is not None})
        if "topic_partitions" in changed:
            changed["topic_partitions"] = owned
        return ConsumerGroupHeartbeatRequest(
            group_id=self._settings["group.id"],
            member_id=self.member,
            member_epoch=self.epoch,
            instance_id=self._settings["group.instance.id"],
            rack_id=self._settings["client.rack"] or None if full else None,
            **changed,  # type: ignore[arg-type]
        )

    def _heard(self, now: Micros, answer: ConsumerGroupHeartbeatResponse | Lost, number: int) -> None:
        self._wake = now
        if self._in_flight == number:
            self._in_flight = 0
        elif number != self._leaving:
            return  # a role that is over
        if isinstance(answer, Lost):
            self._told.clear()
            self._retry(now)
        elif answer.error_code:
            self._told.clear()
            self._refused(now, answer, leaves=number == self._leaving)
        else:
            self._attempts = 0
            self._take(now, answer)
        if number == self._leaving:
            self._left(now)
        self.drive(now)

    def _retry(self, now: Micros) -> None:
        self._not_before = Micros(now + self._backoff.after(self._attempts))
        self._attempts += 1
        self._next = now

    def _take(self, now: Micros, answer: ConsumerGroupHeartbeatResponse) -> None:
        if self._interval != answer.heartbeat_interval_ms:
            self._interval = answer.heartbeat_interval_ms
            self._next = Micros(now + millis(self._interval))
        if not self.is_member or answer.member_epoch < 0:
            return
        self.epoch = answer.member_epoch
        if answer.assignment is None:
            return
        given = {one.topic_id: tuple(sorted(one.partitions)) for one in answer.assignment.topic_partitions}
        if self.target is NONE or given != self.target.partitions:
            self.target = LocalAssignment(self.target.epoch + 1, given)
        if self.target != self.current:
            self.state = State.RECONCILING
        elif self.state in (State.RECONCILING, State.JOINING):
            self.state = State.STABLE

    def _refused(self, now: Micros, answer: ConsumerGroupHeartbeatResponse, *, leaves: bool) -> None:
        """Who leaves need not have been a member any more."""
        error = answer.error_code
        if error in _NOT_HERE:
            self._channel.forget(now)
            self._attempts, self._next = 0, now
        elif error == errors.COORDINATOR_LOAD_IN_PROGRESS:
            self._retry(now)
        elif (leaves and error in _GONE) or (not leaves and not self.is_member):
            return
        elif error in _FENCED:
            self.fence()
        else:
            self.state, self.refused_for, self.epoch = State.FATAL, error, JOINS
            self.is_interrupted = True
            self.failed = KafkaError(error, _text(error, answer.error_message))
            self._outbox.happened(facts.RefusedForGood(group=self._settings["group.id"], error=errors.name(error)))

    def fence(self) -> None:
        self.state, self.epoch, self._attempts = State.FENCED, JOINS, 0
        self.is_interrupted = True

    # ------------------------------------------------------------------------------- leaving

    @property
    def _leave_epoch(self) -> int:
        return LEAVES if self._settings["group.instance.id"] is None else LEAVES_FOR_A_WHILE

    def leave(self, now: Micros, on_left: Callable[[Micros], None] = lambda _: None) -> None:
        """Told once the coordinator has answered, or cannot be asked."""
        if not self.is_member:
            self.state = State.UNSUBSCRIBED if self.state is not State.FATAL else self.state
            on_left(now)
            return
        self._begin_leaving()
        self.state = State.LEAVING
        self._on_left = on_left
        self.drive(now)

    def _begin_leaving(self) -> None:
        self.epoch, self.current, self.is_interrupted = self._leave_epoch, NONE, True
        self.target = NONE

    def _left(self, now: Micros) -> None:
        self._leaving = 0
        if self.state is State.LEAVING:
            self.state = State.UNSUBSCRIBED
        self._told.clear()
        on_left, self._on_left = self._on_left, None
        if on_left is not None:
            on_left(now)

    def _leave_stale(self, now: Micros) -> None:
        """Nobody polled for too long; the answer does not matter."""
        self._begin_leaving()
        self._send(now)
        self.state, self._in_flight = State.STALE, 0
        self._told.clear()


def _text(error: int, message: str | None) -> str | None:
    if error == errors.INVALID_REGULAR_EXPRESSION:
        return BAD_REGEX + (message or "")
    return NOT_SUPPORTED if error == errors.UNSUPPORTED_VERSION else message
