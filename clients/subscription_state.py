"""What a consumer knows of each partition that is assigned to it (Kafka: ``SubscriptionState``, KIP-320, KIP-392).

INITIALIZING      nothing is known of where to read; the policy auto.offset.reset will say
AWAIT_RESET       an offset is asked for: the start, the end
FETCHING          there is a position, and records are fetched from it
AWAIT_VALIDATION  the leader has changed: is what was read still in its log?

any               --seek to an offset-->                                   FETCHING
any               --seek to the start or end, position out of range-->     AWAIT_RESET
INITIALIZING      --policy-->                                              AWAIT_RESET
AWAIT_RESET       --the offset is found-->                                 FETCHING
FETCHING          --another leader or leader epoch, epoch read is known--> AWAIT_VALIDATION
AWAIT_VALIDATION  --the leader has it, or: from where it ends-->           FETCHING
AWAIT_VALIDATION  --the leader does not know the epoch-->                  AWAIT_RESET
"""

from __future__ import annotations

import enum

import attrs

from kafsim.clients.metadata import Leader
from kafsim.protocol.types import Micros, TopicPartition

UNKNOWN = -1
NOBODY = Leader(-1, -1)


class FetchState(enum.Enum):
    INITIALIZING = enum.auto()
    AWAIT_RESET = enum.auto()
    FETCHING = enum.auto()
    AWAIT_VALIDATION = enum.auto()


@attrs.frozen
class FetchPosition:
    """The next offset to read; ``epoch`` is that of the batch read last, -1 before the first."""

    offset: int
    epoch: int = UNKNOWN
    leader: Leader = NOBODY

    def led_by(self, leader: Leader) -> FetchPosition:
        return attrs.evolve(self, leader=leader)


@attrs.define
class PartitionSubscription:
    """``next_try``: no question is asked for this partition before that."""

    tp: TopicPartition
    state: FetchState = FetchState.INITIALIZING
    position: FetchPosition | None = None
    reset_to: int | None = None
    """A timestamp of ListOffsets, with AWAIT_RESET."""
    is_paused: bool = False
    is_subscribed: bool = True
    """False when the subscription has changed, until a rebalance takes it away: nothing more is fetched."""
    awaits_listener: bool = False
    """The listener has not heard of it yet, or failed when it did: nothing is fetched."""
    is_being_revoked: bool = False
    """A rebalance is about to take it away: nothing more is fetched."""
    next_try: Micros = Micros(0)  # noqa: RUF009  # an int in disguise
    preferred: int | None = None
    """The replica that the leader wants it to be read from."""
    preferred_until: Micros = Micros(0)  # noqa: RUF009
    high_watermark: int = UNKNOWN
    log_start: int = UNKNOWN
    last_stable: int = UNKNOWN

    @property
    def is_valid(self) -> bool:
        return self.state is FetchState.FETCHING

    @property
    def is_fetchable(self) -> bool:
        return (
            self.state is FetchState.FETCHING
            and self.is_subscribed
            and not self.is_paused
            and not self.is_being_revoked
            and not self.awaits_listener
        )

    def seek(self, position: FetchPosition) -> None:
        """To an offset; when the epoch of what was read before it is told, the leader is asked about it first."""
        self.position, self.reset_to = position, None
        validates = position.epoch >= 0 and position.leader.epoch >= 0
        self.state = FetchState.AWAIT_VALIDATION if validates else FetchState.FETCHING
        self.next_try = Micros(0)

    def move(self, position: FetchPosition) -> None:
        """The position after what was read, or what the leader made of it."""
        self.position, self.reset_to, self.state = position, None, FetchState.FETCHING
        self.next_try = Micros(0)

    def reset(self, timestamp: int) -> None:
        self.position, self.reset_to, self.state = None, timestamp, FetchState.AWAIT_RESET
        self.next_try = Micros(0)

    def meet_leader(self, leader: Leader) -> None:
        """The metadata names this leader; another one than that of the position has to be asked whether it has it."""
        position = self.position
        if position is None or self.state is FetchState.AWAIT_RESET or position.leader == leader:
            return
        self.seek(position.led_by(leader))
        self.preferred = None

    def prefer(self, replica: int, until: Micros) -> bool:
        """Read from this replica; true when it is another one than before."""
        if self.preferred == replica:
            return False
        self.preferred, self.preferred_until = replica, until
        return True

    def preferred_replica(self, now: Micros) -> int | None:
        if self.preferred is not None and now > self.preferred_until:
            self.preferred = None
        return self.preferred

    def lag(self, *, committed: bool) -> int | None:
        """Records behind what may be read now; None while that is not known."""
        end = self.last_stable if committed else self.high_watermark
        return None if self.position is None or end < 0 else end - self.position.offset


class SubscriptionState:
    """The partitions in the order in which they are fetched: whoever gave something goes to the end."""

    def __init__(self) -> None:
        self.assigned: dict[TopicPartition, PartitionSubscription] = {}

    def assign(self, partitions: tuple[TopicPartition, ...]) -> None:
        """In place of what was assigned, by topic; what stays keeps its position."""
        topics = list(dict.fromkeys(tp.topic for tp in partitions))
        ordered = sorted(dict.fromkeys(partitions), key=lambda tp: topics.index(tp.topic))
        self.assigned = {tp: self.assigned.get(tp) or PartitionSubscription(tp) for tp in ordered}

    def get(self, tp: TopicPartition) -> PartitionSubscription | None:
        return self.assigned.get(tp)

    def move_to_end(self, tp: TopicPartition) -> None:
        state = self.assigned.pop(tp, None)
        if state is not None:
            self.assigned[tp] = state

    def of_state(self, state: FetchState, now: Micros) -> list[PartitionSubscription]:
        """Those in a state that may be asked for now."""
        return [p for p in self.assigned.values() if p.state is state and p.next_try <= now]
