"""The metadata log with a quorum of one voter: whatever is flushed is committed (Kafka: ``KafkaRaftClient``).

A restarted controller takes the next epoch, and leads once its vote for itself is durable. Brokers are observers: they
fetch the log, and are answered at once when there is more of it or when its high watermark is above theirs (KIP-1166).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from typing import Any

import attrs

from kafsim.protocol import errors
from kafsim.protocol.deadlines import Deadlines
from kafsim.protocol.messages.fetch import (
    EpochEndOffset,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    LeaderIdAndEpoch,
    PartitionData,
)
from kafsim.protocol.metadata import serde
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records import control
from kafsim.protocol.records.record import BatchBuilder, decode_batch
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import ConnectionId, EventNumber, Header, Micros, millis
from kafsim.protocol.uuid import METADATA_TOPIC_ID
from kafsim.storage import recovery
from kafsim.storage.log import Log
from kafsim.storage.log_config import LogConfig

DIRECTORY = "__cluster_metadata-0"
QUORUM_STATE = f"{DIRECTORY}/quorum-state"
VOTED = ("quorum-state",)
NO_LIMIT = 0x7FFF_FFFF
CONFIG = LogConfig(retention_ms=-1, segment_bytes=1_073_741_824, max_message_bytes=8_388_608)


@attrs.define
class ParkedFetch:
    """A fetch that waits for more of the log."""

    connection: ConnectionId
    header: Header
    asked: FetchPartition
    event: EventNumber
    done: bool = False


def open_log(given: Surroundings, now: Micros) -> Log:
    """The metadata log on this node's disk; its facts are those of the records in it."""
    return recovery.load(
        DIRECTORY,
        given.files,
        given.outbox,
        CONFIG,
        given.safeguards,
        now_ms=given.wall_ms(now),
        clean=False,
        is_quiet=True,
    )


def decode_records(data: bytes) -> Iterable[tuple[int, Any]]:
    """``(offset, record)`` of the metadata records in some batches; control batches hold none."""
    for span in batches.spans_in_memory(data):
        if batches.header(data, span.position).is_control:
            continue
        for record in decode_batch(data, span.position):
            assert record.value is not None, "a metadata record has a value"
            yield record.offset, serde.decode(record.value)[0]


def end_offset_of(data: bytes) -> int:
    """The offset after the last of some batches."""
    last = list(batches.spans_in_memory(data))[-1]
    return batches.header(data, last.position).next_offset


class MetadataLog:
    """``epoch`` is 0 until this controller has voted for itself."""

    def __init__(self, given: Surroundings) -> None:
        self._given = given
        self._outbox = given.outbox
        self.epoch = 0
        self.is_leader = False
        self._parked: dict[ConnectionId, ParkedFetch] = {}
        self._waits: Deadlines[ParkedFetch] = Deadlines(given.outbox, "metadata-fetch")
        self.log: Log

    def start(self, now: Micros) -> None:
        """Open the log and vote for oneself in the next epoch."""
        self.log = open_log(self._given, now)
        self.epoch = max(self._voted_epoch(), self.log.latest_epoch, 0) + 1
        me = self._given.address.id
        state = {"leaderId": -1, "leaderEpoch": self.epoch, "votedId": me, "data_version": 1}
        file = self._given.files.replace(QUORUM_STATE, json.dumps(state).encode())
        self._outbox.flush(file, VOTED)

    def _voted_epoch(self) -> int:
        file = self._given.files.get(QUORUM_STATE)
        return 0 if file is None else int(json.loads(file.read())["leaderEpoch"])

    def committed_records(self) -> Iterable[tuple[int, Any]]:
        """All that was in the log at start, which its only voter has flushed or reads from its own disk."""
        for segment in self.log.segments:
            yield from decode_records(segment.read(0, len(segment.batches)))

    def become_leader(self, now: Micros) -> None:
        """The vote is durable: begin the epoch with the control record that says so."""
        self.is_leader = True
        me = self._given.address.id
        change = struct.pack(">hi", 0, me) + b"\x02" + struct.pack(">i", me) + b"\x00\x02" + struct.pack(">i", me)
        builder = BatchBuilder()
        builder.append(self._given.wall_ms(now), control.control_key(control.LEADER_CHANGE), change + b"\x00\x00")
        self._write(builder, now, batches.CONTROL)

    def append(self, records: list[Any], now: Micros) -> int:
        """One batch; the offset of its first record."""
        base = self.log.log_end_offset
        builder = BatchBuilder()
        wall = self._given.wall_ms(now)
        for record in records:
            builder.append(wall, None, serde.encode(record))
        self._write(builder, now, 0)
        return base

    def _write(self, builder: BatchBuilder, now: Micros, attributes: int) -> None:
        end = self.log.log_end_offset
        batch = builder.close(base_offset=end, leader_epoch=self.epoch, attributes=attributes)
        self.log.append_control(batch, self._given.wall_ms(now))
        self._outbox.flush(self.log.active.file, ("metadata", self.log.log_end_offset))

    def on_flushed(self, offset: int) -> bool:
        """All below has reached the disk of the only voter: it is committed. True when that is news."""
        self.log.on_flushed(offset)
        if not self.log.set_high_watermark(max(offset, self.log.high_watermark)):
            return False
        for parked in list(self._parked.values()):
            self._answer_parked(parked)
        return True

    # ------------------------------------------------------------------------ observers

    def fetch(self, now: Micros, connection: ConnectionId, header: Header, request: FetchRequest) -> None:
        asked = request.topics[0].partitions[0]
        answer = self._answer(asked)
        nothing = not answer.records and not answer.error_code and answer.diverging_epoch.epoch < 0
        if nothing and answer.high_watermark <= asked.high_watermark and request.max_wait_ms > 0:
            parked = ParkedFetch(connection, header, asked, self._outbox.event)
            self._parked[connection] = parked
            self._waits.add(Micros(now + millis(request.max_wait_ms)), parked)
            return
        self._reply(connection, header, answer)

    def on_wait_over(self, now: Micros) -> None:
        for parked in self._waits.pop_due(now):
            self._answer_parked(parked)

    def on_disconnect(self, connection: ConnectionId) -> None:
        parked = self._parked.pop(connection, None)
        if parked is not None:
            parked.done = True

    def _answer_parked(self, parked: ParkedFetch) -> None:
        parked.done = True
        self._parked.pop(parked.connection, None)
        self._reply(parked.connection, parked.header, self._answer(parked.asked))

    def _answer(self, asked: FetchPartition) -> PartitionData:
        leader = LeaderIdAndEpoch(leader_id=self._given.address.id, leader_epoch=self.epoch)
        log = self.log
        error = errors.NONE
        if not self.is_leader:
            error = errors.NOT_LEADER_OR_FOLLOWER
        elif asked.current_leader_epoch >= 0 and asked.current_leader_epoch != self.epoch:
            fenced = asked.current_leader_epoch < self.epoch
            error = errors.FENCED_LEADER_EPOCH if fenced else errors.UNKNOWN_LEADER_EPOCH
        if error:
            return PartitionData(error_code=error, current_leader=leader)
        diverging = self._diverging(asked)
        records = b""
        if diverging.epoch < 0:
            read = log.read(asked.fetch_offset, asked.partition_max_bytes or NO_LIMIT, log.high_watermark)
            records, error = read.records, read.error
        return PartitionData(
            error_code=error,
            high_watermark=log.high_watermark,
            log_start_offset=log.log_start_offset,
            diverging_epoch=diverging,
            current_leader=leader,
            records=records,
        )

    def _diverging(self, asked: FetchPartition) -> EpochEndOffset:
        if asked.last_fetched_epoch >= 0:
            epoch, end = self.log.end_offset_for_epoch(asked.last_fetched_epoch)
            if epoch < asked.last_fetched_epoch or end < asked.fetch_offset:
                return EpochEndOffset(epoch=max(epoch, 0), end_offset=max(end, 0))
        return EpochEndOffset()

    def _reply(self, connection: ConnectionId, header: Header, answer: PartitionData) -> None:
        topic = FetchableTopicResponse(topic_id=METADATA_TOPIC_ID, partitions=(answer,))
        self._outbox.reply(connection, header, FetchResponse(responses=(topic,)))
