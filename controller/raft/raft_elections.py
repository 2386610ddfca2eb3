"""Elections of the quorum: votes asked for and given, begin and end of an epoch (Kafka: ``KafkaRaftClient``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafsim.controller.raft import messages
from kafsim.controller.raft.quorum_state import Candidate, Follower, Prospective, Resigned, judge_vote
from kafsim.controller.raft.snapshots import OffsetAndEpoch
from kafsim.controller.raft.voter_set import ReplicaKey
from kafsim.protocol import errors
from kafsim.protocol.facts import quorum as facts
from kafsim.protocol.facts.fact import Because, because
from kafsim.protocol.messages.begin_quorum_epoch import BeginQuorumEpochRequest, BeginQuorumEpochResponse
from kafsim.protocol.messages.end_quorum_epoch import EndQuorumEpochRequest, EndQuorumEpochResponse
from kafsim.protocol.messages.vote import VoteRequest, VoteResponse
from kafsim.protocol.types import Address, ConnectionId, Header, Micros, millis

if TYPE_CHECKING:
    from kafsim.controller.raft.raft_client import RaftClient


class ElectionService:
    def __init__(self, raft: RaftClient) -> None:
        self._raft = raft

    def on_vote_request(self, now: Micros, connection: ConnectionId, header: Header, request: VoteRequest) -> None:
        if not self._raft.has_cluster(request.cluster_id):
            self._raft.reply(connection, header, VoteResponse(error_code=errors.INCONSISTENT_CLUSTER_ID))
            return
        error, granted = self._vote(now, request)
        self._raft.reply(
            connection, header, messages.vote_response(error, self._raft.leader_id, self._raft.epoch, granted=granted)
        )

    def _vote(self, now: Micros, request: VoteRequest) -> tuple[int, bool]:
        asked = request.topics[0].partitions[0]
        too_new = asked.last_offset_epoch > asked.replica_epoch - (not asked.pre_vote)
        if asked.last_offset < 0 or asked.last_offset_epoch < 0 or too_new:
            return errors.INVALID_REQUEST, False
        if asked.replica_epoch < self._raft.epoch or asked.replica_id < 0:
            return (
                errors.FENCED_LEADER_EPOCH if asked.replica_epoch < self._raft.epoch else errors.INVALID_REQUEST
            ), False
        if asked.replica_epoch > self._raft.epoch:
            self._raft.meet_epoch(now, -1, asked.replica_epoch, f"voter {asked.replica_id}")
        if not self._is_me(request.voter_id, asked.voter_directory_id):
            return errors.INVALID_VOTER_KEY, False
        candidate = ReplicaKey(asked.replica_id, asked.replica_directory_id)
        theirs, ours = OffsetAndEpoch(asked.last_offset_epoch, asked.last_offset), self._raft.log.end
        ends = {"epoch": theirs.epoch, "offset": theirs.offset, "our_epoch": ours.epoch, "our_offset": ours.offset}
        checked = self._raft.given.safeguards.check_candidate_log
        granted, why = judge_vote(
            self._raft.quorum.role,
            candidate,
            up_to_date=theirs >= ours or not checked,
            pre_vote=asked.pre_vote,
            log=ends,
        )
        if granted and not asked.pre_vote and self._raft.quorum.role.voted is None:
            self._raft.quorum.add_vote(now, candidate)
        answered = facts.VoteAnswered(
            candidate=candidate.id, epoch=asked.replica_epoch, pre_vote=asked.pre_vote, granted=granted, because=why
        )
        self._raft.emit(lambda: self._raft.outbox.happened(answered))
        return errors.NONE, granted

    def _is_me(self, id_: int, directory: bytes) -> bool:
        """Is a voter's request meant for this replica? Directories count where both are known."""
        return id_ < 0 or ReplicaKey(id_, directory).matches(self._raft.me)

    def on_begin_request(
        self, now: Micros, connection: ConnectionId, header: Header, request: BeginQuorumEpochRequest
    ) -> None:
        asked = request.topics[0].partitions[0]
        error = self._check_voter_request(request.cluster_id, asked.leader_id, asked.leader_epoch)
        if not error:
            self._raft.learn_endpoints(asked.leader_id, request.leader_endpoints)
            self._raft.meet_epoch(now, asked.leader_id, asked.leader_epoch, f"leader {asked.leader_id}")
            if not self._is_me(request.voter_id, asked.voter_directory_id):
                error = errors.INVALID_VOTER_KEY
        self._raft.reply(connection, header, messages.begin_response(error, self._raft.leader_id, self._raft.epoch))

    def on_end_request(
        self, now: Micros, connection: ConnectionId, header: Header, request: EndQuorumEpochRequest
    ) -> None:
        asked = request.topics[0].partitions[0]
        error = self._check_voter_request(request.cluster_id, asked.leader_id, asked.leader_epoch)
        if not error:
            self._raft.learn_endpoints(asked.leader_id, request.leader_endpoints)
            self._raft.meet_epoch(now, asked.leader_id, asked.leader_epoch, f"leader {asked.leader_id}")
            role = self._raft.quorum.role
            if isinstance(role, Follower) and role.leader == asked.leader_id:
                keys = [ReplicaKey(c.candidate_id, c.candidate_directory_id) for c in asked.preferred_candidates]
                role.deadline = Micros(now + self._backoff_as_successor(keys))
                role.leader_resigned = True
        self._raft.reply(connection, header, messages.end_response(error, self._raft.leader_id, self._raft.epoch))

    def _check_voter_request(self, cluster_id: str | None, leader: int, epoch: int) -> int:
        if not self._raft.has_cluster(cluster_id):
            return errors.INCONSISTENT_CLUSTER_ID
        if epoch < self._raft.epoch:
            return errors.FENCED_LEADER_EPOCH
        return errors.INVALID_REQUEST if leader < 0 else errors.NONE

    def _backoff_as_successor(self, successors: list[ReplicaKey]) -> Micros:
        """The first successor stands at once, the others after ever longer pauses."""
        longest: int = self._raft.settings["controller.quorum.election.backoff.max.ms"]
        position = next((i for i, key in enumerate(successors) if key.matches(self._raft.me)), len(successors))
        if position == 0:
            return Micros(0)
        if position >= len(successors):
            return millis(longest)
        base = longest >> (len(successors) - 1)
        return millis(min(longest, base << (position - 1)))

    def on_vote_response(self, now: Micros, peer: Address, response: VoteResponse) -> bool:
        if response.error_code:
            return False
        answer = response.topics[0].partitions[0]
        handled = self._raft.handle_common(now, answer.error_code, answer.leader_id, answer.leader_epoch, peer)
        if handled is not None:
            return handled
        role = self._raft.quorum.role
        voter = next((v.key.id for v in self._raft.log.voters.by_id.values() if v.address == peer), -1)
        if isinstance(role, (Prospective, Candidate)):
            role.election.record(voter, granted=answer.vote_granted)
            self._count_votes(now, role)
        return True

    def _count_votes(self, now: Micros, role: Prospective | Candidate) -> None:
        if role.election.is_won:
            if isinstance(role, Prospective):
                self._raft.maybe_stand(now)
            else:
                self._raft.maybe_lead(now)
        elif role.election.is_lost and isinstance(role, Prospective):
            self.after_lost_pre_vote(now, role, because(facts.ELECTION_LOST, voters=len(role.election.votes)))

    def after_lost_pre_vote(self, now: Micros, role: Prospective, why: Because) -> None:
        if role.leader >= 0 and role.leader != self._raft.me.id and self._raft.address_of(role.leader) is not None:
            self._raft.to_follower(now, role.epoch, role.leader, why)
        else:
            self._raft.to_unattached(now, role.epoch, why, role.leader)

    def on_begin_response(self, now: Micros, peer: Address, response: BeginQuorumEpochResponse) -> bool:
        if response.error_code:
            return False
        answer = response.topics[0].partitions[0]
        handled = self._raft.handle_common(now, answer.error_code, answer.leader_id, answer.leader_epoch, peer)
        return True if handled is None else handled

    def on_end_response(self, now: Micros, peer: Address, response: EndQuorumEpochResponse) -> bool:
        if response.error_code:
            return False
        answer = response.topics[0].partitions[0]
        handled = self._raft.handle_common(now, answer.error_code, answer.leader_id, answer.leader_epoch, peer)
        if handled is not None:
            return handled
        role = self._raft.quorum.role
        if isinstance(role, Resigned):
            for voter in self._raft.log.voters.by_id.values():
                if voter.address == peer:
                    role.unacknowledged.pop(voter.key.id, None)
        return True

    def ask_for_votes(self, now: Micros, role: Prospective | Candidate) -> None:
        if role.election.is_lost:
            return
        pre_vote = isinstance(role, Prospective)
        for id_ in role.election.unrecorded:
            voter = self._raft.log.voters.by_id.get(id_)
            if voter is not None:
                body = messages.vote_request(
                    self._raft.cluster_id, role.epoch, self._raft.me, voter.key, self._raft.log.end, pre_vote=pre_vote
                )
                self._raft.send(now, voter.address, body)
