"""Facts that brokers state about the partitions they keep. ``log`` is the name of a partition, ``orders-0``."""

from __future__ import annotations

from kafsim.protocol.facts.fact import DECISION, STATE, Because, fact, rule

ELECTED = rule("role.elected", "the metadata names this broker the leader in epoch {leader_epoch}")
FOLLOWS = rule("role.follows", "the metadata names broker {leader} the leader in epoch {leader_epoch}")
DISK_FAILED = rule("role.disk-failed", "its log directory has failed")
LEADERLESS = rule("role.leaderless", "the metadata names no leader in epoch {leader_epoch}")
LAGGING = rule(
    "isr.lagging",
    "replica {replica} has {behind} fewer offsets than the leader and was last caught up {since_ms} ms ago; "
    "replica.lag.time.max.ms={lag_ms}",
)
CAUGHT_UP = rule(
    "isr.caught-up",
    "replica {replica} has reached offset {offset}; the high watermark is {high_watermark}, "
    "the epoch began at {epoch_start}",
)
TOO_FEW = rule("produce.too-few", "the ISR {isr} has fewer than min.insync.replicas={min_isr} members")
SHRANK = rule("produce.shrank", "the ISR shrank below min.insync.replicas={min_isr} after the append")
TIMED_OUT = rule(
    "produce.timed-out", "the high watermark {high_watermark} did not reach offset {needed} within {timeout_ms} ms"
)
NOT_LEADER = rule("produce.not-leader", "this broker does not lead the partition any more")
DIVERGED = rule(
    "truncate.diverged",
    "the leader's epoch {epoch} ends at offset {end}; this log has epoch {ours} up to {our_end}",
)
OUT_OF_RANGE = rule("truncate.out-of-range", "the leader's log is from {start} to {end}")
TOO_FAST = rule("throttle.rate", "{rate} bytes per second are more than {setting}={bound}")
WITHIN_RATE = rule("throttle.within", "{rate} bytes per second are within {setting}={bound}")
NOT_BEHIND = rule("throttle.not-behind", "it is not behind any more")
NOT_LISTED = rule("throttle.not-listed", "no list of its topic names it any more")
PROPOSAL_REFUSED = rule("isr.refused", "the controller answered {error}")
SAME_EPOCH = rule(
    "isr.same-epoch", "the metadata has come to partition epoch {partition_epoch}, which was known already"
)


@fact(STATE)
class BrokerStateChanged:
    """STARTING, RECOVERY, RUNNING, PENDING_CONTROLLED_SHUTDOWN or SHUTTING_DOWN."""

    state: str


@fact(DECISION)
class BecameLeader:
    log: str
    leader_epoch: int
    epoch_start: int
    isr: tuple[int, ...]
    because: Because


@fact(DECISION)
class BecameFollower:
    log: str
    leader: int
    leader_epoch: int
    because: Because


@fact(STATE)
class ReplicaDeleted:
    log: str


@fact(DECISION)
class LogDirectoryFailed:
    """A directory is not used any more before the next start; so many replicas were in it."""

    path: str
    replicas: int


@fact(DECISION)
class ReplicaMoveStarted:
    """A replica is copied into another directory of its broker."""

    log: str
    source: str
    target: str


@fact(DECISION)
class ReplicaMoved:
    """The copy has taken the place of the log."""

    log: str
    source: str
    target: str


@fact(DECISION)
class ReplicaOffline:
    """The log of this replica cannot be used before the next start."""

    log: str
    because: Because


@fact(STATE)
class HighWatermarkMoved:
    """On a leader it only rises; a follower takes what its leader says."""

    log: str
    to: int
    was: int
    leads: bool


@fact(DECISION)
class IsrProposed:
    """A leader asks the controller for another ISR; until the answer the larger one counts."""

    log: str
    isr: tuple[int, ...]
    was: tuple[int, ...]
    leader_epoch: int
    because: Because


@fact(STATE)
class IsrCommitted:
    """The ISR that a leader goes by."""

    log: str
    isr: tuple[int, ...]
    maximal: tuple[int, ...]
    partition_epoch: int


@fact(DECISION)
class IsrProposalRefused:
    log: str
    because: Because


@fact(DECISION)
class IsrProposalForgotten:
    """A leader no longer counts what it has asked for, though the controller may grant it yet."""

    log: str
    proposed: tuple[int, ...]
    partition_epoch: int
    because: Because


@fact(STATE)
class RecordsAcknowledged:
    """A leader answers a produce request with success."""

    log: str
    base_offset: int
    last_offset: int
    leader_epoch: int
    acks: int


@fact(DECISION)
class ProduceRefused:
    log: str
    error: str
    because: Because


@fact(DECISION)
class TruncationDecided:
    log: str
    to: int
    because: Because


@fact(DECISION)
class ReplicationThrottled:
    """A replica that lags is not copied for a while; ``held`` is False when it goes on."""

    log: str
    held: bool
    because: Because
