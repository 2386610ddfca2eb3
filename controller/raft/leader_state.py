"""What the leader of the quorum knows of its voters and observers (Kafka: ``LeaderState``).

High watermark: the offset that a majority of the voters has, once it is beyond the start of the leader's own epoch. A
leader's own end counts when it is on its disk. Check quorum: unless a majority (with the leader) has fetched within one
and a half fetch timeouts, the leader resigns.
"""

from __future__ import annotations

import attrs

from kafsim.controller.raft.voter_set import ReplicaKey, VoterSet
from kafsim.protocol.types import Micros

OBSERVER_SESSION = Micros(300_000_000)
UNKNOWN = -1
NEVER_YET = Micros(-1)
HOUR = Micros(3_600_000_000)


@attrs.define
class ReplicaProgress:
    """How far a replica is, by its fetches; -1 where nothing is known. Times are in microseconds."""

    key: ReplicaKey
    end: int = UNKNOWN
    last_fetch: Micros = NEVER_YET
    last_caught_up: Micros = NEVER_YET
    _leader_end_at_fetch: int = UNKNOWN

    def fetched(self, now: Micros, offset: int, leader_end: int) -> None:
        if leader_end >= 0:
            if offset >= leader_end:
                self.last_caught_up = max(self.last_caught_up, now)
            elif 0 < self._leader_end_at_fetch <= offset:
                self.last_caught_up = max(self.last_caught_up, self.last_fetch)
            self._leader_end_at_fetch = leader_end
        self.last_fetch = max(self.last_fetch, now)
        self.end = offset


class LeaderState:
    """``epoch_start``: the log end offset at the election."""

    voted: ReplicaKey | None = None

    def __init__(
        self,
        me: ReplicaKey,
        epoch: int,
        epoch_start: int,
        voters: VoterSet,
        granting: list[int],
        *,
        fetch_timeout: Micros,
        now: Micros,
        only_own_epoch: bool = True,
    ) -> None:
        self.me = me
        self.epoch = epoch
        self.epoch_start = epoch_start
        self.granting = granting
        self.high_watermark = UNKNOWN
        self.voters: dict[int, ReplicaProgress] = {v.key.id: ReplicaProgress(v.key) for v in voters.by_id.values()}
        self.observers: dict[ReplicaKey, ReplicaProgress] = {}
        self.resign_requested = False
        self.begin_quorum_due = now
        self._begin_quorum_every = Micros(fetch_timeout // 2)
        self.check_quorum_timeout = Micros(fetch_timeout * 3 // 2)
        self._check_quorum_due = Micros(now + self.check_quorum_timeout)
        self._fetched: dict[int, None] = {}
        self._only_own_epoch = only_own_epoch

    @property
    def leader(self) -> int:
        return self.me.id

    # ----------------------------------------------------------------------- progress

    def progress_of(self, key: ReplicaKey) -> ReplicaProgress:
        """A voter's, or an observer's, which is noted with its first fetch."""
        voter = self.voters.get(key.id)
        if voter is not None and voter.key.matches(key):
            return voter
        return self.observers.setdefault(key, ReplicaProgress(key))

    def update_local(self, end: int, voters: VoterSet) -> bool:
        """The leader's own log is on disk up to here, and has these voters. True when the high watermark moved."""
        self.progress_of(self.me).end = end
        self._take_voters(voters)
        return self._advance()

    def _take_voters(self, voters: VoterSet) -> None:
        if [v.key for v in voters.by_id.values()] == [p.key for p in self.voters.values()]:
            return
        old, self.voters = self.voters, {}
        for id_, voter in voters.by_id.items():
            known = old.pop(id_, None)
            if known is None or not known.key.matches(voter.key):
                if known is not None:
                    self.observers[known.key] = known
                known = self.observers.pop(voter.key, None) or ReplicaProgress(voter.key)
            known.key = voter.key
            self.voters[id_] = known
        for left in old.values():
            self.observers.setdefault(left.key, left)

    def update_replica(self, now: Micros, key: ReplicaKey, offset: int) -> bool:
        """A replica has everything below ``offset``. True when that moved the high watermark."""
        if key.id < 0:
            return False
        progress = self.progress_of(key)
        progress.fetched(now, offset, self.progress_of(self.me).end)
        self.heard_of(now, key)
        return self.is_voter(key) and self._advance()

    def is_voter(self, key: ReplicaKey) -> bool:
        voter = self.voters.get(key.id)
        return voter is not None and voter.key.matches(key)

    @property
    def by_end(self) -> list[ReplicaProgress]:
        """The voters, the most advanced first."""
        return sorted(self.voters.values(), key=lambda progress: (-progress.end, progress.key))

    def _advance(self) -> bool:
        majority_end = self.by_end[len(self.voters) // 2].end
        own = majority_end > self.epoch_start or not self._only_own_epoch
        if majority_end <= self.high_watermark or not own:
            return False
        self.high_watermark = majority_end
        return True

    @property
    def successors(self) -> tuple[ReplicaKey, ...]:
        """The other voters, the most advanced first."""
        return tuple(progress.key for progress in self.by_end if not progress.key.matches(self.me))

    def active_observers(self, now: Micros) -> list[ReplicaProgress]:
        silent = [k for k, p in self.observers.items() if now - p.last_fetch >= OBSERVER_SESSION and k != self.me]
        for key in silent:
            del self.observers[key]
        return list(self.observers.values())

    def is_caught_up(self, key: ReplicaKey, now: Micros) -> bool:
        """Has an observer been at the leader's end, and fetched within the hour?"""
        known = self.observers.get(key)
        return known is not None and known.last_caught_up > 0 and 0 < known.last_fetch > now - HOUR

    # ------------------------------------------------------------------- check quorum

    def heard_of(self, now: Micros, key: ReplicaKey) -> None:
        """A replica has fetched records or a snapshot; an observer's are enough for the only voter."""
        if self.is_voter(key):
            self._fetched[key.id] = None
        needed = len(self.voters) // 2 + 1 - (self.me.id in self.voters)
        if len(self._fetched) >= needed:
            self._fetched.clear()
            self._check_quorum_due = Micros(now + self.check_quorum_timeout)

    @property
    def check_quorum_due(self) -> Micros | None:
        """When the leader gives up; None for the only voter."""
        return None if len(self.voters) == 1 else self._check_quorum_due

    def need_begin_quorum(self, now: Micros) -> list[ReplicaKey]:
        """Voters that have not fetched for a while, which may not know of this leader."""
        every = self._begin_quorum_every
        late = [
            p.key
            for p in self.voters.values()
            if p.key.id != self.me.id and (p.last_fetch < 0 or now - p.last_fetch >= every)
        ]
        self.begin_quorum_due = Micros(now + every)
        return late
