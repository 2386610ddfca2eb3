"""How far a follower has come, as its leader knows it (Kafka: ``Replica``, ``ReplicaState``)."""

from __future__ import annotations

from typing import Protocol

import attrs

from kafsim.protocol.types import Micros

NEVER = Micros(0)


class Fetching(Protocol):
    """The session of a follower: a fetch that leaves a partition out says that nothing changed there."""

    last_fetch: Micros
    outside: dict[tuple[bytes, int], None]


@attrs.define
class ReplicaProgress:
    """``log_end_offset`` is -1 until the first fetch in this leader epoch."""

    id: int
    log_end_offset: int = -1
    log_start_offset: int = -1
    leader_end_at_last_fetch: int = 0
    last_fetch: Micros = NEVER
    last_caught_up: Micros = NEVER
    broker_epoch: int | None = None
    session: Fetching | None = None

    def reset(self, now: Micros, leader_end: int, *, in_isr: bool, is_new_leader: bool) -> None:
        """A new leader epoch begins: whoever is in the ISR has one lag time to come.

        A leader that goes on leading still knows how far its followers are.
        """
        self.last_caught_up = now if in_isr else NEVER
        if not is_new_leader:
            self.leader_end_at_last_fetch, self.last_fetch = leader_end, self.last_caught_up
            return
        self.log_end_offset = self.log_start_offset = -1
        self.leader_end_at_last_fetch = 0
        self.last_fetch = NEVER
        self.broker_epoch = None
        self.session = None

    def fetched(self, now: Micros, offset: int, log_start: int, leader_end: int, broker_epoch: int) -> None:
        """Caught up now if it asks for the end; caught up at its last fetch if it asks for what was the end then."""
        if offset >= leader_end:
            self.last_caught_up = max(self.last_caught_up, now)
        elif offset >= self.leader_end_at_last_fetch:
            self.last_caught_up = max(self.last_caught_up, self.last_fetch)
        self.log_end_offset, self.log_start_offset = offset, log_start
        self.leader_end_at_last_fetch = max(leader_end, self.leader_end_at_last_fetch)
        self.last_fetch = now
        self.broker_epoch = broker_epoch

    def falls_behind(self, old_end: int) -> None:
        """The leader appends. Until now it was caught up, as of its session's last fetch."""
        if self.session is not None and self.log_end_offset >= old_end:
            self.last_fetch = max(self.last_fetch, self.session.last_fetch)
            self.last_caught_up = max(self.last_caught_up, self.last_fetch)
            self.leader_end_at_last_fetch = max(self.leader_end_at_last_fetch, old_end)

    def is_caught_up(self, leader_end: int, now: Micros, lag_max: Micros) -> bool:
        return self.log_end_offset == leader_end or now - self.last_caught_up <= lag_max
