"""Copies from one leader (Kafka: ``ReplicaFetcherThread``): one request in flight, in a fetch session.

A partition whose log has epochs begins to fetch at its log end; the leader answers with a diverging epoch when the two
logs differ, and the follower cuts its own there. A request names only partitions whose position changed, so partitions
that are caught up cost nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from kafsim.broker.partition import Partition
from kafsim.broker.replication_quota import ReplicationQuota
from kafsim.protocol import errors
from kafsim.protocol.facts import broker as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.files import DiskError
from kafsim.protocol.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    ForgottenTopic,
    PartitionData,
    ReplicaState,
)
from kafsim.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Address, ConnectionId, Header, Micros, TopicPartition, millis
from kafsim.protocol.uuid import Uuid
from kafsim.storage.log import Log, UnexpectedOffset

PartitionKey = tuple[Uuid, int]
FETCH, LIST_OFFSETS = 1, 2
LATEST, EARLIEST = -1, -2


@attrs.define
class FetchState:
    """One partition of a fetcher. ``due`` is set while it is left out after an error."""

    partition: Partition
    leader_epoch: int
    due: Micros | None = None
    sent: tuple[int, int, int] | None = None
    """Fetch offset, last fetched epoch and log start as the session knows them."""
    lag: int | None = None
    """How far the leader's high watermark was above this log, as of its last answer."""
    held: bool = False
    """Left out by the follower's throttle."""
    asks: int = 0
    """LATEST or EARLIEST while the leader is asked for that offset."""

    @property
    def is_ready(self) -> bool:
        return self.due is None and not self.held

    @property
    def wanted(self) -> tuple[int, int, int]:
        log = self.partition.log
        return log.log_end_offset, log.latest_epoch, log.log_start_offset


class ReplicaFetcher:
    """``broker_epoch`` is read when a request is sent; ``settings`` are the broker's."""

    def __init__(
        self,
        given: Surroundings,
        leader: Address,
        owners: dict[ConnectionId, Any],
        settings: dict[str, Any],
        broker_epoch: Callable[[], int],
        quota: ReplicationQuota,
    ) -> None:
        self._given = given
        self._outbox = given.outbox
        self._leader = leader
        self._owners = owners
        self._settings = settings
        self._broker_epoch = broker_epoch
        self._quota = quota
        self._states: dict[PartitionKey, FetchState] = {}
        self._changed: dict[PartitionKey, None] = {}
        self._in_session: dict[PartitionKey, None] = {}
        """What the leader's session has of this fetcher."""
        self._leaving: dict[PartitionKey, None] = {}
        """What may have to go from there with the next request: removed, delayed or held since the last one."""
        self._delayed: list[tuple[int, PartitionKey]] = []
        self._held: dict[PartitionKey, None] = {}
        self._held_until: Micros | None = None
        """When to look again, while everything is held."""
        self._session_id = 0
        self._session_epoch = 0
        self._connection: ConnectionId | None = None
        self._correlation = 0
        self._in_flight = False
        self._timer = ("fetcher", leader.id)
        self._retry_timer = ("fetcher-delay", leader.id)

    @property
    def is_idle(self) -> bool:
        return not self._states

    def holds(self, partition: Partition) -> bool:
        """Is this partition copied from here?"""
        return (partition.topic_id, partition.tp.partition) in self._states

    # ------------------------------------------------------------------------- partitions

    def add(self, now: Micros, partition: Partition) -> None:
        """Begin to copy a partition, from the end of its log; one without epochs is first cut to its high watermark."""
        key = (partition.topic_id, partition.tp.partition)
        if not partition.log.epochs.entries:
            partition.log.truncate_to(partition.log.high_watermark, self._given.wall_ms(now))
        self._states[key] = FetchState(partition, partition.leader_epoch)
        self._changed[key] = None
        self._send(now)

    def remove(self, now: Micros, partition: Partition) -> None:
        key = (partition.topic_id, partition.tp.partition)
        self._states.pop(key, None)
        self._changed.pop(key, None)
        self._leaving[key] = None

    def close(self) -> None:
        """Nothing is left to copy from this leader."""
        self._states.clear()
        self._changed.clear()
        self._held.clear()
        self._outbox.cancel_timer(self._timer)
        self._outbox.cancel_timer(self._retry_timer)
        if self._connection is not None:
            self._owners.pop(self._connection, None)
            self._outbox.close(self._connection)
            self._connection = None
        self._in_flight = False

    # --------------------------------------------------------------------------- requests

    def _send(self, now: Micros) -> None:
        if self._in_flight:
            return
        if self._quota.throttled or self._held:
            self._throttle(now)
        if not self._has_ready() and not self._to_forget():
            return
        if self._connection is None:
            self._connection = self._outbox.connect(self._leader, "fetcher")
            self._owners[self._connection] = self
        self._in_flight = True
        self._correlation += 1
        self._outbox.send(self._connection, Header(FETCH, 18, self._correlation), self._request())
        self._outbox.set_timer(self._timer, Micros(now + millis(self._settings["request.timeout.ms"])))

    def _has_ready(self) -> bool:
        """Is there a partition to ask for?"""
        return any(state.is_ready for state in self._states.values())

    def _throttle(self, now: Micros) -> None:
        """Leave out whoever lags while the rate is exceeded, take in again whoever is not held any more."""
        for key, state in self._states.items():
            if state.due is not None:
                continue
            partition = state.partition
            held, why = self._quota.judge(now, partition.tp, lags=state.lag is None or state.lag > 0)
            if held != state.held:
                state.held = held
                self._hold(key, state)
                self._outbox.happened(facts.ReplicationThrottled(log=partition.name, held=held, because=why))
        self._held = {key: None for key, state in self._states.items() if state.held}
        if not self._held or self._has_ready():
            self._held_until = None
        elif self._held_until is None or self._held_until <= now:
            self._held_until = Micros(now + millis(self._settings["replica.fetch.backoff.ms"]))
            self._arm_retry()

    def _hold(self, key: PartitionKey, state: FetchState) -> None:
        if state.held:
            self._leaving[key], state.sent = None, None
        else:
            self._changed[key] = None

    def _to_forget(self) -> list[PartitionKey]:
        """What the session has and is not asked for any more (Kafka: ``FetchSessionHandler.Builder.build``)."""
        states = self._states
        left = [key for key in self._leaving if key in self._in_session]
        return [key for key in left if key not in states or not states[key].is_ready]

    def _request(self) -> FetchRequest:
        keys = list(self._states) if self._session_epoch == 0 else list(self._changed)
        topics: dict[Uuid, list[FetchPartition]] = {}
        for key in keys:
            state = self._states[key]
            if state.is_ready:
                topics.setdefault(key[0], []).append(self._asked(key[1], state))
                self._in_session[key] = None
        self._changed.clear()
        forgotten: dict[Uuid, list[int]] = {}
        for key in self._to_forget():
            forgotten.setdefault(key[0], []).append(key[1])
            del self._in_session[key]
        self._leaving.clear()
        return FetchRequest(
            replica_state=ReplicaState(replica_id=self._given.address.id, replica_epoch=self._broker_epoch()),
            max_wait_ms=self._settings["replica.fetch.wait.max.ms"],
            min_bytes=self._settings["replica.fetch.min.bytes"],
            max_bytes=self._settings["replica.fetch.response.max.bytes"],
            session_id=self._session_id,
            session_epoch=self._session_epoch,
            topics=tuple(FetchTopic(topic_id=id_, partitions=tuple(p)) for id_, p in topics.items()),
            forgotten_topics_data=tuple(
                ForgottenTopic(topic_id=id_, partitions=tuple(p)) for id_, p in forgotten.items()
            ),
        )

    def _asked(self, index: int, state: FetchState) -> FetchPartition:
        state.sent = offset, epoch, start = state.wanted
        return FetchPartition(
            partition=index,
            current_leader_epoch=state.leader_epoch,
            fetch_offset=offset,
            last_fetched_epoch=epoch,
            log_start_offset=start,
            partition_max_bytes=self._settings["replica.fetch.max.bytes"],
        )

    # ---------------------------------------------------------------------------- answers

    def on_response(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None:
        if connection != self._connection:
            return
        if isinstance(body, ListOffsetsResponse):
            self._on_offsets(now, body, header.correlation_id)
            return
        if header.correlation_id != self._correlation:
            return
        self._in_flight = False
        self._take(now, body)
        self._send(now)

    def _take(self, now: Micros, response: FetchResponse) -> None:
        if response.error_code:
            keep = response.error_code != errors.FETCH_SESSION_ID_NOT_FOUND
            self._reset_session(self._session_id if keep else 0)
            return
        if response.session_id:
            self._session_id = response.session_id
            self._session_epoch = 1 if self._session_epoch == 0 else self._session_epoch + 1
        else:
            self._reset_session(0)
        for topic in response.responses:
            for answer in topic.partitions:
                key = (topic.topic_id, answer.partition_index)
                state = self._states.get(key)
                if state is not None and state.due is None and state.sent is not None:
                    self._on_disk(now, state.partition, partial(self._take_one, now, key, state, answer))

    def _on_disk(self, now: Micros, partition: Partition, act: Callable[[], None]) -> None:
        """A partition whose log cannot be written is not fetched any more."""
        try:
            act()
        except DiskError:
            self.remove(now, partition)
            partition.on_disk_error()

    def _take_one(self, now: Micros, key: PartitionKey, state: FetchState, answer: PartitionData) -> None:
        partition = state.partition
        if state.leader_epoch != partition.leader_epoch or state.sent is None:
            return
        if state.sent[0] != partition.log.log_end_offset:
            self._changed[key] = None
            return
        if answer.error_code == errors.OFFSET_OUT_OF_RANGE:
            self._ask_end(now, key, state)
        elif answer.error_code:
            self._on_error(now, key, state, answer)
        elif answer.diverging_epoch.epoch >= 0 or answer.diverging_epoch.end_offset >= 0:
            self._truncate(now, partition, answer)
        else:
            self._append(now, key, state, answer)
        if state.sent != state.wanted:
            self._changed[key] = None

    def _append(self, now: Micros, key: PartitionKey, state: FetchState, answer: PartitionData) -> None:
        partition = state.partition
        if answer.records:
            error = self._append_records(now, partition.log, state.leader_epoch, answer.records)
            if error is None:
                self.remove(now, partition)
                return
            if error:
                self._delay(now, key, state)
                return
        if self._quota.throttles(partition.tp):
            self._quota.record(now, len(answer.records or b""))
        if answer.records or state.lag is None:
            state.lag = max(answer.high_watermark - partition.log.log_end_offset, 0)
        partition.take_high_watermark(now, answer.high_watermark, answer.log_start_offset)

    def _append_records(self, now: Micros, log: Log, leader_epoch: int, records: bytes) -> int | None:
        """An error code; None when the leader's batches do not belong here.

        An empty log that begins in the middle of a batch begins with that batch (Kafka:
        ``appendRecordsToFollowerOrFutureReplica``).
        """
        wall = self._given.wall_ms(now)
        try:
            return log.append_as_follower(records, leader_epoch, wall).error
        except UnexpectedOffset as unexpected:
            end = log.log_end_offset
            if end != log.log_start_offset or not unexpected.first < end <= unexpected.last:
                return None
            log.replace_all(unexpected.first, wall)
            return log.append_as_follower(records, leader_epoch, wall).error

    def note_moved(self, partition: Partition) -> None:
        """The start of this log moved: the leader is told with the next request."""
        key = (partition.topic_id, partition.tp.partition)
        state = self._states.get(key)
        if state is not None and state.due is None:
            self._changed[key] = None

    def _on_error(self, now: Micros, key: PartitionKey, state: FetchState, answer: PartitionData) -> None:
        if answer.error_code == errors.FENCED_LEADER_EPOCH and state.leader_epoch == state.partition.leader_epoch:
            self.remove(now, state.partition)
        else:
            self._delay(now, key, state)

    def _truncate(self, now: Micros, partition: Partition, answer: PartitionData) -> None:
        """Cut where the logs are known to agree (Kafka: ``getOffsetTruncationState``)."""
        log, leader = partition.log, answer.diverging_epoch
        ours, our_end = log.end_offset_for_epoch(leader.epoch)
        if ours < 0:
            to = min(leader.end_offset, log.log_end_offset)
        elif ours != leader.epoch:
            to = min(our_end, log.log_end_offset)
        else:
            to = min(our_end, leader.end_offset, log.log_end_offset)
        why = because(facts.DIVERGED, epoch=leader.epoch, end=leader.end_offset, ours=ours, our_end=our_end)
        self._outbox.happened(facts.TruncationDecided(log=log.directory, to=to, because=why))
        was = log.high_watermark
        log.truncate_to(to, self._given.wall_ms(now))
        if log.high_watermark != was:
            self._outbox.happened(
                facts.HighWatermarkMoved(log=log.directory, to=log.high_watermark, was=was, leads=False)
            )

    # ------------------------------------------------------------------------ out of range

    def _ask_end(self, now: Micros, key: PartitionKey, state: FetchState) -> None:
        """The leader's log is elsewhere: ask where it ends, then perhaps where it begins."""
        state.due = Micros(now + millis(self._settings["request.timeout.ms"]))
        state.asks = LATEST
        heapq.heappush(self._delayed, (state.due, key))
        self._arm_retry()
        self._ask_offset(key, state)

    def _ask_offset(self, key: PartitionKey, state: FetchState) -> None:
        assert self._connection is not None, "an answer came from somewhere"
        asked = ListOffsetsPartition(
            partition_index=key[1], current_leader_epoch=state.leader_epoch, timestamp=state.asks
        )
        request = ListOffsetsRequest(
            replica_id=self._given.address.id,
            topics=(ListOffsetsTopic(name=state.partition.tp.topic, partitions=(asked,)),),
        )
        self._outbox.send(self._connection, Header(LIST_OFFSETS, 11, state.asks), request)

    def _on_offsets(self, now: Micros, response: ListOffsetsResponse, timestamp: int) -> None:
        """``timestamp``: which one was asked (Kafka: ``fetchOffsetAndTruncate``)."""
        for topic in response.topics:
            for answer in topic.partitions:
                state = self._state_named(TopicPartition(topic.name, answer.partition_index))
                if state is not None and state.asks == timestamp:
                    self._on_disk(now, state.partition, partial(self._on_offset, now, state, answer))
        self._send(now)

    def _on_offset(self, now: Micros, state: FetchState, answer: ListOffsetsPartitionResponse) -> None:
        """The end: cut down to it when it is below ours. Else the start: begin anew there when it is above our end."""
        partition, log, wall = state.partition, state.partition.log, self._given.wall_ms(now)
        key = (partition.topic_id, partition.tp.partition)
        asked, state.asks = state.asks, 0
        if answer.error_code or state.leader_epoch != partition.leader_epoch:
            self._fail_offset(now, key, state, answer.error_code)
            return
        if asked == LATEST and answer.offset >= log.log_end_offset:
            state.asks = EARLIEST
            self._ask_offset(key, state)
            return
        if asked == LATEST:
            why = because(facts.OUT_OF_RANGE, start=log.log_start_offset, end=answer.offset)
            self._outbox.happened(facts.TruncationDecided(log=log.directory, to=answer.offset, because=why))
            log.truncate_to(answer.offset, wall)
            state.lag = 0
        elif answer.offset > log.log_end_offset:
            log.replace_all(answer.offset, wall)
        state.due = None
        self._changed[key] = None

    def _fail_offset(self, now: Micros, key: PartitionKey, state: FetchState, error: int) -> None:
        """Try again a little later; a leader epoch that is fenced and still ours never will do."""
        state.due = None
        if error == errors.FENCED_LEADER_EPOCH and state.leader_epoch == state.partition.leader_epoch:
            self.remove(now, state.partition)
        else:
            self._delay(now, key, state)

    def _state_named(self, tp: TopicPartition) -> FetchState | None:
        for state in self._states.values():
            if state.partition.tp == tp:
                return state
        return None

    # ------------------------------------------------------------------------------ delays

    def _delay(self, now: Micros, key: PartitionKey, state: FetchState) -> None:
        """Leave a partition out for replica.fetch.backoff.ms; the session forgets it meanwhile."""
        if state.due is not None:
            return
        state.due = Micros(now + millis(self._settings["replica.fetch.backoff.ms"]))
        self._leaving[key], state.sent = None, None
        self._changed.pop(key, None)
        heapq.heappush(self._delayed, (state.due, key))
        self._arm_retry()

    def _arm_retry(self) -> None:
        due = [self._delayed[0][0]] if self._delayed else []
        if self._held_until is not None:
            due.append(self._held_until)
        if due:
            self._outbox.set_timer(self._retry_timer, Micros(min(due)))

    def on_retry_timer(self, now: Micros) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            due, key = heapq.heappop(self._delayed)
            state = self._states.get(key)
            if state is not None and state.due == due:
                state.due = None
                self._changed[key] = None
        if self._held_until is not None and self._held_until <= now:
            self._held_until = None
        self._arm_retry()
        self._send(now)

    def on_disconnect(self, now: Micros, connection: ConnectionId) -> None:
        if connection == self._connection:
            self._lost(now)

    def on_timeout(self, now: Micros) -> None:
        """No answer within request.timeout.ms: the connection is given up."""
        if self._in_flight and self._connection is not None:
            self._outbox.close(self._connection)
            self._lost(now)

    def _lost(self, now: Micros) -> None:
        assert self._connection is not None, "a connection was lost"
        self._owners.pop(self._connection, None)
        self._connection = None
        self._in_flight = False
        self._outbox.cancel_timer(self._timer)
        self._reset_session(self._session_id)
        for key, state in self._states.items():
            if state.asks:
                state.asks, state.due = 0, None
            self._delay(now, key, state)

    def _reset_session(self, session_id: int) -> None:
        """The next request names everything; a session that is still there is ended by it."""
        self._session_id, self._session_epoch = session_id, 0
        self._in_session.clear()
        self._leaving.clear()
