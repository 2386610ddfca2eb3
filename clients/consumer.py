"""The core of a consumer with assigned partitions (Kafka: ``KafkaConsumer`` with ``assign``).

All happens while somebody polls, or asks for a position: positions are validated and reset, records fetched. A poll
that got something asks for more before it answers, so that the next one finds it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import attrs

from kafsim.clients import calls
from kafsim.clients.client import Client
from kafsim.clients.errors import IllegalStateError, KafkaError, KafkaTimeoutError, NoOffsetForPartitionError
from kafsim.clients.extensions import ConsumerInterceptor, consume
from kafsim.clients.fetch_buffer import Collected
from kafsim.clients.fetcher import RETRY_TIMER, Fetcher
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
from kafsim.protocol.types import CallId, Micros, TopicPartition, millis

POLL_TIMER = "poll"


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

    # ------------------------------------------------------------------------------ inputs

    def on_cancel(self, now: Micros, call: CallId) -> None:
        self._polls = deque(poll for poll in self._polls if poll.call != call)

    def on_call(self, now: Micros, call: CallId, request: Any) -> None:
        match request:
            case calls.Poll() if not self.subscriptions.assigned:
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

    # -------------------------------------------------------------------------- assignment

    def _change(self, now: Micros, request: Any) -> object:
        """What is answered at once."""
        match request:
            case calls.Assign(partitions):
                self._assign(now, partitions)
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
        """In place of what was assigned; what stays keeps its position, what goes loses what was fetched."""
        self.subscriptions.assign(partitions)
        self._fetcher.buffer.keep_only(self.subscriptions.assigned)
        for tp in self.subscriptions.assigned:
            self.metadata.want(now, tp.topic)

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
        if self._polls or self._positions:
            self._update_positions(now)
            self._answer_positions(now)
        self._answer_polls(now)
        if self._polls:
            self._fetcher.send_fetches(now)

    def _update_positions(self, now: Micros) -> None:
        """Validate, and find those that are not known (Kafka: ``updateFetchPositions``)."""
        self._validator.run(now)
        for state in self.subscriptions.of_state(FetchState.INITIALIZING, now):
            policy = reset_policy(self.settings)
            if policy is None:
                text = f"Undefined offset with no reset policy for partitions: [{state.tp}]"
                self._validator.failed = NoOffsetForPartitionError(text)
                return
            state.reset(policy)
        waiting = self.subscriptions.of_state(FetchState.AWAIT_RESET, now)
        if waiting:
            self._reset(now, waiting)

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
