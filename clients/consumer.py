"""The core of a consumer, whose partitions are assigned by hand or by its group (Kafka: ``ClassicKafkaConsumer``).

All happens while somebody polls, or asks for a position: positions are validated and reset, records fetched. A poll
that got something asks for more before it answers, so that the next one finds it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Any

import attrs

from kafsim.clients import calls
from kafsim.clients.assignors import BUILT_IN
from kafsim.clients.assignors.assignor import Assignor
from kafsim.clients.backoff import Backoff
from kafsim.clients.client import Client
from kafsim.clients.consumer_coordinator import ConsumerCoordinator
from kafsim.clients.consumer_group import ConsumerGroupMember
from kafsim.clients.errors import (
    CLOSED,
    IllegalStateError,
    InvalidGroupIdError,
    KafkaError,
    KafkaTimeoutError,
    NoOffsetForPartitionError,
)
from kafsim.clients.extensions import ConsumerInterceptor, RebalanceListener, consume
from kafsim.clients.fetch_buffer import Collected
from kafsim.clients.fetcher import RETRY_TIMER, Fetcher
from kafsim.clients.group_calls import AnyGroup, GroupCalls
from kafsim.clients.group_offsets import OffsetAndMetadata
from kafsim.clients.membership import HEARTBEAT_TIMER
from kafsim.clients.metadata import Leader
from kafsim.clients.offsets import BY_DURATION, EARLIEST, LATEST, OffsetFinder, reset_policy
from kafsim.clients.positions_validator import PositionsValidator
from kafsim.clients.subscription_state import (
    NOBODY,
    FetchPosition,
    FetchState,
    PartitionSubscription,
    SubscriptionState,
)
from kafsim.protocol.client_config import reset_duration_ms
from kafsim.protocol.facts import client as facts
from kafsim.protocol.facts.fact import STATE
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import CallId, Micros, TimerKey, TopicPartition, millis

POLL_TIMER = "poll"
NO_ASSIGNOR = (
    "Must configure at least one partition assigner class name to partition.assignment.strategy configuration property"
)
OF_GROUP = (calls.Subscribe, calls.Unsubscribe, calls.Commit, calls.Committed)
EXCLUSIVE = "Subscription to topics, partitions and pattern are mutually exclusive"


@attrs.define
class Asking:
    """A question for offsets that has no answer yet."""

    call: CallId
    request: calls.Offsets
    deadline: Micros
    under_way: bool = False
    not_before: Micros = Micros(0)  # noqa: RUF009  # an int in disguise
    found: dict[TopicPartition, calls.OffsetAndTimestamp] = attrs.field(factory=dict)
    waiting: dict[TopicPartition, None] = attrs.field(factory=dict)


@attrs.define
class WaitingPoll:
    call: CallId
    max_records: int
    deadline: Micros


class Consumer(Client):
    """``settings``: parsed consumer settings."""

    def __init__(
        self,
        given: Surroundings,
        settings: dict[str, Any],
        bootstrap: list[int],
        interceptors: Sequence[ConsumerInterceptor] = (),
        assignors: Sequence[Assignor] = (),
    ) -> None:
        self._interceptors = tuple(interceptors)
        super().__init__(given, settings, bootstrap, auto_create=settings["allow.auto.create.topics"])
        self._isolated = settings["isolation.level"] == "read_committed"
        self._offsets = OffsetFinder(self.network, self.metadata, int(self._isolated))
        self.subscriptions = SubscriptionState()
        shared = (given.outbox, self.network, self.metadata, self.subscriptions, settings)
        self._fetcher = Fetcher(*shared)
        self._validator = PositionsValidator(*shared)
        self._polls: deque[WaitingPoll] = deque()
        self._positions: list[tuple[CallId, TopicPartition, Micros]] = []
        self._finding: list[Asking] = []
        self._pause = millis(settings["retry.backoff.ms"])
        self._timeout = millis(settings["request.timeout.ms"])
        self._is_closed = False
        self._asks_committed = False
        self.group: AnyGroup | None = None
        self._group_calls: GroupCalls | None = None
        if settings["group.id"] is not None:
            self.group = self._make_group(given, assignors)
            backoff = Backoff(settings["retry.backoff.ms"], settings["retry.backoff.max.ms"], given.entropy)
            self._group_calls = GroupCalls(given.outbox, self.group, settings, backoff)

    def _make_group(self, given: Surroundings, assignors: Sequence[Assignor]) -> AnyGroup:
        settings = self.settings
        shared = (given, settings, self.network, self.metadata, self.subscriptions)
        if settings["group.protocol"] == "consumer":
            return ConsumerGroupMember(*shared, is_polling=lambda: bool(self._polls), on_assigned=self._on_assigned)
        return ConsumerCoordinator(
            *shared,
            assignors or [BUILT_IN[name]() for name in settings["partition.assignment.strategy"]],
            is_polling=lambda: bool(self._polls),
            on_assigned=self._on_assigned,
        )

    # ------------------------------------------------------------------------------ inputs

    def on_cancel(self, now: Micros, call: CallId) -> None:
        self._polls = deque(poll for poll in self._polls if poll.call != call)

    def on_timer(self, now: Micros, key: TimerKey) -> None:
        if key == HEARTBEAT_TIMER and self.group is not None:
            self.group.membership.on_timer(now)
        super().on_timer(now, key)

    def on_call(self, now: Micros, call: CallId, request: Any) -> None:
        if self._is_closed:
            self.outbox.answer_call(call, None if isinstance(request, calls.Close) else IllegalStateError(CLOSED))
            return
        if isinstance(request, OF_GROUP):
            self._on_group_call(now, call, request)
            self.run(now)
            return
        match request:
            case calls.Close():
                self._close(now, call)
            case calls.Assign(()):
                self._unsubscribe(now, call)
            case calls.Poll() if not self.subscriptions.assigned and not self._is_subscribed:
                text = "Consumer is not subscribed to any topics or assigned any partitions"
                self.outbox.answer_call(call, IllegalStateError(text))
            case calls.Poll(timeout, most):
                limit = self.settings["max.poll.records"] if most is None else most
                self._polls.append(WaitingPoll(call, limit, Micros(now + timeout)))
            case calls.Position(tp) if tp not in self.subscriptions.assigned:
                text = "You can only check the position for partitions assigned to this consumer."
                self.outbox.answer_call(call, IllegalStateError(text))
            case calls.Position(tp):
                deadline = Micros(now + millis(self.settings["default.api.timeout.ms"]))
                self._positions.append((call, tp, deadline))
                self.outbox.set_timer(("position", int(call)), deadline)
            case calls.Offsets(wanted):
                for tp in wanted:
                    self.metadata.want(now, tp.topic)
                deadline = Micros(now + millis(self.settings["default.api.timeout.ms"]))
                self._finding.append(Asking(call, request, deadline))
                self.outbox.set_timer(("offsets", int(call)), deadline)
            case _:
                self.outbox.answer_call(call, self._change(now, request))
        self.run(now)

    # ------------------------------------------------------------------------------- group

    @property
    def _is_subscribed(self) -> bool:
        return self.group is not None and self.group.is_subscribed

    def _on_group_call(self, now: Micros, call: CallId, request: Any) -> None:
        group, pending = self.group, self._group_calls
        if isinstance(request, calls.Unsubscribe):
            self._unsubscribe(now, call)
            return
        if group is None or pending is None:
            self.outbox.answer_call(call, InvalidGroupIdError())
            return
        match request:
            case calls.Subscribe() if self.subscriptions.assigned and not group.is_subscribed:
                self.outbox.answer_call(call, IllegalStateError(EXCLUSIVE))
            case calls.Subscribe(_, pattern) if group.is_subscribed and group.is_by_pattern != (pattern is not None):
                self.outbox.answer_call(call, IllegalStateError(EXCLUSIVE))
            case calls.Subscribe(topics, pattern, listener):
                self.outbox.answer_call(call, self._subscribe(now, group, topics, pattern, listener))
            case calls.Commit(offsets):
                pending.commit(now, call, offsets)
            case calls.Committed(partitions):
                pending.committed(now, call, list(partitions))

    def _subscribe(
        self,
        now: Micros,
        group: AnyGroup,
        topics: tuple[str, ...],
        pattern: str | None,
        listener: RebalanceListener | None,
    ) -> Exception | None:
        if not group.can_assign:
            return IllegalStateError(NO_ASSIGNOR)
        try:
            group.subscribe(now, topics, pattern, listener)
        except re.error as error:
            return ValueError(f"{pattern!r} is not a pattern: {error}")
        kept = {tp: state for tp, state in self.subscriptions.assigned.items() if state.is_subscribed}
        self._fetcher.buffer.keep_only(kept)
        return None

    def _unsubscribe(self, now: Micros, call: CallId) -> None:
        if self.group is None:
            self.subscriptions.assign(())
            self.outbox.answer_call(call, None)
        else:
            self.group.unsubscribe(now, lambda _, error: self.outbox.answer_call(call, error))
        self._on_assigned(now)

    def _close(self, now: Micros, call: CallId) -> None:
        self._is_closed = True
        for poll in self._polls:
            self.outbox.answer_call(poll.call, ())
        self._polls.clear()
        if self._group_calls is None:
            self.outbox.answer_call(call, None)
        else:
            self._group_calls.close(now, call)

    def _on_assigned(self, now: Micros) -> None:
        """What stays keeps its position, what goes loses what was fetched."""
        self._fetcher.buffer.keep_only(self.subscriptions.assigned)
        for tp in self.subscriptions.assigned if not self.metadata.asks_by_id else ():
            self.metadata.want(now, tp.topic)
        if self.group is not None:
            topics = {tp.topic: None for asking in self._finding for tp in asking.request.wanted}
            topics |= dict.fromkeys((*self.group.topics, *self.group.group_topics))
            topics |= {tp.topic: None for tp in self.subscriptions.assigned}
            self.metadata.retain(topics)

    # -------------------------------------------------------------------------- assignment

    def _change(self, now: Micros, request: Any) -> object:
        """What is answered at once."""
        match request:
            case calls.Assign() if self._is_subscribed:
                return IllegalStateError(EXCLUSIVE)
            case calls.Assign(partitions):
                self._assign(now, partitions)
            case calls.LookAtAssignment():
                return tuple(sorted(self.subscriptions.assigned))
            case calls.Seek(tp) | calls.LookAt(tp) if tp not in self.subscriptions.assigned:
                return IllegalStateError(f"No current assignment for partition {tp}")
            case calls.Pause(partitions) if any(tp not in self.subscriptions.assigned for tp in partitions):
                missing = next(tp for tp in partitions if tp not in self.subscriptions.assigned)
                return IllegalStateError(f"No current assignment for partition {missing}")
            case calls.Seek(tp, offset, epoch):
                self._seek(self.subscriptions.assigned[tp], offset, epoch)
            case calls.Pause(partitions, paused):
                for tp in partitions:
                    self.subscriptions.assigned[tp].is_paused = paused
            case calls.LookAt(tp):
                return self._look_at(now, self.subscriptions.assigned[tp])
            case _:
                raise AssertionError(f"a consumer is not asked {request}")
        return None

    def _assign(self, now: Micros, partitions: tuple[TopicPartition, ...]) -> None:
        """In place of what was assigned."""
        if self.group is not None:
            self.group.maybe_auto_commit(now)
        self.subscriptions.assign(partitions)
        self._on_assigned(now)

    def _seek(self, state: PartitionSubscription, offset: int | str, epoch: int) -> None:
        if isinstance(offset, str):
            state.reset(EARLIEST if offset == "earliest" else LATEST)
        else:
            state.seek(FetchPosition(offset, epoch, self._leader(state.tp)))

    def _leader(self, tp: TopicPartition) -> Leader:
        return self.metadata.leader(tp) or NOBODY

    def _look_at(self, now: Micros, state: PartitionSubscription) -> calls.PartitionView:
        return calls.PartitionView(
            state=state.state.name,
            position=None if state.position is None else state.position.offset,
            leader_epoch=-1 if state.position is None else state.position.epoch,
            high_watermark=state.high_watermark,
            lag=state.lag(committed=self._isolated),
            paused=state.is_paused,
            preferred_replica=state.preferred_replica(now),
        )

    # --------------------------------------------------------------------------------- loop

    def run(self, now: Micros) -> None:
        """Work for whoever waits."""
        self.metadata.maybe_ask(now)
        self._find_offsets(now)
        if self.group is not None and self._group_calls is not None:
            self.group.channel.run(now)
            self.group.drive(now)
            self._group_calls.run(now)
        if self._polls or self._positions:
            if self._poll_group(now):
                self._update_positions(now)
            self._answer_positions(now)
        self._answer_polls(now)
        if self._polls:
            self._fetcher.send_fetches(now)

    def _poll_group(self, now: Micros) -> bool:
        """May positions be looked for? What the group fails with ends the first poll."""
        if self.group is None or not self._polls:
            return True
        try:
            return self.group.poll(now)
        except KafkaError as error:
            self.outbox.answer_call(self._polls.popleft().call, error)
            return False

    def _update_positions(self, now: Micros) -> None:
        """Validate, and find those that are not known (Kafka: ``updateFetchPositions``)."""
        self._validator.run(now)
        unknown = self.subscriptions.of_state(FetchState.INITIALIZING, now)
        if self.group is not None and unknown:
            self._ask_committed(now, self.group, [state.tp for state in unknown])
        elif not self._begin_where_told(unknown):
            return
        waiting = self.subscriptions.of_state(FetchState.AWAIT_RESET, now)
        if waiting:
            self._reset(now, waiting)

    def _ask_committed(self, now: Micros, group: AnyGroup, partitions: list[TopicPartition]) -> None:
        """Begin where the group has come to."""
        if self._asks_committed:
            return
        self._asks_committed = True

        def found(at: Micros, answer: dict[TopicPartition, OffsetAndMetadata] | KafkaError) -> None:
            self._asks_committed = False
            states = [self.subscriptions.get(tp) for tp in partitions]
            waiting = [state for state in states if state is not None and state.state is FetchState.INITIALIZING]
            if not isinstance(answer, KafkaError):
                self._tell_found(waiting, answer)
                for state in waiting:
                    if state.tp in answer:
                        one = answer[state.tp]
                        state.seek(FetchPosition(one.offset, one.leader_epoch, self._leader(state.tp)))
                self._begin_where_told([state for state in waiting if state.tp not in answer])
            elif answer.code in group.offsets.retriable_fetch:
                for state in waiting:
                    state.next_try = Micros(at + self._pause)
                self.outbox.set_timer(RETRY_TIMER, Micros(at + self._pause))
            else:
                self._validator.failed = answer

        group.offsets.fetch(now, partitions, found)

    def _tell_found(self, waiting: list[PartitionSubscription], found: dict[TopicPartition, OffsetAndMetadata]) -> None:
        """With a place to begin at, or a policy to find one; of the others nothing begins."""
        begins = [state for state in waiting if state.tp in found or reset_policy(self.settings) is not None]
        if begins and self.outbox.heard >= STATE:
            offsets = {state.tp: found.get(state.tp) for state in begins}
            positions = tuple((str(tp), -1 if one is None else one.offset) for tp, one in offsets.items())
            self.outbox.happened(facts.PositionsFound(group=self.settings["group.id"], positions=positions))

    def _begin_where_told(self, unknown: list[PartitionSubscription]) -> bool:
        """By auto.offset.reset; false when it forbids that."""
        policy = reset_policy(self.settings)
        if unknown and policy is None:
            text = f"Undefined offset with no reset policy for partitions: [{', '.join(str(s.tp) for s in unknown)}]"
            self._validator.failed = NoOffsetForPartitionError(text)
            return False
        for state in unknown:
            if policy is not None:
                state.reset(policy)
        return True

    def _reset(self, now: Micros, waiting: list[PartitionSubscription]) -> None:
        wanted = {state.tp: state.reset_to for state in waiting if state.reset_to is not None}
        for state in waiting:
            state.next_try = Micros(now + self._timeout)

        def found(at: Micros, tp: TopicPartition, offset: calls.OffsetAndTimestamp | None) -> None:
            state = self.subscriptions.get(tp)
            if state is None or state.state is not FetchState.AWAIT_RESET or state.reset_to != wanted[tp]:
                return
            if offset is None:
                state.next_try = Micros(at + self._pause)
                self.outbox.set_timer(RETRY_TIMER, state.next_try)
            elif offset.offset >= 0:
                state.move(FetchPosition(offset.offset, leader=self._leader(tp)))
            else:  # no record of that time: asked again when the request would have taken too long
                self.outbox.set_timer(RETRY_TIMER, state.next_try)

        self._offsets.find(now, {tp: self._time_of(now, to) for tp, to in wanted.items()}, found)

    def _time_of(self, now: Micros, reset_to: int) -> int:
        if reset_to != BY_DURATION:
            return reset_to
        return self.given.wall_ms(now) - (reset_duration_ms(self.settings["auto.offset.reset"]) or 0)

    # ------------------------------------------------------------------- questions for offsets

    def _find_offsets(self, now: Micros) -> None:
        """Questions for offsets by time, end or start, until default.api.timeout.ms."""
        for asking in list(self._finding):
            if asking.deadline <= now:
                limit = self.settings["default.api.timeout.ms"]
                self._answer_offsets(asking, KafkaTimeoutError(f"Failed to get offsets by times in {limit}ms"))
            elif not asking.under_way and asking.not_before <= now:
                self._ask_for(now, asking)

    def _ask_for(self, now: Micros, asking: Asking) -> None:
        """Ask every leader for what is missing; once all have answered, again for what is missing still."""
        missing = {tp: time for tp, time in asking.request.wanted.items() if tp not in asking.found}
        asking.under_way, asking.waiting = True, dict.fromkeys(missing)

        def found(at: Micros, tp: TopicPartition, offset: calls.OffsetAndTimestamp | None) -> None:
            asking.waiting.pop(tp, None)
            if offset is not None:
                asking.found[tp] = offset
            if asking.waiting or asking not in self._finding:
                return
            if len(asking.found) == len(asking.request.wanted):
                self._answer_offsets(asking, {tp: asking.found[tp] for tp in asking.request.wanted})
            else:
                asking.under_way, asking.not_before = False, Micros(at + self._pause)
                self.outbox.set_timer(RETRY_TIMER, asking.not_before)

        if missing:
            self._offsets.find(now, missing, found)
        else:
            self._answer_offsets(asking, {})

    def _answer_offsets(self, asking: Asking, answer: object) -> None:
        self._finding.remove(asking)
        self.outbox.cancel_timer(("offsets", int(asking.call)))
        self.outbox.answer_call(asking.call, answer)

    # -------------------------------------------------------------------------------- answers

    def _answer_positions(self, now: Micros) -> None:
        still = []
        for call, tp, deadline in self._positions:
            state = self.subscriptions.get(tp)
            if self._validator.failed is not None:
                self.outbox.answer_call(call, self._validator.failed)
                self._validator.failed = None
            elif state is not None and state.is_valid and state.position is not None:
                self.outbox.answer_call(call, state.position.offset)
            elif deadline <= now:
                limit = self.settings["default.api.timeout.ms"]
                text = f"Timeout of {limit}ms expired before the position for partition {tp} could be determined"
                self.outbox.answer_call(call, KafkaTimeoutError(text))
            else:
                still.append((call, tp, deadline))
                continue
            self.outbox.cancel_timer(("position", int(call)))
        self._positions = still

    def _answer_polls(self, now: Micros) -> None:
        """The first poll gets what is there; one without records waits for its deadline."""
        while self._polls:
            poll = self._polls[0]
            try:
                collected = self._collect(now, poll.max_records)
            except KafkaError as error:
                self._polls.popleft()
                self.outbox.answer_call(poll.call, error)
                continue
            if not collected.is_something and now < poll.deadline:
                self.outbox.set_timer(POLL_TIMER, poll.deadline)
                return
            self._polls.popleft()
            self._fetcher.send_fetches(now)
            records = consume(self.outbox, self._interceptors, tuple(collected.records))
            self.outbox.answer_call(poll.call, records)

    def _collect(self, now: Micros, most: int) -> Collected:
        failed, self._validator.failed = self._validator.failed, None
        if failed is not None:
            raise failed
        collected = self._fetcher.collect(now, most)
        if self.outbox.heard >= STATE:
            for record in collected.records:
                self.outbox.happened(
                    facts.RecordRead(
                        topic=record.topic,
                        partition=record.partition,
                        offset=record.offset,
                        leader_epoch=record.leader_epoch,
                        key=record.key,
                        value=record.value,
                    )
                )
        return collected
