"""How a node follows the leader of the quorum: fetch, append, cut, take a snapshot (Kafka: ``KafkaRaftClient``).

A voter flushes what it has appended before it fetches on, since the next fetch tells the leader that it has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafsim.controller.raft import messages, snapshots
from kafsim.controller.raft.quorum_state import Follower
from kafsim.controller.raft.snapshots import OffsetAndEpoch
from kafsim.protocol import errors
from kafsim.protocol.facts import quorum as facts
from kafsim.protocol.facts.fact import STATE, because
from kafsim.protocol.messages import fetch, fetch_snapshot
from kafsim.protocol.types import Address, Micros

if TYPE_CHECKING:
    from kafsim.controller.raft.raft_client import RaftClient

MAX_WAIT_MS = 500


class FetchClient:
    def __init__(self, raft: RaftClient) -> None:
        self._raft = raft
        self._snapshot: tuple[OffsetAndEpoch, bytearray] | None = None
        """The snapshot that is being fetched."""

    def forget(self) -> None:
        """Another leader, or this node itself."""
        self._snapshot = None

    def _follow_high_watermark(self, now: Micros, state: Follower, claimed: int) -> None:
        to = min(self._raft.log.end_offset, claimed)
        if claimed < 0 or to <= state.high_watermark:
            return
        state.high_watermark = to
        self._raft.log.log.set_high_watermark(to)
        if self._raft.outbox.heard >= STATE:
            self._raft.state_high_watermark(to, because(facts.LEADER_SAYS, leader=state.leader), leads=False)
        self._raft.tell_listeners(now)

    def on_fetch_response(self, now: Micros, peer: Address, response: fetch.FetchResponse) -> bool:
        if response.error_code:
            return False
        answer = response.responses[0].partitions[0]
        current = answer.current_leader
        self._raft.learn_endpoints(current.leader_id, response.node_endpoints)
        handled = self._raft.handle_common(now, answer.error_code, current.leader_id, current.leader_epoch, peer)
        role = self._raft.quorum.role
        if handled is not None or not isinstance(role, Follower):
            return handled is None or handled
        self._take_fetched(now, role, answer)
        return True

    def heard_leader(self, now: Micros, role: Follower) -> None:
        role.has_fetched, role.leader_resigned = True, False
        role.deadline = Micros(now + self._raft.quorum.fetch_timeout)

    def _take_fetched(self, now: Micros, role: Follower, answer: fetch.PartitionData) -> None:
        diverging, snapshot = answer.diverging_epoch, answer.snapshot_id
        if diverging.epoch >= 0:
            if self._raft.given.safeguards.truncate_diverging_metadata:
                self._raft.log.truncate_to_end_offset(OffsetAndEpoch(diverging.epoch, diverging.end_offset), now)
        elif snapshot.epoch >= 0 and snapshot.end_offset >= 0:
            id_ = OffsetAndEpoch(snapshot.epoch, snapshot.end_offset)
            if id_ not in self._raft.log.snapshots:
                self._snapshot = (id_, bytearray())
        elif answer.records:
            self._raft.log.append_as_follower(answer.records, role.epoch, now)
            if self._raft.quorum.is_voter:
                self._raft.flush_log(now, lambda at: self._after_append(at, role, answer.high_watermark))
            else:
                self._after_append(now, role, answer.high_watermark)
            return
        else:
            self._follow_high_watermark(now, role, answer.high_watermark)
        self.heard_leader(now, role)

    def _after_append(self, now: Micros, role: Follower, high_watermark: int) -> None:
        """What was appended is where a voter has to have it."""
        self._follow_high_watermark(now, role, high_watermark)
        self.heard_leader(now, role)

    def on_snapshot_response(self, now: Micros, peer: Address, response: fetch_snapshot.FetchSnapshotResponse) -> bool:
        if response.error_code:
            return False
        answer = response.topics[0].partitions[0]
        current = answer.current_leader
        handled = self._raft.handle_common(now, answer.error_code, current.leader_id, current.leader_epoch, peer)
        role = self._raft.quorum.role
        if handled is False and answer.error_code == errors.SNAPSHOT_NOT_FOUND and isinstance(role, Follower):
            self._snapshot, handled = None, True
            self.heard_leader(now, role)
        if handled is not None or not isinstance(role, Follower) or self._snapshot is None:
            return handled is None or handled
        id_, data = self._snapshot
        if answer.position == len(data) and (answer.snapshot_id.epoch, answer.snapshot_id.end_offset) == id_:
            data += answer.unaligned_records or b""
            if len(data) == answer.size:
                self._take_snapshot(now, role, id_, bytes(data))
        self.heard_leader(now, role)
        return True

    def _take_snapshot(self, now: Micros, role: Follower, id_: OffsetAndEpoch, data: bytes) -> None:
        self._snapshot = None
        self._raft.log.add_snapshot(id_, data)
        records = sum(not decoded.control for decoded in snapshots.decode(data))
        taken = facts.SnapshotTaken(end_offset=id_.offset, epoch=id_.epoch, records=records, fetched=True)
        self._raft.outbox.happened(taken)
        self._raft.log.truncate_to_latest_snapshot(now)
        self._follow_high_watermark(now, role, self._raft.log.high_watermark)

    def fetch_from_any(self, now: Micros) -> None:
        others = [address for address in self._raft.bootstrap if address != self._raft.given.address]
        address = self._raft.requests.ready_bootstrap(now, others)
        if address is not None:
            self._raft.send(now, address, self._fetch_request())

    def fetch_from(self, now: Micros, leader: Address) -> None:
        if self._snapshot is None:
            self._raft.send(now, leader, self._fetch_request())
            return
        id_, data = self._snapshot
        limit = self._raft.settings["controller.quorum.fetch.snapshot.max.bytes"]
        self._raft.send(
            now,
            leader,
            messages.snapshot_request(self._raft.cluster_id, self._raft.me, self._raft.epoch, id_, len(data), limit),
        )

    def _fetch_request(self) -> fetch.FetchRequest:
        limit = self._raft.settings["controller.quorum.fetch.max.bytes"]
        return messages.fetch_request(
            self._raft.cluster_id,
            self._raft.me,
            self._raft.epoch,
            self._raft.log.end,
            self._raft.high_watermark,
            limit,
            MAX_WAIT_MS,
        )
