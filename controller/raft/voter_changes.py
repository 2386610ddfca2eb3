"""How the leader of the quorum changes its voters, one at a time (Kafka: ``AddVoterHandler``; KIP-853).

A change is a voters record in the log, and it is in force on every node as soon as it is in that node's log. Two
changes may differ by one voter only and follow each other only when the first one is committed, after something of the
leader's own epoch is: so every majority of the old voters meets every majority of the new ones. A new voter must have
caught up as an observer, or the quorum would wait for it. Add and remove are answered when they are committed; one that
takes longer than the request timeout is answered REQUEST_TIMED_OUT and may still be committed. With ``kraft.version`` 0
voters tell the leader their directories and versions, which it keeps in memory until the version is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from kafsim.controller.raft import messages
from kafsim.controller.raft.voter_set import LISTENER, ReplicaKey, Voter, VoterSet
from kafsim.protocol import errors
from kafsim.protocol.facts import quorum as facts
from kafsim.protocol.facts.fact import Because, because
from kafsim.protocol.features import KRAFT_VERSION
from kafsim.protocol.messages.add_raft_voter import AddRaftVoterRequest, AddRaftVoterResponse
from kafsim.protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kafsim.protocol.messages.remove_raft_voter import RemoveRaftVoterRequest, RemoveRaftVoterResponse
from kafsim.protocol.messages.update_raft_voter import UpdateRaftVoterRequest
from kafsim.protocol.metadata.control_records import KRaftVersionRecord
from kafsim.protocol.types import Address, ConnectionId, Header, Micros
from kafsim.protocol.uuid import ZERO_UUID

if TYPE_CHECKING:
    from kafsim.controller.raft.raft_client import RaftClient

_TEXTS = {
    errors.REQUEST_TIMED_OUT: "The request timed out.",
    errors.NOT_LEADER_OR_FOLLOWER: (
        "For requests intended only for the leader, this error indicates that the broker is not the current leader. "
        "For requests intended for any replica, this error indicates that the broker is not a replica of the topic "
        "partition."
    ),
}


@attrs.define
class VoterChange:
    """An add or a remove that goes on. ``added``: the voter and how to reach it; ``offset`` of the voters record."""

    connection: ConnectionId
    header: Header
    key: ReplicaKey
    deadline: Micros
    added: Address | None = None
    waits_for_commit: bool = True
    offset: int | None = None
    is_answered: bool = False

    @property
    def waits_for_versions(self) -> bool:
        """Does the new voter still have to say which versions it speaks?"""
        return self.added is not None and self.offset is None


@attrs.frozen
class Refusal:
    error: int
    text: str | None
    why: Because


class VoterChanges:
    def __init__(self, raft: RaftClient, timeout: Micros) -> None:
        self._raft = raft
        self._timeout = timeout
        self._change: VoterChange | None = None
        self._in_memory: VoterSet | None = None
        """The voters with what they told of themselves, while kraft.version is 0."""
        self.requested_version: int | None = None
        """A kraft.version that this leader has written."""

    # -------------------------------------------------------------------- leadership

    def begin(self) -> None:
        """This node leads from now on."""
        self._in_memory = None
        if not self._raft.log.kraft_version:
            self._in_memory = self._raft.log.voters.update(self._raft.myself, ignore_directory=True)

    def end(self) -> None:
        """This node does not lead any more."""
        self._in_memory = self.requested_version = None
        if self._change is not None:
            self._finish(errors.NOT_LEADER_OR_FOLLOWER)

    @property
    def deadline(self) -> Micros | None:
        return None if self._change is None else self._change.deadline

    def expire(self, now: Micros) -> None:
        if self._change is not None and now >= self._change.deadline:
            self._finish(errors.REQUEST_TIMED_OUT)

    def high_watermark_moved(self) -> None:
        change, state, raft = self._change, self._raft.leader, self._raft
        if change is None or change.offset is None or state is None or state.high_watermark <= change.offset:
            return
        self._finish(errors.NONE)
        if change.added is None and raft.me not in raft.log.voters:
            state.resign_requested = True

    def _finish(self, error: int, text: str | None = None) -> None:
        change, self._change = self._change, None
        assert change is not None, "no voter is changed"
        self._answer(change, error, text)

    def _answer(self, change: VoterChange, error: int, text: str | None) -> None:
        if change.is_answered:
            return
        change.is_answered = True
        cls = RemoveRaftVoterResponse if change.added is None else AddRaftVoterResponse
        text = _TEXTS.get(error) if text is None else text
        self._raft.reply(change.connection, change.header, cls(error_code=error, error_message=text))

    # --------------------------------------------------------------------------- add

    def on_add_request(
        self, now: Micros, connection: ConnectionId, header: Header, request: AddRaftVoterRequest
    ) -> None:
        key = ReplicaKey(request.voter_id, request.voter_directory_id)
        address = _address_of(request)
        error, text = self._check_request(request.cluster_id)
        if not error and (key.id < 0 or key.directory == ZERO_UUID):
            error, text = errors.INVALID_REQUEST, "Add voter request didn't include a valid voter"
        elif not error and address is None:
            endpoints = ", ".join(f"{one.name}={one.host}:{one.port}" for one in request.listeners)
            text = f"Add voter request didn't include the endpoint (Endpoints(endpoints={{{endpoints}}})) for the "
            error, text = errors.INVALID_REQUEST, f"{text}default listener ListenerName({LISTENER})"
        if error:
            self._raft.reply(connection, header, AddRaftVoterResponse(error_code=error, error_message=text))
            return
        deadline = Micros(now + self._timeout)
        change = VoterChange(connection, header, key, deadline, address, request.ack_when_committed)
        refusal = self._refusal(now, "adding") or self._begin_add(now, change)
        if refusal is not None:
            self._refuse(change, refusal)

    def _begin_add(self, now: Micros, change: VoterChange) -> Refusal | None:
        key, voters = change.key, self._raft.log.voters
        if key.id in voters.by_id:
            text = f"The voter id for {key} is already part of the set of voters [{', '.join(map(str, voters.keys))}]."
            return Refusal(errors.DUPLICATE_VOTER, text, because(facts.IS_VOTER, voter=key.id))
        assert change.added is not None, "checked"
        if not self._raft.requests.send(now, change.added, ApiVersionsRequest()):
            text = f"New voter {key} is not ready to receive requests"
            return Refusal(errors.REQUEST_TIMED_OUT, text, because(facts.NOT_READY, voter=key.id))
        self._change = change
        return None

    def on_api_versions_response(self, now: Micros, peer: Address, response: ApiVersionsResponse) -> bool:
        """The new voter says what it speaks; false when it is to be left alone for a moment."""
        change, version = self._change, self._raft.log.kraft_version
        if change is None or not change.waits_for_versions or change.added != peer:
            return True
        if response.error_code:
            self._abort_add(errors.name(response.error_code))
            return False
        found = next((f for f in response.supported_features if f.name == KRAFT_VERSION), None)
        if found is None or not found.min_version <= version <= found.max_version:
            spoken = "(min: 0, max: 0)" if found is None else f"(min: {found.min_version}, max: {found.max_version}"
            text = f"Aborted add voter operation for {change.key} since the kraft.version range {spoken} doesn't "
            self._give_up(errors.INVALID_REQUEST, f"{text}support the finalized version {version}", facts.NOT_SPOKEN)
            return True
        state = self._raft.leader
        assert state is not None, "a change is given up with the leadership"
        if not state.is_caught_up(change.key, now):
            text = f"Aborted add voter operation for {change.key} since it is lagging behind"
            self._give_up(errors.REQUEST_TIMED_OUT, text, facts.LAGS)
            return True
        voters = self._raft.log.voters.add(Voter(change.key, peer, found.min_version, found.max_version))
        assert voters is not None, f"{change.key} became a voter meanwhile"
        change.offset = self._write(now, voters)
        if not change.waits_for_commit:
            self._answer(change, errors.NONE, None)
        return True

    def on_disconnect(self, peer: Address) -> None:
        if self._change is not None and self._change.waits_for_versions and self._change.added == peer:
            self._abort_add("BROKER_NOT_AVAILABLE")

    def _abort_add(self, error: str) -> None:
        text = f"Aborted add voter operation for since API_VERSIONS returned an error {error}"
        self._give_up(errors.REQUEST_TIMED_OUT, text, facts.NOT_READY)

    def _give_up(self, error: int, text: str, rule: str) -> None:
        change, self._change = self._change, None
        assert change is not None, "no voter is changed"
        self._refuse(change, Refusal(error, text, because(rule, voter=change.key.id)))

    # ------------------------------------------------------------------------ remove

    def on_remove_request(
        self, now: Micros, connection: ConnectionId, header: Header, request: RemoveRaftVoterRequest
    ) -> None:
        key = ReplicaKey(request.voter_id, request.voter_directory_id)
        error, text = self._check_request(request.cluster_id)
        if not error and (key.id < 0 or key.directory == ZERO_UUID):
            error, text = errors.INVALID_REQUEST, "Remove voter request didn't include a valid voter"
        if error:
            self._raft.reply(connection, header, RemoveRaftVoterResponse(error_code=error, error_message=text))
            return
        change = VoterChange(connection, header, key, Micros(now + self._timeout))
        refusal = self._refusal(now, "removing") or self._begin_remove(now, change)
        if refusal is not None:
            self._refuse(change, refusal)

    def _begin_remove(self, now: Micros, change: VoterChange) -> Refusal | None:
        before = self._raft.log.voters
        voters = before.remove(change.key)
        if voters is None:
            text = f"Cannot remove voter {change.key} from the set of voters [{', '.join(map(str, before.keys))}]"
            return Refusal(errors.VOTER_NOT_FOUND, text, because(facts.NOT_REMOVABLE, voter=change.key.id))
        change.offset = self._write(now, voters)
        self._change = change
        return None

    # ------------------------------------------------------------------------ update

    def on_update_request(
        self, now: Micros, connection: ConnectionId, header: Header, request: UpdateRaftVoterRequest
    ) -> None:
        error = self._update(now, request)
        raft = self._raft
        body = messages.update_voter_response(error, raft.leader_id, raft.epoch, raft.leader_address)
        raft.reply(connection, header, body)

    def _update(self, now: Micros, request: UpdateRaftVoterRequest) -> int:
        key, spoken = ReplicaKey(request.voter_id, request.voter_directory_id), request.k_raft_version_feature
        low, high = spoken.min_supported_version, spoken.max_supported_version
        error = errors.NONE if self._raft.has_cluster(request.cluster_id) else errors.INCONSISTENT_CLUSTER_ID
        error = error or self._raft.check_leader(request.current_leader_epoch)
        address = _address_of(request)
        if error:
            return error
        if key.id < 0 or key.directory == ZERO_UUID or address is None or not 0 <= low <= high:
            return errors.INVALID_REQUEST
        version = self._raft.log.kraft_version
        refusal = self._pending_refusal(now) or (self._uncommitted_refusal() if version else None)
        known = self._raft.log.voters if version else self._in_memory
        if refusal is not None or known is None:
            return errors.REQUEST_TIMED_OUT
        if not low <= version <= high:
            return errors.INVALID_REQUEST
        voters = known.update(Voter(key, address, low, high), ignore_directory=not version)
        if voters is None:
            return errors.VOTER_NOT_FOUND
        if version:
            self._write(now, voters)
        else:
            self._in_memory = voters
        state = self._raft.leader
        assert state is not None, "checked"
        state.heard_of(now, key)
        return errors.NONE

    # ----------------------------------------------------------------------- version

    def upgrade(self, now: Micros, level: int, validate_only: bool) -> str | None:
        """Raise kraft.version (Kafka: ``maybeAppendUpgradedKRaftVersion``); why that cannot be."""
        known, requested, voters = self._raft.log.kraft_version, self.requested_version, self._in_memory
        if level == (known if requested is None else requested):
            return None
        if requested is not None:
            return f"Invalid concurrent upgrade of kraft.version from version {requested} to {level}"
        if level < known:
            text = f"Invalid upgrade of kraft.version from version {known} to {level}"
            return f"{text} because the new version is a downgrade"
        if voters is None:
            return f"Invalid upgrade of kraft.version from version {known} to {level}"
        if not voters.speaks(level):
            return f"Invalid upgrade of kraft.version to {level} because not all of the voters support it"
        if not validate_only:
            self._in_memory, self.requested_version = None, level
            self._raft.append_control(now, [KRaftVersionRecord(k_raft_version=level), voters.to_record()])
        return None

    # ------------------------------------------------------------------------ common

    def _check_request(self, cluster_id: str | None) -> tuple[int, str | None]:
        if not self._raft.has_cluster(cluster_id):
            text = f'The given id "{cluster_id}" doesn\'t match the cluster id "{self._raft.cluster_id}"'
            return errors.INCONSISTENT_CLUSTER_ID, text
        return self._raft.check_leader(self._raft.epoch), ""

    def _refusal(self, now: Micros, doing: str) -> Refusal | None:
        """Why no voter can be changed now."""
        pending = self._pending_refusal(now)
        if pending is not None:
            return pending
        version = self._raft.log.kraft_version
        if not version:
            text = f"Cluster doesn't support {doing} voter because the kraft.version feature is {version}"
            return Refusal(errors.UNSUPPORTED_VERSION, text, because(facts.VERSION_TOO_LOW, version=version))
        return self._uncommitted_refusal()

    def _pending_refusal(self, now: Micros) -> Refusal | None:
        if not self._raft.given.safeguards.serialize_voter_changes:
            return None
        self.expire(now)
        if self._change is not None:
            text = "Request timed out waiting for leader to handle previous voter change request"
            why = because(facts.CHANGE_GOES_ON, voter=self._change.key.id)
            return Refusal(errors.REQUEST_TIMED_OUT, text, why)
        if self._raft.high_watermark < 0:
            text = "Request timed out waiting for leader to establish HWM and fence previous voter changes"
            return Refusal(errors.REQUEST_TIMED_OUT, text, because(facts.NO_COMMIT_YET, epoch=self._raft.epoch))
        return None

    def _uncommitted_refusal(self) -> Refusal | None:
        at, committed = self._raft.log.voters_offset, self._raft.high_watermark
        if at < committed or not self._raft.given.safeguards.serialize_voter_changes:
            return None
        text = f"Request timed out waiting for voters to commit the latest voter change at Optional[{at}] with HWM "
        why = because(facts.CHANGE_UNCOMMITTED, at=at, committed=committed)
        return Refusal(errors.REQUEST_TIMED_OUT, f"{text}{committed}", why)

    def _refuse(self, change: VoterChange, refusal: Refusal) -> None:
        fact = facts.VoterChangeRefused(voter=change.key.id, error=errors.name(refusal.error), because=refusal.why)
        self._raft.outbox.happened(fact)
        self._answer(change, refusal.error, refusal.text)

    def _write(self, now: Micros, voters: VoterSet) -> int:
        """Offset of the record."""
        self._raft.append_control(now, [voters.to_record()])
        return self._raft.next_offset - 1


def _address_of(request: AddRaftVoterRequest | UpdateRaftVoterRequest) -> Address | None:
    """Where the voter listens, if the request says so."""
    return next((Address.parse(one.host) for one in request.listeners if one.name == LISTENER), None)
