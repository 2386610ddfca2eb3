"""A broker as an observer of the metadata log: fetch, append, replay what is committed, publish.

Nothing is published before the high watermark has been reached once (Kafka: ``MetadataLoader``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafsim.controller.metadata_log import NO_LIMIT, decode_records, end_offset_of, open_log
from kafsim.controller.metadata_state import MetadataState
from kafsim.protocol import errors
from kafsim.protocol.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
    ReplicaState,
)
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Address, ConnectionId, Header, Micros, millis
from kafsim.protocol.uuid import METADATA_TOPIC_ID
from kafsim.storage.log import Log

TIMER = "metadata"
MAX_WAIT_MS = 500
PAUSE = millis(100)
TIMEOUT = millis(2_000)
"""controller.quorum.request.timeout.ms"""
BATCH_BYTES = 1_048_576


class MetadataFetcher:
    """``on_publish`` is told after each step forward, once the log has been read to its end."""

    def __init__(
        self,
        given: Surroundings,
        controller: Address,
        owners: dict[ConnectionId, Any],
        on_publish: Callable[[Micros], None],
    ) -> None:
        self.state = MetadataState()
        self.state.touched = {}
        self.applied = -1
        """The offset of the last record that was published; -1 before the first time."""
        self._given = given
        self._outbox = given.outbox
        self._controller = controller
        self._owners = owners
        self._on_publish = on_publish
        self._log: Log
        self._epoch = -1
        self._replayed = 0
        self._high_watermark = -1
        self._connection: ConnectionId | None = None
        self._correlation = 0

    def start(self, now: Micros) -> None:
        self._log = open_log(self._given, now)
        self._fetch(now)

    def _fetch(self, now: Micros) -> None:
        if self._connection is None:
            self._connection = self._outbox.connect(self._controller, "metadata")
            self._owners[self._connection] = self
        partition = FetchPartition(
            current_leader_epoch=self._epoch,
            fetch_offset=self._log.log_end_offset,
            last_fetched_epoch=self._log.latest_epoch,
            log_start_offset=self._log.log_start_offset,
            partition_max_bytes=BATCH_BYTES,
            high_watermark=self._high_watermark,
        )
        request = FetchRequest(
            replica_state=ReplicaState(replica_id=self._given.address.id),
            max_wait_ms=MAX_WAIT_MS,
            max_bytes=NO_LIMIT,
            topics=(FetchTopic(topic_id=METADATA_TOPIC_ID, partitions=(partition,)),),
        )
        self._correlation += 1
        self._outbox.send(self._connection, Header(1, 18, self._correlation), request)
        self._outbox.set_timer(TIMER, Micros(now + TIMEOUT))

    def on_response(self, now: Micros, connection: ConnectionId, header: Header, body: FetchResponse) -> None:
        if connection != self._connection or header.correlation_id != self._correlation:
            return
        answer = body.responses[0].partitions[0]
        if answer.error_code:
            self._on_error(now, answer)
            return
        self._epoch = answer.current_leader.leader_epoch
        if answer.diverging_epoch.epoch >= 0:
            self._truncate(now, answer)
        elif answer.records:
            self._log.append_as_follower(answer.records, self._epoch, self._given.wall_ms(now))
        self._high_watermark = answer.high_watermark
        self._log.set_high_watermark(answer.high_watermark)
        self._replay(now)
        self._fetch(now)

    def _on_error(self, now: Micros, answer: PartitionData) -> None:
        newer = answer.current_leader.leader_epoch > self._epoch
        if answer.error_code in (errors.FENCED_LEADER_EPOCH, errors.UNKNOWN_LEADER_EPOCH) and newer:
            self._epoch = answer.current_leader.leader_epoch
            self._fetch(now)
        else:
            self._outbox.set_timer(TIMER, Micros(now + PAUSE))

    def _truncate(self, now: Micros, answer: PartitionData) -> None:
        end = answer.diverging_epoch.end_offset
        _, ours = self._log.end_offset_for_epoch(answer.diverging_epoch.epoch)
        self._log.truncate_to(min(end, ours) if ours >= 0 else end, self._given.wall_ms(now))

    def _replay(self, now: Micros) -> None:
        """Apply what is committed and not applied yet."""
        bound = self._log.high_watermark
        while self._replayed < bound:
            read = self._log.read(self._replayed, BATCH_BYTES, bound)
            if not read.records:
                return
            for offset, record in decode_records(read.records):
                if offset >= self._replayed:
                    self.state.replay(record, offset)
            self._replayed = end_offset_of(read.records)
        if self._replayed >= self._high_watermark and self._replayed > self.applied + 1:
            self._on_publish(now)
            self.applied = self._replayed - 1

    def on_disconnect(self, now: Micros, connection: ConnectionId) -> None:
        if connection == self._connection:
            self._owners.pop(connection, None)
            self._connection = None
            self._outbox.set_timer(TIMER, Micros(now + PAUSE))

    def on_timer(self, now: Micros) -> None:
        """No answer in time, or a pause is over."""
        if self._connection is not None:
            self._outbox.close(self._connection)
            self._owners.pop(self._connection, None)
            self._connection = None
        self._fetch(now)
