"""Facts that clients state: the history that checkers judge."""

from __future__ import annotations

from kafsim.protocol.facts.fact import DECISION, STATE, Because, fact, rule

RETRY = rule("producer.retry", "{error} may go away; attempt {attempt}, {left_ms} ms of delivery.timeout.ms are left")
GIVE_UP = rule("producer.give-up", "{error}: {why}")
EXPIRED = rule("producer.expired", "delivery.timeout.ms={timeout_ms} has passed since the batch was made")
EPOCH_BUMP = rule("producer.epoch-bump", "{error} on {partition}: its sequences begin anew in another epoch")
RESET = rule("consumer.reset", "{why}; auto.offset.reset={policy}")
EPOCH_ENDS = rule(
    "consumer.epoch-ends", "asked for epoch {asked}, leader {leader} says that epoch {epoch} ends at {end} in its log"
)
EPOCH_UNKNOWN = rule("consumer.epoch-unknown", "leader {leader} knows of no epoch {epoch} or before it")
SAME_RACK = rule("consumer.same-rack", "the leader named it for rack {rack}")


@fact(STATE)
class SendInvoked:
    """``send`` numbers the sends of one producer."""

    send: int
    topic: str
    key: bytes | None
    value: bytes | None


@fact(STATE)
class SendAcknowledged:
    send: int
    topic: str
    partition: int
    offset: int


@fact(STATE)
class SendFailed:
    send: int
    topic: str
    partition: int
    error: str


@fact(DECISION)
class ClientRebootstrapped:
    """None of the brokers known can be reached: the client begins again with its bootstrap servers."""

    known: tuple[int, ...]


@fact(DECISION)
class ExtensionFailed:
    """What a user plugged into a client raised; it changed nothing."""

    what: str
    error: str


@fact(STATE)
class RecordRead:
    """``leader_epoch``: of the leader that wrote it; with the offset it tells which record this is."""

    topic: str
    partition: int
    offset: int
    leader_epoch: int
    key: bytes | None
    value: bytes | None


@fact(DECISION)
class GroupAssignmentDecided:
    """By the leader of a classic group: members, each with the names of its partitions."""

    group: str
    generation: int
    assignor: str
    assigned: tuple[tuple[str, tuple[str, ...]], ...]


@fact(STATE)
class PartitionsAssigned:
    """``added``: what is new to the consumer; ``assigned``: all that it has now."""

    group: str
    member: str
    generation: int
    added: tuple[str, ...]
    assigned: tuple[str, ...]


@fact(STATE)
class PartitionsRevoked:
    group: str
    partitions: tuple[str, ...]


@fact(STATE)
class PartitionsLost:
    """Without having been asked: another member may read them already."""

    group: str
    partitions: tuple[str, ...]


@fact(STATE)
class PositionsFound:
    """Where a consumer begins: names of partitions with the offset that is committed, -1 where there is none."""

    group: str
    positions: tuple[tuple[str, int], ...]


@fact(STATE)
class PositionsTaken:
    """To be committed: names of partitions, each with the next offset to read."""

    group: str
    positions: tuple[tuple[str, int], ...]


@fact(STATE)
class OffsetsCommitAnswered:
    """A commit that somebody waited for succeeded: names of partitions, each with the next offset to read."""

    group: str
    offsets: tuple[tuple[str, int], ...]


@fact(DECISION)
class RefusedForGood:
    """A consumer of the consumer protocol is no member any more, and never will be: every poll of it fails."""

    group: str
    error: str


@fact(DECISION)
class CommitFailed:
    """``automatic``: nobody waits for it."""

    group: str
    error: str
    automatic: bool


@fact(DECISION)
class BatchRetried:
    topic: str
    partition: int
    records: int
    base_sequence: int
    because: Because


@fact(DECISION)
class BatchGivenUp:
    topic: str
    partition: int
    records: int
    because: Because


@fact(STATE)
class ProducerIdTaken:
    producer_id: int
    producer_epoch: int


@fact(DECISION)
class ProducerEpochBumped:
    producer_id: int
    producer_epoch: int
    because: Because


@fact(DECISION)
class PositionReset:
    topic: str
    partition: int
    because: Because


@fact(DECISION)
class LogTruncationDetected:
    """Records below ``position``, which were read, are not in the leader's log."""

    topic: str
    partition: int
    position: int
    because: Because


@fact(DECISION)
class ReadReplicaChosen:
    """From now on a consumer reads a partition from this broker."""

    topic: str
    partition: int
    replica: int
    because: Because
