"""Fetch sessions (KIP-227; Kafka: ``FetchSession``): what a fetcher has asked for, so that it need only name changes.

Only partitions in which something changed are looked at: those the request names, and those marked dirty since the last
answer, by an append, a new high watermark or a change of role. Idle partitions cost nothing.
"""

from __future__ import annotations

import attrs

from kafsim.protocol import errors
from kafsim.protocol.entropy import Entropy
from kafsim.protocol.messages.fetch import FetchPartition, FetchRequest
from kafsim.protocol.types import ConnectionId, EventNumber, Header, Micros
from kafsim.protocol.uuid import Uuid

INITIAL_EPOCH, FINAL_EPOCH = 0, -1
SESSIONLESS = 0
EVICTABLE_AFTER = 120_000_000

PartitionKey = tuple[Uuid, int]


@attrs.define
class CachedPartition:
    """One partition of a session: what was asked, and what the last answer said."""

    key: PartitionKey
    asked: FetchPartition
    sent_high_watermark: int = -1
    sent_log_start: int = -1
    held: bool = False
    """The leader's throttle keeps records from this follower."""


@attrs.define
class ParkedFetch:
    """A request that waits for data."""

    connection: ConnectionId
    header: Header
    request: FetchRequest
    event: EventNumber
    done: bool = False


@attrs.define(eq=False)
class FetchSession:
    """``dirty``: partitions to look at before the next answer. ``id`` 0: for one request only."""

    number: int
    id: int
    epoch: int
    replica_id: int
    replica_epoch: int
    partitions: dict[PartitionKey, CachedPartition] = attrs.field(factory=dict)
    dirty: dict[PartitionKey, None] = attrs.field(factory=dict)
    outside: dict[PartitionKey, None] = attrs.field(factory=dict)
    """Partitions whose ISR this follower is not in: each fetch is a chance to join. Also those that heard last from
    another session of it, and those that were opened after it had asked for them."""
    parked: ParkedFetch | None = None
    last_fetch: Micros = Micros(0)  # noqa: RUF009  # an int in disguise
    leader_only: bool = True
    """Only a leader may answer: a follower's, or one of a version before KIP-392."""
    rack: str = ""
    """Of a consumer that a follower may serve."""
    full: bool = True
    """The next answer names every partition."""

    @property
    def is_follower(self) -> bool:
        return self.replica_id >= 0

    def update(self, request: FetchRequest) -> list[PartitionKey]:
        """Take what a request names; the partitions that are gone."""
        gone = []
        for topic in request.topics:
            for asked in topic.partitions:
                key = (topic.topic_id, asked.partition)
                known = self.partitions.get(key)
                if known is None:
                    self.partitions[key] = CachedPartition(key, asked)
                else:
                    known.asked = asked
                self.dirty[key] = None
        for forgotten in request.forgotten_topics_data:
            for partition in forgotten.partitions:
                key = (forgotten.topic_id, partition)
                if self.partitions.pop(key, None) is not None:
                    self.dirty.pop(key, None)
                    self.outside.pop(key, None)
                    gone.append(key)
        return gone


def next_epoch(epoch: int) -> int:
    if epoch < 0:
        return FINAL_EPOCH
    return 1 if epoch == 0x7FFF_FFFF else epoch + 1


class FetchSessionCache:
    """All sessions of a broker. Ids are drawn; the oldest idle one makes room for a new one."""

    def __init__(self, slots: int, entropy: Entropy) -> None:
        self._slots = slots
        self._entropy = entropy
        self._sessions: dict[int, FetchSession] = {}
        self._numbers = 0

    def find(self, request: FetchRequest) -> tuple[FetchSession | None, FetchSession | None, int]:
        """The session of a request, one that it ends, and an error (Kafka: ``FetchManager.newContext``)."""
        ended = None
        if request.session_epoch in (INITIAL_EPOCH, FINAL_EPOCH):
            if request.session_id != SESSIONLESS:
                ended = self._sessions.pop(request.session_id, None)
            return self._new(request), ended, errors.NONE
        session = self._sessions.get(request.session_id)
        if session is None:
            return None, None, errors.FETCH_SESSION_ID_NOT_FOUND
        if request.session_epoch != session.epoch:
            return None, None, errors.INVALID_FETCH_SESSION_EPOCH
        session.epoch = next_epoch(session.epoch)
        session.full = False
        return session, None, errors.NONE

    def _new(self, request: FetchRequest) -> FetchSession:
        self._numbers += 1
        replica = request.replica_state
        session = FetchSession(self._numbers, SESSIONLESS, 1, replica.replica_id, replica.replica_epoch)
        if request.session_epoch == INITIAL_EPOCH and request.topics:
            session.id = self._free_id()
        return session

    def _free_id(self) -> int:
        while True:
            id_ = 1 + self._entropy.below(0x7FFF_FFFE)
            if id_ not in self._sessions:
                return id_

    def keep(self, session: FetchSession, now: Micros) -> FetchSession | None:
        """Remember a new session, or make it one for this request only; gives the one that had to go."""
        evicted = None
        if len(self._sessions) >= self._slots:
            evicted = self._evictable(session, now)
            if evicted is None:
                session.id = SESSIONLESS
                return None
            del self._sessions[evicted.id]
        self._sessions[session.id] = session
        return evicted

    def _evictable(self, newcomer: FetchSession, now: Micros) -> FetchSession | None:
        oldest = min(self._sessions.values(), key=lambda session: session.last_fetch, default=None)
        if oldest is None:
            return None
        if now - oldest.last_fetch > EVICTABLE_AFTER:
            return oldest
        clients = [session for session in self._sessions.values() if not session.is_follower]
        return clients[0] if newcomer.is_follower and clients else None

    def close(self, session: FetchSession) -> None:
        self._sessions.pop(session.id, None)
