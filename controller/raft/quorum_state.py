"""The role of one node in the metadata quorum, and its moves from role to role (Kafka: ``QuorumState``, KIP-996).

A node begins Unattached, or as its quorum-state file has it. A voter that hears of no leader first asks whether it
would be voted for (Prospective, in its old epoch), and only then stands in the next epoch (Candidate). Observers are
Unattached or Follower for ever.

    Unattached   --a vote or a fetch names a leader-->                       Follower
    Unattached   --election timeout-->                                       Prospective
    Prospective  --a majority would vote for it-->                           Candidate, epoch + 1
    Prospective  --a majority would not, or election timeout, leader known-->   Follower
    Prospective  --a majority would not, or election timeout, no leader known-->  Unattached
    Candidate    --a majority voted for it-->                                Leader
    Candidate    --election timeout-->                                       Prospective
    Leader       --no majority has fetched, stopping, or asked to resign-->  Resigned
    Resigned     --election timeout-->                                       Unattached, epoch + 1
    Follower     --fetch timeout-->                                          Prospective
    any          --a higher epoch with a leader-->                           Follower
    any          --a higher epoch without a leader-->                        Unattached

Epoch, leader and vote are written to ``quorum-state`` with every move but those to Prospective and Resigned; nothing
leaves the node before they are on its disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import attrs

from kafsim.controller.raft.leader_state import LeaderState
from kafsim.controller.raft.voter_set import ReplicaKey, VoterSet
from kafsim.protocol.facts import quorum as facts
from kafsim.protocol.facts.fact import Because, because
from kafsim.protocol.files import File
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Micros
from kafsim.protocol.uuid import ZERO_UUID, from_text, to_text

QUORUM_STATE = "__cluster_metadata-0/quorum-state"
NEVER = Micros(0x7FFF_FFFF_FFFF_FFFF)


class Election:
    """The votes for one nominee (Kafka: ``EpochElection``)."""

    def __init__(self, voters: VoterSet, mine: int) -> None:
        self.votes: dict[int, bool | None] = dict.fromkeys(voters.ids)
        self.votes[mine] = True
        self._majority = voters.majority

    def record(self, voter: int, *, granted: bool) -> None:
        if voter in self.votes:
            self.votes[voter] = granted

    @property
    def granting(self) -> list[int]:
        return [voter for voter, granted in self.votes.items() if granted]

    @property
    def unrecorded(self) -> list[int]:
        return [voter for voter, granted in self.votes.items() if granted is None]

    @property
    def is_won(self) -> bool:
        return len(self.granting) >= self._majority

    @property
    def is_lost(self) -> bool:
        return len(self.granting) + len(self.unrecorded) < self._majority


@attrs.define(kw_only=True)
class Unattached:
    epoch: int
    leader: int = -1
    """Known from before, but not how to reach it; or not the leader of this epoch for sure."""
    voted: ReplicaKey | None = None
    deadline: Micros
    high_watermark: int = -1


@attrs.define(kw_only=True)
class Prospective:
    epoch: int
    leader: int = -1
    voted: ReplicaKey | None = None
    election: Election
    deadline: Micros
    high_watermark: int = -1


@attrs.define(kw_only=True)
class Candidate:
    epoch: int
    voted: ReplicaKey
    election: Election
    deadline: Micros
    high_watermark: int = -1
    leader: int = -1


@attrs.define(kw_only=True)
class Follower:
    epoch: int
    leader: int
    voted: ReplicaKey | None = None
    deadline: Micros
    """When a voter gives the leader up."""
    has_fetched: bool = False
    leader_resigned: bool = False
    """The leader has said that it ends its epoch."""
    high_watermark: int = -1
    voter_update_due: Micros = NEVER
    has_updated_leader: bool = False


@attrs.define(kw_only=True)
class Resigned:
    epoch: int
    leader: int
    unacknowledged: dict[int, None]
    """Voters that do not know of the resignation yet."""
    successors: tuple[ReplicaKey, ...]
    deadline: Micros
    voted: ReplicaKey | None = None
    high_watermark: int = -1


Role = Unattached | Prospective | Candidate | Follower | Resigned | LeaderState


@attrs.frozen
class Stored:
    """What a quorum-state file says."""

    epoch: int = 0
    leader: int = -1
    voted: ReplicaKey | None = None


def read_stored(file: File | None) -> Stored:
    if file is None or not file.size:
        return Stored()
    data = json.loads(file.read())
    directory = data.get("votedDirectoryId")
    voted = ReplicaKey(data["votedId"], from_text(directory) if directory else ZERO_UUID)
    return Stored(data["leaderEpoch"], data["leaderId"], voted if voted.id >= 0 else None)


class QuorumState:
    """``on_persist`` is told the file that has to reach the disk before anything else happens."""

    def __init__(
        self,
        given: Surroundings,
        me: ReplicaKey,
        voters: Callable[[], VoterSet],
        kraft_version: Callable[[], int],
        *,
        election_timeout: Micros,
        fetch_timeout: Micros,
        on_persist: Callable[[File], None],
    ) -> None:
        self.me = me
        self._given = given
        self._voters = voters
        self._kraft_version = kraft_version
        self.election_timeout = election_timeout
        self.fetch_timeout = fetch_timeout
        self._on_persist = on_persist
        self.role: Role = Unattached(epoch=0, deadline=NEVER)

    # ------------------------------------------------------------------------ questions

    @property
    def epoch(self) -> int:
        return self.role.epoch

    @property
    def leader(self) -> int:
        """-1 when none is known."""
        return self.role.leader

    @property
    def voters(self) -> VoterSet:
        return self._voters()

    @property
    def is_voter(self) -> bool:
        return self.me in self._voters()

    # ------------------------------------------------------------------------- moves

    def start(self, now: Micros, log_epoch: int) -> None:
        """Go on from the quorum-state file; the log may know of a later epoch."""
        stored = Stored()
        if self._given.safeguards.persist_votes:
            stored = read_stored(self._given.files.get(QUORUM_STATE))
        self._durably(self._first_role(now, stored, log_epoch), because(facts.STARTED, epoch=stored.epoch))

    def _first_role(self, now: Micros, stored: Stored, log_epoch: int) -> Role:
        deadline = self._election_deadline(now)
        if stored.epoch < log_epoch:
            return Unattached(epoch=log_epoch, deadline=deadline)
        if stored.leader == self.me.id:
            return self._resigned(now, stored.epoch, ())
        if stored.voted == self._vote_of(self.me) and self.is_voter:
            election = Election(self.voters, self.me.id)
            return Candidate(epoch=stored.epoch, voted=self.me, election=election, deadline=deadline)
        if stored.leader >= 0 and self.voters.address(stored.leader) is not None:
            return self._follower(now, stored.epoch, stored.leader, stored.voted)
        return Unattached(epoch=stored.epoch, leader=stored.leader, voted=stored.voted, deadline=deadline)

    def _vote_of(self, key: ReplicaKey) -> ReplicaKey:
        """A vote as the file has it: without the directory as long as voters are known by their ids alone."""
        return key if self._kraft_version() else ReplicaKey(key.id)

    def to_unattached(self, now: Micros, epoch: int, why: Because, leader: int = -1) -> None:
        role = self.role
        same = epoch == role.epoch
        assert epoch > role.epoch or (same and isinstance(role, Prospective)), f"Unattached {epoch} from {role}"
        new = Unattached(
            epoch=epoch,
            leader=leader,
            voted=role.voted if same else None,
            deadline=self._deadline_when_unattached(now),
            high_watermark=role.high_watermark,
        )
        self._durably(new, why)

    def _deadline_when_unattached(self, now: Micros) -> Micros:
        """Whoever waits for an election already does not wait longer."""
        role = self.role
        if isinstance(role, (Candidate, Unattached, Resigned)) and self.is_voter:
            return role.deadline
        if isinstance(role, Prospective) and not role.election.is_lost:
            return role.deadline
        return self._election_deadline(now)

    def add_vote(self, now: Micros, candidate: ReplicaKey) -> None:
        """This voter has voted for another one in its epoch."""
        role = self.role
        assert isinstance(role, (Unattached, Prospective)), f"a vote as {role}"
        assert role.voted is None, f"a second vote in epoch {role.epoch}"
        role.voted = candidate
        role.deadline = self._election_deadline(now)
        if isinstance(role, Prospective):
            role.election = Election(self.voters, self.me.id)
        self._persist()

    def to_follower(self, now: Micros, epoch: int, leader: int, why: Because) -> None:
        role = self.role
        assert leader != self.me.id, f"told to follow itself in epoch {epoch}"
        assert epoch >= role.epoch, f"told to follow {leader} in epoch {epoch} from {role}"
        assert epoch > role.epoch or not isinstance(role, (Follower, LeaderState)), f"Follower {epoch} from {role}"
        follower = self._follower(now, epoch, leader, role.voted if epoch == role.epoch else None)
        follower.high_watermark = role.high_watermark
        self._durably(follower, why)

    def _follower(self, now: Micros, epoch: int, leader: int, voted: ReplicaKey | None) -> Follower:
        deadline = Micros(now + self.fetch_timeout)
        return Follower(epoch=epoch, leader=leader, voted=voted, deadline=deadline, voter_update_due=deadline)

    def to_prospective(self, now: Micros, why: Because) -> None:
        role = self.role
        assert self.is_voter, "an observer stands for nothing"
        assert not isinstance(role, (LeaderState, Prospective)), f"Prospective from {role}"
        new = Prospective(
            epoch=role.epoch,
            leader=role.leader,
            voted=role.voted,
            election=Election(self.voters, self.me.id),
            deadline=self._election_deadline(now),
            high_watermark=role.high_watermark,
        )
        self._move(new, why)

    def to_candidate(self, now: Micros, why: Because) -> None:
        role = self.role
        assert isinstance(role, Prospective), f"Candidate from {role}"
        new = Candidate(
            epoch=role.epoch + 1,
            voted=self.me,
            election=Election(self.voters, self.me.id),
            deadline=self._election_deadline(now),
            high_watermark=role.high_watermark,
        )
        self._durably(new, why)

    def to_leader(self, state: LeaderState, why: Because) -> None:
        role = self.role
        assert isinstance(role, Candidate), f"Leader from {role}"
        assert role.election.is_won, "Leader without a majority"
        self._durably(state, why)

    def to_resigned(self, now: Micros, successors: tuple[ReplicaKey, ...], why: Because) -> None:
        assert isinstance(self.role, LeaderState), f"Resigned from {self.role}"
        self._move(self._resigned(now, self.role.epoch, successors), why)

    def _resigned(self, now: Micros, epoch: int, successors: tuple[ReplicaKey, ...]) -> Resigned:
        return Resigned(
            epoch=epoch,
            leader=self.me.id,
            unacknowledged={id_: None for id_ in self.voters.ids if id_ != self.me.id},
            successors=successors,
            deadline=self._random_deadline(now),
        )

    def _election_deadline(self, now: Micros) -> Micros:
        """One to two election timeouts from now, by lot; never for an observer."""
        return self._random_deadline(now) if self.is_voter else NEVER

    def _random_deadline(self, now: Micros) -> Micros:
        timeout = self.election_timeout
        return Micros(now + timeout + (self._given.entropy.below(timeout) if timeout else 0))

    def _durably(self, role: Role, why: Because) -> None:
        self._move(role, why)
        self._persist()

    def _move(self, role: Role, why: Because) -> None:
        was, self.role = self.role, role
        self._given.outbox.happened(
            facts.QuorumRoleChanged(
                role=name_of(role),
                was=name_of(was),
                epoch=role.epoch,
                leader=role.leader,
                voted=-1 if role.voted is None else role.voted.id,
                is_voter=self.is_voter,
                because=why,
            )
        )

    def _persist(self) -> None:
        role = self.role
        voted = ReplicaKey(-1) if role.voted is None else role.voted
        data: dict[str, object] = {"leaderId": role.leader, "leaderEpoch": role.epoch, "votedId": voted.id}
        if self._kraft_version():
            data |= {"votedDirectoryId": to_text(voted.directory), "data_version": 1}
        else:
            current = [{"voterId": voter} for voter in self.voters.ids]
            data = {"clusterId": "", **data, "appliedOffset": 0, "currentVoters": current, "data_version": 0}
        self._on_persist(self._given.files.replace(QUORUM_STATE, json.dumps(data).encode()))


def name_of(role: Role) -> str:
    return "Leader" if isinstance(role, LeaderState) else type(role).__name__


# ----------------------------------------------------------------------------------- votes


def judge_vote(
    role: Role, candidate: ReplicaKey, *, up_to_date: bool, pre_vote: bool, log: dict[str, int]
) -> tuple[bool, Because]:
    """Would, or does, a node in this role vote for a candidate? ``log`` tells the ends of both logs, for the reason."""
    by_log = because(facts.UP_TO_DATE if up_to_date else facts.BEHIND, candidate=candidate.id, **log)
    if isinstance(role, Follower):
        if pre_vote and not role.has_fetched and up_to_date:
            return True, by_log
        if pre_vote and not role.has_fetched:
            return False, by_log
        return False, because(facts.HEARS_LEADER, leader=role.leader)
    if isinstance(role, LeaderState):
        return False, because(facts.HAS_LEADER, leader=role.leader, epoch=role.epoch)
    if isinstance(role, (Candidate, Resigned)):
        if pre_vote:
            return up_to_date, by_log
        return False, because(facts.STANDS_ITSELF, epoch=role.epoch)
    if pre_vote:
        return up_to_date, by_log
    if role.voted is not None:
        if role.voted.matches(candidate):
            return True, because(facts.SAME_VOTE, candidate=candidate.id)
        return False, because(facts.OTHER_VOTE, voted=role.voted.id, epoch=role.epoch)
    if role.leader >= 0:
        return False, because(facts.HAS_LEADER, leader=role.leader, epoch=role.epoch)
    return up_to_date, by_log
