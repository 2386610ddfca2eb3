"""One heartbeat or join of a member of a consumer group, step by step (Kafka: ``GroupMetadataManager``).

The steps decide on the group as it is and leave records; replay makes them true. What one step decides the next ones
must know, so it is kept here: the member as it will be, the group's epoch, the target.
"""

from __future__ import annotations

from collections.abc import Mapping

from kafsim.coordinator.consumer_group import ConsumerGroup, ConsumerGroupMember, MemberState, Target, add
from kafsim.coordinator.consumer_group import count_subscription as count
from kafsim.coordinator.consumer_group_records import (
    current_record,
    epoch_record,
    legacy_tombstone,
    member_record,
    target_epoch_record,
    target_record,
)
from kafsim.coordinator.current_assignment import Claimed, Reconciliation
from kafsim.coordinator.records import CoordinatorRecord
from kafsim.coordinator.regexes import RegexStatus
from kafsim.coordinator.shard import GroupShard
from kafsim.coordinator.target_assignment import make_target
from kafsim.coordinator.topics import Topics
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import DECISION, Because, because
from kafsim.protocol.types import Micros
from kafsim.protocol.uuid import Uuid, to_text


class MemberUpdate:
    """``old`` is the member as the group has it, or as it will be after ``records``; ``replaces`` is the id of the one
    whose instance id it takes over. ``told`` are the facts to state once the records are committed."""

    def __init__(
        self,
        shard: GroupShard,
        topics: Topics,
        now: Micros,
        group: ConsumerGroup,
        old: ConsumerGroupMember,
        records: list[CoordinatorRecord],
        replaces: str | None = None,
    ) -> None:
        self._shard = shard
        self._topics = topics
        self._settings = shard.settings
        self._now = now
        self.group = group
        self.old = self.new = old
        self.replaces = replaces
        self.records = records
        self.told: list[object] = []
        self.epoch = group.epoch
        self.target_epoch = group.assignment_epoch
        self.looked_at = group.looked_at
        self.is_subscription_changed = False
        self._homogeneous: bool | None = None
        self._target: Target | None = None

    @property
    def is_known(self) -> bool:
        """Has the group counted it, perhaps under the id that it replaces?"""
        return (self.replaces or self.old.id) in self.group.members

    @property
    def hears(self) -> bool:
        return self._shard.outbox.heard >= DECISION

    # ----------------------------------------------------------------------------- members

    def subscribe(self, new: ConsumerGroupMember) -> bool:
        """The member tells of itself; true when it names other topics."""
        self.new = new
        if new != self.old:
            self.records.append(member_record(self.group.id, new))
        return new.topics != self.old.topics

    def _members(self) -> dict[str, ConsumerGroupMember]:
        """As they will be."""
        members = {id_: self.group.members[id_] for id_ in self.group.members if id_ != self.replaces}
        members[self.new.id] = self.new
        return members

    # ------------------------------------------------------------------------------- epoch

    def look_at_topics(self, names_changed: bool, regex: RegexStatus) -> None:
        """Is it another group now? Then its epoch grows."""
        self.is_subscription_changed = names_changed or regex is not RegexStatus.SAME
        bumps = names_changed or regex is RegexStatus.RESOLVED
        if not (bumps or self._is_stale()):
            return
        names, regexes = dict(self.group.by_name), dict(self.group.by_regex)
        before = self.group.members.get(self.replaces or self.old.id)
        if before is not None:
            count(names, regexes, before, -1)
        count(names, regexes, self.new, 1)
        resolved = (self.group.regexes.get(one) for one in regexes)
        every = dict.fromkeys((*names, *(topic for one in resolved if one is not None for topic in one.topics)))
        known = len(self.group.members) + (before is None)
        self._homogeneous = self.group.is_homogeneous(known, names, regexes)
        hash_ = self._topics.hash_of(every)
        self.looked_at = self._topics.changes
        if bumps or hash_ != self.group.metadata_hash:
            topics = ", ".join((*self.new.topics, *([f"/{self.new.regex}/"] if self.new.regex else ()))) or "nothing"
            why = because(facts.SUBSCRIBED, member=self.new.id, topics=topics)
            self._bump(hash_, why if bumps else because(facts.TOPICS_CHANGED))
        if self.group.has_legacy_metadata:
            self.records.append(legacy_tombstone(self.group.id))

    def _bump(self, hash_: int, why: Because) -> None:
        self.epoch = self.group.epoch + 1
        self.records.append(epoch_record(self.group.id, self.epoch, hash_))
        self.told.append(facts.GroupEpochBumped(group=self.group.id, epoch=self.epoch, because=why))

    def _is_stale(self) -> bool:
        looked_at = self.group.looked_at
        if looked_at is None:
            return True
        if looked_at == self._topics.changes:
            return False
        if self._topics.have_changed(self.group.subscribed(), looked_at):
            return True
        self.group.looked_at = self.looked_at = self._topics.changes
        return False

    # ------------------------------------------------------------------------------ target

    def retarget(self) -> None:
        """At most once in group.consumer.assignment.interval.ms; the next heartbeat of anybody makes up for it."""
        wall = self._shard.wall_ms(self._now)
        interval = self._settings["group.consumer.assignment.interval.ms"]
        since = self.group.assignment_time
        if self.group.assignment_epoch >= self.epoch or (since and interval and wall < since + interval):
            self._target = self._stored_target()
            return
        homogeneous = self._homogeneous
        if homogeneous is None:
            homogeneous = self.group.is_homogeneous(len(self.group.members))
        members, assignor = self._members(), self._assignor()
        replaced = {self.new.id: self.replaces} if self.replaces is not None else {}
        made = make_target(self.group, members, replaced, self._topics, assignor, homogeneous=homogeneous)
        changed = {id_: target for id_, target in made.items() if self.group.targets.get(id_) != target}
        self.records += [target_record(self.group.id, id_, target) for id_, target in changed.items()]
        self.records.append(target_epoch_record(self.group.id, self.epoch, wall))
        if self.hears:
            self._tell_target(assignor, changed)
        self.target_epoch = self.epoch
        self._target = made[self.new.id]

    def _stored_target(self) -> Target:
        id_ = self.new.id
        if self.new.instance is not None:
            id_ = self.group.static.get(self.new.instance, "")
        return self.group.target_of(id_)

    def _assignor(self) -> str:
        """That most members want; of equals the one of this member, if nobody else wants it: it has voted last.

        Kafka's hash map has a new key before the others of its bucket, and both names are in one.
        """
        votes: dict[str, int] = {n: self.group.votes[n] for n in ("uniform", "range") if n in self.group.votes}
        if self.is_known and self.old.assignor is not None:
            add(votes, self.old.assignor, -1)
        if self.new.assignor is not None:
            votes = {self.new.assignor: 0, **votes} if self.new.assignor not in votes else votes
            add(votes, self.new.assignor, 1)
        default: str = self._settings["group.consumer.assignors"][0]
        return max(votes, key=lambda name: votes[name], default=default)

    def _tell_target(self, assignor: str, changed: Mapping[str, Target]) -> None:
        why = because(facts.EPOCH_OVER, target=self.group.assignment_epoch, epoch=self.epoch)
        self.told.append(
            facts.TargetAssigned(
                group=self.group.id,
                epoch=self.epoch,
                assignor=assignor,
                assigned=tuple((id_, names(self._topics, target)) for id_, target in changed.items()),
                because=why,
            )
        )

    # --------------------------------------------------------------------------- reconcile

    def reconcile(self, claimed: Claimed) -> bool:
        """One step of the member towards the target; true when that changed it."""
        assert self._target is not None, "there is a target before anybody comes to it"
        before = self.new
        if (
            not self.is_subscription_changed
            and before.state is MemberState.STABLE
            and before.epoch == self.target_epoch
        ):
            return False
        step = Reconciliation(
            target_epoch=self.target_epoch,
            target=self._target,
            topics=self._topics.ids_of(self.group.topics_of(before)),
            claimed=claimed,
            is_subscription_changed=self.is_subscription_changed,
            owner_epoch=self.group.epoch_of,
            waits_until_released=self._shard.given.safeguards.wait_until_released,
        )
        self.new = step.of(before)
        if self.new == before:
            return False
        self.records.append(current_record(self.group.id, self.new))
        if self.hears:
            self.told.append(reconciled(self._topics, self.group.id, self.new, self._why(self._target)))
        return True

    def _why(self, target: Target) -> Because:
        if self.new.state is MemberState.UNREVOKED_PARTITIONS:
            pending = ", ".join(names(self._topics, self.new.pending))
            return because(facts.MUST_REVOKE, partitions=pending, target=self.target_epoch)
        if self.new.state is MemberState.UNRELEASED_PARTITIONS:
            missing = {t: [p for p in parts if p not in self.new.assigned.get(t, ())] for t, parts in target.items()}
            return because(facts.WAITS, partitions=", ".join(names(self._topics, missing)))
        return because(facts.COMPLETE, target=self.target_epoch)


def names(topics: Topics, partitions: Mapping[Uuid, object]) -> tuple[str, ...]:
    """Of partitions by topic, in order; a topic that is gone by its id."""
    found = ((topics.name_of(id_) or to_text(id_), parts) for id_, parts in partitions.items())
    return tuple(f"{name}-{p}" for name, parts in sorted(found, key=lambda one: one[0]) for p in sorted(parts))  # type: ignore[call-overload]


def reconciled(topics: Topics, group: str, member: ConsumerGroupMember, why: Because) -> facts.MemberReconciled:
    return facts.MemberReconciled(
        group=group,
        member=member.id,
        epoch=member.epoch,
        state=member.state.name,
        assigned=names(topics, member.assigned),
        pending=names(topics, member.pending),
        because=why,
    )
