"""Facts that a group coordinator states. ``partition``: of ``__consumer_offsets``."""

from __future__ import annotations

from kafsim.protocol.facts.fact import DECISION, STATE, Because, fact, rule

JOINED = rule("group.joined", "{member} joins: {reason}")
CHANGED = rule("group.changed", "{member} joins again with other protocols")
LEADER_REJOINED = rule("group.leader-rejoined", "its leader {member} joins again: {reason}")
LEFT = rule("group.left", "{member} leaves: {reason}")
SESSION_OVER = rule("group.session-over", "nothing was heard of {member} for session.timeout.ms={timeout_ms}")
MEMBER_SESSION_OVER = rule(
    "group.member-session-over", "nothing was heard of {member} for group.consumer.session.timeout.ms={timeout_ms}"
)
ASSIGNING = rule("group.assigning", "the group is in epoch {epoch}, its target is that of {target}")
RECONCILING = rule(
    "group.reconciling", "{members} of {all} members have not come to all of the target of epoch {epoch}"
)
SETTLED = rule("group.settled", "{all} of {all} members have come to the target of epoch {epoch}")
JOIN_OVER = rule("group.join-over", "{member} did not come back to its join within {timeout_ms} ms")
NOT_REJOINED = rule("group.not-rejoined", "{member} did not join again within the rebalance timeout of {timeout_ms} ms")
NOT_SYNCED = rule("group.not-synced", "{member} did not ask for its assignment within {timeout_ms} ms")
REPLACED = rule("group.replaced", "{member} has the instance id {instance}, which was that of {old}")
TOO_LARGE = rule("group.too-large", "there are more members than group.max.size={most}")
ALL_JOINED = rule("group.all-joined", "all {members} members have joined")
DELAY_OVER = rule("group.delay-over", "group.initial.rebalance.delay.ms is over; {members} members have joined")
TIME_OVER = rule("group.time-over", "the rebalance timeout of {timeout_ms} ms is over; {members} members have joined")
ASSIGNED = rule("group.assigned", "the assignment of {leader} is committed")
EMPTIED = rule("group.emptied", "no member is left")
ASSIGNMENT_LOST = rule("group.assignment-lost", "the assignment could not be written: {error}")
STALE = rule("group.stale-generation", "it commits with generation {given}, the group is in {current}")
UNKNOWN = rule("group.unknown-member", "the group has no such member")
UNKNOWN_INSTANCE = rule("group.unknown-instance", "no member has the instance id {instance}")
UNRELEASED = rule("group.unreleased-instance", "{owner} has the instance id {instance} and has not left")
FULL = rule("group.full", "the group may have {most} members and no more")
NO_CONSUMER_GROUPS = rule("group.no-consumer-groups", "the brokers do not speak the consumer protocol")
NO_GROUP = rule("group.no-group", "there is no such group")
OTHER_PROTOCOL = rule("group.other-protocol", "its protocols are not those of the group")
GIVEN_OUT = rule("group.given-out", "the member id was given out for one without an instance id")
EMPTY_AGAIN = rule("group.empty-again", "the group has become empty: it joins as a new member")
NO_MIGRATION = rule("group.no-migration", "group.consumer.migration.policy is disabled")
SESSION_BOUNDS = rule(
    "group.session-bounds",
    "session.timeout.ms={given} is not between group.min.session.timeout.ms={least} and "
    "group.max.session.timeout.ms={most}",
)
REFUSED = rule("group.refused", "{reason}")
NEW_TARGET = rule("group.new-target", "it is in epoch {current}, the group has an assignment of epoch {target}")
FENCED = rule("group.fenced", "its instance id {instance} belongs to {owner}")
REBALANCING = rule("group.rebalancing", "generation {generation} has no assignment yet")
NOT_A_MEMBER = rule("group.not-a-member", "it commits without being a member, and the group has members")
ELECTED = rule("coordinator.elected", "the broker leads the partition in epoch {leader_epoch}")
RESIGNED = rule("coordinator.resigned", "the broker does not lead the partition any more")


@fact(DECISION)
class CoordinatorLoading:
    partition: int
    leader_epoch: int
    because: Because


@fact(STATE)
class CoordinatorLoaded:
    """It serves from now on, with so many groups and committed offsets."""

    partition: int
    leader_epoch: int
    groups: int
    offsets: int


@fact(DECISION)
class CoordinatorUnloaded:
    partition: int
    groups: int
    because: Because


@fact(DECISION)
class GroupStateChanged:
    """Empty, PreparingRebalance, CompletingRebalance, Stable or Dead, of a classic group."""

    group: str
    state: str
    was: str
    generation: int
    because: Because


@fact(STATE)
class MemberAdded:
    """``client``: of the process that came; the group keeps that of the first one with its instance id."""

    group: str
    member: str
    instance: str | None
    client: str


@fact(DECISION)
class MemberRemoved:
    group: str
    member: str
    because: Because


@fact(STATE)
class AssignmentStored:
    """Committed in the log of the coordinator: what each member of a generation reads."""

    group: str
    generation: int
    protocol: str
    leader: str
    assigned: tuple[tuple[str, tuple[str, ...]], ...]
    """Members, each with the names of its partitions, as far as the blobs can be read."""


@fact(STATE)
class OffsetsCommitted:
    """``offsets``: names of partitions, each with the next offset to read."""

    group: str
    member: str
    generation: int
    offsets: tuple[tuple[str, int], ...]


@fact(DECISION)
class GroupRequestRefused:
    """A heartbeat, commit or sync that is not one of the group's present generation."""

    group: str
    member: str
    request: str
    error: str
    because: Because


@fact(STATE)
class GroupRemoved:
    """Deleted on demand, or expired with the last of its offsets."""

    group: str


# ------------------------------------------------------------------- groups of the consumer protocol (KIP-848)

SUBSCRIBED = rule("group.subscribed", "{member} subscribes to {topics}")
TOPICS_CHANGED = rule("group.topics-changed", "the topics that it reads are others now, or have other partitions")
RESOLVED = rule("group.resolved", "its regular expressions match {topics}")
EPOCH_OVER = rule("group.target-stale", "the target is that of epoch {target}, the group is in {epoch}")
NOT_REVOKED = rule("group.not-revoked", "{member} did not give up its partitions within {timeout_ms} ms")
LEFT_EPOCH = rule("group.left-with-epoch", "{member} leaves with epoch {epoch}")
MUST_REVOKE = rule("group.must-revoke", "it has to give up {partitions} before it comes to epoch {target}")
WAITS = rule("group.waits", "it waits for {partitions}, which others have not given up")
COMPLETE = rule("group.complete", "it has all of the target of epoch {target}")
MIGRATED = rule("group.migrated", "{member} speaks the {protocol} protocol")
RELOADED = rule("group.reloaded", "the coordinator has read it from the log")
NOT_YET = rule("group.epoch-not-yet", "it commits with epoch {given}, the coordinator has it in {current}")
NOT_ASSIGNED = rule("group.not-assigned", "it commits {partition} with epoch {given} and does not have it")
ASSIGNED_LATER = rule(
    "group.assigned-later", "it commits {partition} with epoch {given}, and was assigned it in epoch {since}"
)
MEMBER_GENERATION = rule("group.member-generation", "it comes with generation {given}, the group is in {current}")
MEMBER_EPOCH = rule("group.member-epoch", "it comes with epoch {given}, the coordinator knows it with {current}")


@fact(STATE)
class ClassicGroupLoaded:
    """A new coordinator has read a group of the classic protocol; ``leader_epoch`` of its partition."""

    group: str
    leader_epoch: int
    generation: int
    members: int


@fact(STATE)
class ConsumerGroupLoaded:
    """A new coordinator has read a group of the consumer protocol; its members' state follows."""

    group: str
    leader_epoch: int
    epoch: int
    target_epoch: int
    members: int


@fact(DECISION)
class GroupEpochBumped:
    group: str
    epoch: int
    because: Because


@fact(DECISION)
class TargetAssigned:
    """Committed: what each member whose target has changed shall have."""

    group: str
    epoch: int
    assignor: str
    assigned: tuple[tuple[str, tuple[str, ...]], ...]
    because: Because


@fact(DECISION)
class MemberReconciled:
    """Committed: what a member may read, and what it has not given up. ``state`` as in Kafka's ``MemberState``."""

    group: str
    member: str
    epoch: int
    state: str
    assigned: tuple[str, ...]
    pending: tuple[str, ...]
    because: Because


@fact(DECISION)
class GroupConverted:
    """A group has become one of the other type, with its offsets and, unless it was empty, with its members."""

    group: str
    type: str
    epoch: int
    members: tuple[str, ...]
    because: Because
