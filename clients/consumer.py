"""The core of a consumer with assigned partitions (Kafka: ``Fetcher``, ``SubscriptionState``).

A partition is fetched when it has a position, a leader, and no records that wait to be polled; each broker has at most
one fetch under way. A position outside the log is reset as auto.offset.reset says.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any

import attrs

from kafsim.clients import calls
from kafsim.clients.client import Client
from kafsim.clients.errors import KafkaError, KafkaTimeoutError, NoOffsetForPartitionError
from kafsim.clients.fetch_session import FetchSessionHandler, PartitionKey
from kafsim.clients.network import FAR, Lost
from kafsim.clients.offsets import EARLIEST, LATEST, OffsetFinder
from kafsim.protocol import errors
from kafsim.protocol.facts import client as facts
from kafsim.protocol.facts.fact import STATE, because
from kafsim.protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, PartitionData
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records.record import decode_batch
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import CallId, Micros, TopicPartition, millis

FETCH = 1
POLL_TIMER, RETRY_TIMER = "poll", "retry"


@attrs.define
class Assigned:
    """One partition. ``position`` None: not known yet; ``reset_to`` says how it is to be found."""

    tp: TopicPartition
    position: int | None = None
    after: int | None = None
    """Where what was fetched ends: behind its last record the log may have a gap (Kafka: ``CompletedFetch``)."""
    reset_to: int | None = None
    asking: bool = False
    not_before: Micros = Micros(0)  # noqa: RUF009  # an int in disguise
    buffered: deque[calls.ConsumerRecord] = attrs.field(factory=deque)

    def pass_gap(self) -> None:
        """All that was fetched is polled: go on behind it."""
        if not self.buffered and self.after is not None and self.position is not None:
            self.position, self.after = max(self.position, self.after), None

    def forget_fetched(self) -> None:
        self.buffered.clear()
        self.after = None


@attrs.define
class Asking:
    """A question for offsets that has no answer yet."""

    call: CallId
    request: calls.Offsets
    deadline: Micros
    under_way: bool = False
    done: bool = False


@attrs.define
class WaitingPoll:
    call: CallId
    max_records: int
    deadline: Micros


class Consumer(Client):
    """``settings``: parsed consumer settings."""

    def __init__(self, given: Surroundings, settings: dict[str, Any], bootstrap: list[int]) -> None:
        super().__init__(given, settings, bootstrap, auto_create=settings["allow.auto.create.topics"])
        self._offsets = OffsetFinder(self.network, self.metadata)
        self._assigned: dict[TopicPartition, Assigned] = {}
        self._sessions: dict[int, FetchSessionHandler] = {}
        self._fetching: dict[int, None] = {}
        self._polls: deque[WaitingPoll] = deque()
        self._positions: list[tuple[CallId, TopicPartition]] = []
        self._finding: list[Asking] = []
        self._failed: Exception | None = None
        self._pause = millis(settings["retry.backoff.ms"])

    # ------------------------------------------------------------------------------ inputs

    def on_cancel(self, now: Micros, call: CallId) -> None:
        self._polls = deque(poll for poll in self._polls if poll.call != call)

    def on_call(self, now: Micros, call: CallId, request: Any) -> None:
        match request:
            case calls.Assign(partitions):
                self._assign(now, partitions)
                self.outbox.answer_call(call, None)
            case calls.Seek(tp, offset):
                self._seek(tp, offset)
                self.outbox.answer_call(call, None)
            case calls.Poll(timeout, most):
                limit = self.settings["max.poll.records"] if most is None else most
                self._polls.append(WaitingPoll(call, limit, Micros(now + timeout)))
            case calls.Position(tp):
                self._positions.append((call, tp))
            case calls.Offsets(partitions, _):
                for tp in partitions:
                    self.metadata.want(now, tp.topic)
                deadline = Micros(now + millis(self.settings["default.api.timeout.ms"]))
                self._finding.append(Asking(call, request, deadline))
                self.outbox.set_timer(("offsets", int(call)), deadline)
            case _:
                raise AssertionError(f"a consumer is not asked {request}")
        self.run(now)

    # -------------------------------------------------------------------------- assignment

    def _assign(self, now: Micros, partitions: tuple[TopicPartition, ...]) -> None:
        """In place of what was assigned; what stays keeps its position."""
        self._assigned = {tp: self._assigned.get(tp) or Assigned(tp) for tp in partitions}
        for tp in partitions:
            self.metadata.want(now, tp.topic)

    def _seek(self, tp: TopicPartition, offset: int | str) -> None:
        state = self._assigned[tp]
        state.forget_fetched()
        if isinstance(offset, str):
            state.position, state.reset_to = None, EARLIEST if offset == "earliest" else LATEST
        else:
            state.position, state.reset_to = offset, None

    # --------------------------------------------------------------------------------- loop

    def run(self, now: Micros) -> None:
        """Find positions, fetch, and answer polls."""
        self.metadata.maybe_ask(now)
        self._answer_polls(now)
        for state in self._assigned.values():
            if state.position is None and not state.asking and state.not_before <= now:
                self._find_position(now, state)
        self._find_offsets(now)
        self._fetch(now)
        self._answer_positions()
        self._answer_polls(now)

    def _find_position(self, now: Micros, state: Assigned) -> None:
        if state.reset_to is None:
            policy = self.settings["auto.offset.reset"]
            if policy == "none":
                text = f"Undefined offset with no reset policy for partitions: [{state.tp}]"
                self._failed = NoOffsetForPartitionError(text)
                return
            state.reset_to = EARLIEST if policy == "earliest" else LATEST
        state.asking = True
        wanted = state.reset_to

        def found(at: Micros, offset: int | None) -> None:
            state.asking = False
            if offset is None:
                self._later(at, state)
            elif state.position is None and state.reset_to == wanted:
                state.position, state.reset_to = offset, None

        self._offsets.find(now, state.tp, wanted, found)

    def _later(self, now: Micros, state: Assigned) -> None:
        state.not_before = Micros(now + self._pause)
        self.outbox.set_timer(RETRY_TIMER, state.not_before)

    def _find_offsets(self, now: Micros) -> None:
        """Questions for offsets by time, end or start, until default.api.timeout.ms."""
        for asking in list(self._finding):
            if asking.deadline <= now:
                limit = self.settings["default.api.timeout.ms"]
                text = f"Failed to get offsets by times in {limit}ms"
                self._answer_offsets(asking, KafkaTimeoutError(text))
            elif not asking.under_way:
                self._find_for(now, asking)

    def _answer_offsets(self, asking: Asking, answer: object) -> None:
        asking.done = True
        self._finding.remove(asking)
        self.outbox.cancel_timer(("offsets", int(asking.call)))
        self.outbox.answer_call(asking.call, answer)

    def _find_for(self, now: Micros, asking: Asking) -> None:
        """Ask every leader; if one cannot be asked now, all of it again a little later."""
        answers: dict[TopicPartition, int] = {}
        asking.under_way = True
        over = False

        def found(tp: TopicPartition, at: Micros, offset: int | None) -> None:
            nonlocal over
            if over or asking.done:
                return
            if offset is None:
                over = True
                asking.under_way = False
                self.outbox.set_timer(RETRY_TIMER, Micros(at + self._pause))
                return
            answers[tp] = offset
            if len(answers) == len(asking.request.partitions):
                self._answer_offsets(asking, answers)

        for tp in asking.request.partitions:
            self._offsets.find(now, tp, asking.request.timestamp, partial(found, tp))

    # ------------------------------------------------------------------------------- fetching

    def _fetch(self, now: Micros) -> None:
        """One request to each broker that leads a partition which can take more."""
        by_node: dict[int, dict[PartitionKey, FetchPartition]] = {}
        holding: dict[int, None] = {}
        for state in self._assigned.values():
            leader = self.metadata.leader(state.tp)
            if leader is None:
                self.metadata.request_update(now)
            elif state.buffered:
                holding[leader.id] = None
            elif state.position is not None and state.not_before <= now:
                topic_id = self.metadata.topic_ids[state.tp.topic]
                by_node.setdefault(leader.id, {})[topic_id, state.tp.partition] = FetchPartition(
                    partition=state.tp.partition,
                    current_leader_epoch=leader.epoch,
                    fetch_offset=state.position,
                    partition_max_bytes=self.settings["max.partition.fetch.bytes"],
                )
        for node, wanted in by_node.items():
            if node in self._fetching or node in holding:
                continue
            if self.network.is_ready(now, node):
                self._ask(now, node, wanted)
            elif self.network.wake_at(node) < FAR:
                self.outbox.set_timer(RETRY_TIMER, self.network.wake_at(node))

    def _ask(self, now: Micros, node: int, wanted: dict[PartitionKey, FetchPartition]) -> None:
        parts = self._sessions.setdefault(node, FetchSessionHandler()).build(wanted)
        self._fetching[node] = None
        request = FetchRequest(
            max_wait_ms=self.settings["fetch.max.wait.ms"],
            min_bytes=self.settings["fetch.min.bytes"],
            max_bytes=self.settings["fetch.max.bytes"],
            isolation_level=int(self.settings["isolation.level"] == "read_committed"),
            session_id=parts.session_id,
            session_epoch=parts.session_epoch,
            topics=parts.topics,
            forgotten_topics_data=parts.forgotten,
        )

        def answered(at: Micros, response: FetchResponse | Lost) -> None:
            del self._fetching[node]
            self._on_fetched(at, node, wanted, response)

        self.network.send(now, node, FETCH, request, answered, version=18)

    def _on_fetched(
        self, now: Micros, node: int, asked: dict[PartitionKey, FetchPartition], response: FetchResponse | Lost
    ) -> None:
        session = self._sessions[node]
        if isinstance(response, Lost):
            session.lost()
            self.metadata.request_update(now)
            return
        if not session.take(response):
            return
        for topic in response.responses:
            name = self.metadata.topic_names.get(topic.topic_id)
            for answer in topic.partitions:
                request = asked.get((topic.topic_id, answer.partition_index))
                if name is not None and request is not None:
                    tp = TopicPartition(name, answer.partition_index)
                    self._take(now, tp, request.fetch_offset, answer)

    def _take(self, now: Micros, tp: TopicPartition, asked_offset: int, answer: PartitionData) -> None:
        state = self._assigned.get(tp)
        if state is None or state.position != asked_offset:
            return
        if answer.error_code:
            self._on_error(now, state, answer)
            return
        data = answer.records or b""
        for span in batches.spans_in_memory(data):
            if self.settings["check.crcs"]:
                batches.ensure_valid(data, span.position, span.size)
            head = batches.header(data, span.position)
            state.after = head.next_offset
            if head.is_control:
                continue
            for record in decode_batch(data, span.position):
                if record.offset >= asked_offset:
                    state.buffered.append(
                        calls.ConsumerRecord(
                            *tp,
                            record.offset,
                            record.timestamp,
                            record.key,
                            record.value,
                            record.headers,
                            head.leader_epoch,
                        )
                    )
        state.pass_gap()

    def _on_error(self, now: Micros, state: Assigned, answer: PartitionData) -> None:
        if answer.error_code == errors.OFFSET_OUT_OF_RANGE:
            policy = self.settings["auto.offset.reset"]
            text = f"offset {state.position} is out of range"
            why = because(facts.RESET, why=text, policy=policy)
            self.outbox.happened(facts.PositionReset(topic=state.tp.topic, partition=state.tp.partition, because=why))
            state.position = None
            return
        if answer.error_code in errors.INVALID_METADATA:
            self.metadata.request_update(now)
        elif answer.error_code not in errors.RETRIABLE:
            self._failed = KafkaError(answer.error_code, f"fetching {state.tp}")
        self._later(now, state)

    # -------------------------------------------------------------------------------- answers

    def _answer_positions(self) -> None:
        still = []
        for call, tp in self._positions:
            state = self._assigned.get(tp)
            if state is not None and state.position is not None:
                self.outbox.answer_call(call, state.position)
            else:
                still.append((call, tp))
        self._positions = still

    def _answer_polls(self, now: Micros) -> None:
        """The first poll gets what is there; one without records waits for its deadline."""
        while self._polls:
            poll = self._polls[0]
            if self._failed is not None:
                self.outbox.answer_call(poll.call, self._failed)
                self._failed = None
                self._polls.popleft()
                continue
            records = self._collect(poll.max_records)
            if not records and now < poll.deadline:
                self.outbox.set_timer(POLL_TIMER, poll.deadline)
                return
            self._polls.popleft()
            self.outbox.answer_call(poll.call, tuple(records))

    def _collect(self, most: int) -> list[calls.ConsumerRecord]:
        records: list[calls.ConsumerRecord] = []
        for state in self._assigned.values():
            while state.buffered and len(records) < most:
                record = state.buffered.popleft()
                state.position = record.offset + 1
                state.pass_gap()
                records.append(record)
        if self.outbox.heard >= STATE:
            for record in records:
                self.outbox.happened(
                    facts.RecordRead(
                        topic=record.topic,
                        partition=record.partition,
                        offset=record.offset,
                        key=record.key,
                        value=record.value,
                    )
                )
        return records
