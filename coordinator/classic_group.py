"""A group of the classic protocol: its members, its generation, its state (Kafka: ``ClassicGroup``).

A group is Empty until a member joins. It gathers members (PreparingRebalance) until all have joined or the time is
over; then it begins a generation and waits for its leader's assignment (CompletingRebalance). Once that is committed in
the log it is Stable, until somebody joins, leaves or is lost. A generation without members makes it Empty again; it is
Dead when its coordinator is here no more.

    to                   from
    Empty                PreparingRebalance
    PreparingRebalance   Empty, CompletingRebalance, Stable
    CompletingRebalance  PreparingRebalance
    Stable               CompletingRebalance
    Dead                 any
"""

from __future__ import annotations

from typing import NamedTuple

import attrs

from kafsim.protocol import errors
from kafsim.protocol.consumer_protocol import PROTOCOL_TYPE, decode_topics
from kafsim.protocol.java import text_order
from kafsim.protocol.types import ConnectionId, Header
from kafsim.protocol.wire.primitives import WireError

EMPTY, PREPARING, COMPLETING = "Empty", "PreparingRebalance", "CompletingRebalance"
STABLE, DEAD = "Stable", "Dead"
HOST = "/127.0.0.1"
"""Of every member."""
FROM = {
    EMPTY: (PREPARING,),
    PREPARING: (STABLE, COMPLETING, EMPTY),
    COMPLETING: (PREPARING,),
    STABLE: (COMPLETING,),
    DEAD: (EMPTY, PREPARING, COMPLETING, STABLE, DEAD),
}
Protocols = tuple[tuple[str, bytes], ...]
"""Names of assignors, each with the subscription for it, the one that is wanted most first."""


class Parked(NamedTuple):
    """A request that is answered later."""

    connection: ConnectionId
    header: Header


@attrs.define(eq=False)
class Member:
    """``join`` and ``sync``: its request that waits for the others. ``is_new``: it has not had an answer to a join."""

    id: str
    instance: str | None
    client_id: str
    client_host: str
    rebalance_ms: int
    session_ms: int
    protocols: Protocols
    assignment: bytes = b""
    join: Parked | None = None
    sync: Parked | None = None
    is_new: bool = False

    def metadata(self, protocol: str) -> bytes:
        return next(metadata for name, metadata in self.protocols if name == protocol)


class ClassicGroup:
    """``pending``: ids that were given out and have not joined yet; ``unsynced``: members of the generation that have
    not asked for their assignment."""

    def __init__(self, id_: str, now_ms: int) -> None:
        self.id = id_
        self.state = EMPTY
        self.previous = DEAD
        self.since_ms: int | None = now_ms
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol: str | None = None
        self.leader: str | None = None
        self.members: dict[str, Member] = {}
        self.static: dict[str, str] = {}
        self.pending: dict[str, None] = {}
        self.unsynced: dict[str, None] = {}
        self.topics: dict[str, None] | None = None
        """What the members subscribe to; None when that is not known."""
        self.newly_added = False
        """Somebody joined since the initial delay was begun last."""

    @property
    def is_simple(self) -> bool:
        """Is it there only because offsets were committed?"""
        return self.state == EMPTY and self.protocol_type is None and not self.pending

    # ----------------------------------------------------------------------------- members

    def add(self, member: Member, protocol_type: str) -> None:
        if not self.members:
            self.protocol_type = protocol_type
        if self.leader is None:
            self.leader = member.id
        self.members[member.id] = member
        if member.instance is not None:
            self.static[member.instance] = member.id
        self.pending.pop(member.id, None)

    def remove(self, id_: str) -> Member | None:
        """The leader's place goes to the first of those that are left."""
        member = self.members.pop(id_, None)
        self.pending.pop(id_, None)
        self.unsynced.pop(id_, None)
        if member is not None and member.instance is not None and self.static.get(member.instance) == id_:
            del self.static[member.instance]
        if self.leader == id_:
            self.leader = next(iter(self.in_order()), None)
        return member

    def in_order(self) -> list[str]:
        """The members in the order of Kafka's hash map."""
        return text_order(self.members)

    def replace(self, old: str, new: str) -> Member:
        """The member of an instance id has a new id, and is otherwise what it was."""
        before = self.members.pop(old)
        assert before.instance is not None, f"{old} is not static"
        member = self.members[new] = attrs.evolve(before, id=new, join=None, sync=None, is_new=False)
        self.static[before.instance] = new
        if self.leader == old:
            self.leader = new
        return member

    def validate(self, member: str, instance: str | None) -> int:
        """An error for whoever is no member, or not the one who has the instance id now."""
        if instance is not None:
            owner = self.static.get(instance)
            if owner is None:
                return errors.UNKNOWN_MEMBER_ID
            if owner != member:
                return errors.FENCED_INSTANCE_ID
        return errors.NONE if member in self.members else errors.UNKNOWN_MEMBER_ID

    @property
    def waiting_to_join(self) -> int:
        return sum(member.join is not None for member in self.members.values())

    @property
    def has_all_joined(self) -> bool:
        return not self.pending and all(member.join is not None for member in self.members.values())

    @property
    def rebalance_ms(self) -> int:
        return max((member.rebalance_ms for member in self.members.values()), default=0)

    def elect_joined_leader(self) -> bool:
        """One who has joined leads, the leader itself if it did; false when nobody joined."""
        leader = self.members.get(self.leader or "")
        if leader is not None and leader.join is not None:
            return True
        joined = [id_ for id_ in self.in_order() if self.members[id_].join is not None]
        if joined:
            self.leader = joined[0]
        return bool(joined)

    # --------------------------------------------------------------------------- protocols

    def supports(self, protocol_type: str, names: list[str]) -> bool:
        """Could a member with these protocols be in the group?"""
        if self.state == EMPTY:
            return bool(protocol_type) and bool(names)
        return self.protocol_type == protocol_type and any(self._is_common(name) for name in names)

    def _is_common(self, name: str) -> bool:
        return all(name in dict(member.protocols) for member in self.members.values())

    def select_protocol(self) -> str:
        """Of those that all have, the one that most want most; of equals the first of Kafka's hash map."""
        votes: dict[str, int] = {}
        for id_ in self.in_order():
            names = [name for name, _ in self.members[id_].protocols if self._is_common(name)]
            assert names, f"the members of {self.id} have no protocol in common"
            votes[names[0]] = votes.get(names[0], 0) + 1
        return max(text_order(votes), key=lambda name: votes[name])

    def _subscribed(self) -> dict[str, None] | None:
        if self.protocol_type != PROTOCOL_TYPE:
            return None
        if not self.members:
            return {}
        if self.protocol is None:
            return None
        try:
            topics = [decode_topics(member.metadata(self.protocol)) for member in self.members.values()]
        except WireError:
            return None
        return {topic: None for named in topics for topic in named}

    def is_subscribed_to(self, topic: str) -> bool:
        """Where nobody knows, a group of consumers counts as subscribed to everything."""
        return self.protocol_type == PROTOCOL_TYPE if self.topics is None else topic in self.topics

    # ------------------------------------------------------------------------------- states

    def to(self, state: str, now_ms: int) -> None:
        assert self.state in FROM[state], f"{self.id} goes from {self.state} to {state}"
        self.previous, self.state, self.since_ms = self.state, state, now_ms

    def begin_generation(self, now_ms: int) -> None:
        """With those who are members now, or without any."""
        self.generation += 1
        self.protocol = self.select_protocol() if self.members else None
        self.note_topics()
        self.unsynced.clear()
        self.to(COMPLETING if self.members else EMPTY, now_ms)

    def note_topics(self) -> None:
        self.topics = self._subscribed()
