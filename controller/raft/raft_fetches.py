"""What the leader of the quorum serves: fetches, which may wait, and snapshots in pieces (Kafka: ``KafkaRaftClient``).

A fetch tells how far the replica is. It is answered when there is more of the log or when the high watermark is above
the one the replica knows (KIP-1166), whether or not the records are committed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from kafsim.controller.raft import messages
from kafsim.controller.raft.raft_log import Kind, Validity
from kafsim.controller.raft.snapshots import BOOTSTRAP, OffsetAndEpoch
from kafsim.controller.raft.voter_set import ReplicaKey
from kafsim.protocol import errors
from kafsim.protocol.deadlines import Deadlines
from kafsim.protocol.messages import fetch as fm
from kafsim.protocol.messages import fetch_snapshot as fs
from kafsim.protocol.types import ConnectionId, EventNumber, Header, Micros, millis

if TYPE_CHECKING:
    from kafsim.controller.raft.raft_client import RaftClient

TIMER = "raft-fetch"


@attrs.define
class ParkedFetch:
    """A fetch that waits for more of the log."""

    connection: ConnectionId
    header: Header
    request: fm.FetchRequest
    event: EventNumber
    answer: fm.PartitionData
    """What there was to say when it came: nothing. It is said when the time is over."""
    number: int = 0
    done: bool = False

    @property
    def asked(self) -> fm.FetchPartition:
        return self.request.topics[0].partitions[0]


class FetchService:
    def __init__(self, raft: RaftClient) -> None:
        self._raft = raft
        self._outbox = raft.given.outbox
        self._parked: dict[int, ParkedFetch] = {}
        """Kafka keeps those whose connection is gone too, and answers them into nothing."""
        self._numbers = 0
        self._waits: Deadlines[ParkedFetch] = Deadlines(raft.given.outbox, TIMER)

    # -------------------------------------------------------------------------- fetch

    def fetch(self, now: Micros, connection: ConnectionId, header: Header, request: fm.FetchRequest) -> None:
        if not self._raft.has_cluster(request.cluster_id):
            self._raft.reply(connection, header, fm.FetchResponse(error_code=errors.INCONSISTENT_CLUSTER_ID))
            return
        asked = request.topics[0].partitions[0]
        if (
            request.max_wait_ms < 0
            or asked.fetch_offset < 0
            or asked.last_fetched_epoch < 0
            or asked.last_fetched_epoch > asked.current_leader_epoch
        ):
            self._reply(connection, header, self._refusal(errors.INVALID_REQUEST))
            return
        answer = self._try(now, request)
        if request.max_wait_ms and self._is_nothing(answer, asked):
            self._numbers += 1
            parked = ParkedFetch(connection, header, request, self._outbox.event, answer, number=self._numbers)
            self._parked[self._numbers] = parked
            self._waits.add(Micros(now + millis(request.max_wait_ms)), parked)
        else:
            self._reply(connection, header, answer)

    def _is_nothing(self, answer: fm.PartitionData, asked: fm.FetchPartition) -> bool:
        return (
            not answer.error_code
            and not answer.records
            and answer.diverging_epoch.epoch < 0
            and answer.snapshot_id.epoch < 0
            and answer.high_watermark <= asked.high_watermark
        )

    def _try(self, now: Micros, request: fm.FetchRequest) -> fm.PartitionData:
        """The answer as of now; notes how far the replica is."""
        raft, asked = self._raft, request.topics[0].partitions[0]
        error = raft.check_leader(asked.current_leader_epoch)
        if error:
            return self._refusal(error)
        state = raft.leader
        assert state is not None, "checked"
        log = raft.log
        latest = log.latest_snapshot
        if asked.fetch_offset == 0 and latest is not None and latest != BOOTSTRAP:
            validity = Validity(Kind.SNAPSHOT, latest)
        else:
            validity = log.validate(asked.fetch_offset, asked.last_fetched_epoch)
        if validity.kind is Kind.DIVERGING and not raft.given.safeguards.truncate_diverging_metadata:
            validity = Validity(Kind.VALID, validity.at)
        records = b""
        if validity.kind is Kind.VALID:
            key = ReplicaKey(request.replica_state.replica_id, asked.replica_directory_id)
            if state.update_replica(now, key, asked.fetch_offset):
                raft.leader_high_watermark_moved(now)
            records = log.log.read(asked.fetch_offset, request.max_bytes, log.end_offset).records
        return self._answer(validity, records, state.high_watermark)

    def _answer(self, validity: Validity, records: bytes, high_watermark: int) -> fm.PartitionData:
        at = validity.at
        diverging, snapshot = fm.EpochEndOffset(), fm.SnapshotId()
        if validity.kind is Kind.DIVERGING:
            diverging = fm.EpochEndOffset(epoch=at.epoch, end_offset=at.offset)
        elif validity.kind is Kind.SNAPSHOT:
            snapshot = fm.SnapshotId(epoch=at.epoch, end_offset=at.offset)
        return fm.PartitionData(
            high_watermark=high_watermark,
            log_start_offset=self._raft.log.start_offset,
            diverging_epoch=diverging,
            snapshot_id=snapshot,
            current_leader=self._current_leader(),
            records=records,
        )

    def _refusal(self, error: int) -> fm.PartitionData:
        start = self._raft.log.start_offset
        return fm.PartitionData(
            error_code=error, high_watermark=-1, log_start_offset=start, current_leader=self._current_leader()
        )

    def _current_leader(self) -> fm.LeaderIdAndEpoch:
        return fm.LeaderIdAndEpoch(leader_id=self._raft.leader_id, leader_epoch=self._raft.epoch)

    def _reply(self, connection: ConnectionId, header: Header, answer: fm.PartitionData) -> None:
        address = self._raft.leader_address
        endpoint = None if address is None else (self._raft.leader_id, address)
        self._raft.reply(connection, header, messages.fetch_response(answer, endpoint))

    # ------------------------------------------------------------------------ waiting

    def complete_below(self, now: Micros, end: int) -> None:
        """The log has grown to here."""
        for parked in list(self._parked.values()):
            if parked.asked.fetch_offset < end and not parked.done:
                self._complete(now, parked)

    def complete_all(self, now: Micros) -> None:
        """The high watermark has moved: all want to know it."""
        for parked in list(self._parked.values()):
            if not parked.done:
                self._complete(now, parked)

    def refuse_all(self, now: Micros) -> None:
        """This node does not lead any more."""
        for parked in list(self._parked.values()):
            self._forget(parked)
            self._reply(parked.connection, parked.header, self._refusal(errors.NOT_LEADER_OR_FOLLOWER))

    def on_wait_over(self, now: Micros) -> None:
        for parked in self._waits.pop_due(now):
            self._forget(parked)
            self._reply(parked.connection, parked.header, parked.answer)

    def _complete(self, now: Micros, parked: ParkedFetch) -> None:
        self._forget(parked)
        self._reply(parked.connection, parked.header, self._try(now, parked.request))

    def _forget(self, parked: ParkedFetch) -> None:
        parked.done = True
        self._parked.pop(parked.number, None)

    # ----------------------------------------------------------------------- snapshots

    def fetch_snapshot(
        self, now: Micros, connection: ConnectionId, header: Header, request: fs.FetchSnapshotRequest
    ) -> None:
        if not self._raft.has_cluster(request.cluster_id):
            self._raft.reply(connection, header, fs.FetchSnapshotResponse(error_code=errors.INCONSISTENT_CLUSTER_ID))
            return
        self._raft.reply(connection, header, self._snapshot(now, request))

    def _snapshot(self, now: Micros, request: fs.FetchSnapshotRequest) -> fs.FetchSnapshotResponse:
        raft, asked = self._raft, request.topics[0].partitions[0]
        leader, epoch = raft.leader_id, raft.epoch
        error = raft.check_leader(asked.current_leader_epoch)
        if error:
            return messages.snapshot_response(leader, epoch, error=error)
        id_ = OffsetAndEpoch(asked.snapshot_id.epoch, asked.snapshot_id.end_offset)
        data = raft.log.read_snapshot(id_)
        if data is None:
            return messages.snapshot_response(leader, epoch, error=errors.SNAPSHOT_NOT_FOUND)
        if not 0 <= asked.position < len(data):
            return messages.snapshot_response(leader, epoch, error=errors.POSITION_OUT_OF_RANGE)
        state = raft.leader
        assert state is not None, "checked"
        state.heard_of(now, ReplicaKey(request.replica_id, asked.replica_directory_id))
        chunk = data[asked.position : asked.position + request.max_bytes]
        return messages.snapshot_response(
            leader, epoch, id_=id_, size=len(data), position=asked.position, unaligned_records=chunk
        )
