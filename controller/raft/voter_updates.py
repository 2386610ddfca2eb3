"""What a follower does about its own place among the voters (Kafka: ``KafkaRaftClient``, KIP-853, KIP-1186).

Once in a fetch timeout it looks: a voter tells the leader its endpoint and versions when those in the voter set are
others, or, with ``kraft.version`` 0, once in an epoch. A controller that is no voter asks to become one when
``controller.quorum.auto.join.enable`` is set; one whose disk was replaced first has its old self removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafsim.controller.raft import messages
from kafsim.controller.raft.quorum_state import Follower
from kafsim.protocol import errors
from kafsim.protocol.messages.add_raft_voter import AddRaftVoterResponse
from kafsim.protocol.messages.remove_raft_voter import RemoveRaftVoterResponse
from kafsim.protocol.messages.update_raft_voter import UpdateRaftVoterResponse
from kafsim.protocol.types import Address, Micros

if TYPE_CHECKING:
    from kafsim.controller.raft.raft_client import RaftClient


class VoterUpdates:
    """``can_vote``: the node is a controller."""

    def __init__(self, raft: RaftClient, *, can_vote: bool) -> None:
        self._raft = raft
        self._can_vote = can_vote
        self._joins = raft.settings["controller.quorum.auto.join.enable"]

    def ask(self, now: Micros, role: Follower, leader: Address) -> bool:
        """False when there is nothing to ask, and it is time to fetch."""
        if now < role.voter_update_due:
            return False
        request = self._request(role)
        if request is not None:
            if self._raft.requests.send(now, leader, request):
                self._wait(now, role)
            return True
        if self._raft.quorum.is_voter:
            self._wait(now, role)
        return False

    def _wait(self, now: Micros, role: Follower) -> None:
        role.voter_update_due = Micros(now + self._raft.quorum.fetch_timeout)

    def _request(self, role: Follower) -> Any:
        raft = self._raft
        voters, version = raft.log.voters, raft.log.kraft_version
        if raft.quorum.is_voter:
            wanted = voters.needs_update(raft.myself) if version else not role.has_updated_leader
            return messages.update_voter_request(raft.cluster_id, role.epoch, raft.myself) if wanted else None
        if not (version and self._can_vote and self._joins):
            return None
        old = voters.by_id.get(raft.me.id)
        if old is not None:
            return messages.remove_voter_request(raft.cluster_id, old.key)
        timeout = raft.settings["controller.quorum.request.timeout.ms"]
        mine = raft.given.address
        return messages.add_voter_request(raft.cluster_id, raft.me, mine, timeout, ack_when_committed=False)

    def on_update_response(self, now: Micros, peer: Address, response: UpdateRaftVoterResponse) -> bool:
        raft, current = self._raft, response.current_leader
        if current.leader_id >= 0 and current.host:
            raft.learn_address(current.leader_id, Address.parse(current.host))
        handled = raft.handle_common(now, response.error_code, current.leader_id, current.leader_epoch, peer)
        role = raft.quorum.role
        if handled is not None or not isinstance(role, Follower):
            return handled is None or handled
        role.has_updated_leader = True
        raft.following.heard_leader(now, role)
        return True

    def on_join_response(
        self, now: Micros, peer: Address, response: AddRaftVoterResponse | RemoveRaftVoterResponse
    ) -> bool:
        expected = (errors.NONE, errors.REQUEST_TIMED_OUT, errors.DUPLICATE_VOTER, errors.VOTER_NOT_FOUND)
        role = self._raft.quorum.role
        if response.error_code not in expected:
            return False
        if isinstance(role, Follower):
            self._wait(now, role)
        return True
