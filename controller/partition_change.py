"""The arithmetic of one partition: who leads, who is in sync, who may lead later (Kafka: ``PartitionChangeBuilder``).

Targets go in; at most one PartitionChangeRecord comes out, with the reason for the leader it names. Pure: everything it
looks at is in its arguments.

With eligible leader replicas (KIP-966) a replica that leaves the ISR while the ISR is below min.insync.replicas becomes
eligible: it holds everything up to the high watermark, which cannot advance meanwhile. Without them the last member
stays in the ISR.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable

import attrs

from kafsim.controller.metadata_state import (
    NO_LEADER,
    NO_LEADER_CHANGE,
    RECOVERED,
    RECOVERING,
    PartitionKey,
    PartitionState,
)
from kafsim.protocol.facts import controller as facts
from kafsim.protocol.facts.fact import Because, because
from kafsim.protocol.java import hash_order
from kafsim.protocol.metadata.partition_change_record import PartitionChangeRecord
from kafsim.protocol.uuid import ZERO_UUID, Uuid


class Election(enum.Enum):
    PREFERRED = "preferred"
    """The first replica, if it is in sync; otherwise whoever may lead."""
    ONLINE = "online"
    """The leader stays if it may; otherwise the first replica that is in sync."""
    UNCLEAN = "unclean"
    """As ONLINE; if nobody is in sync, the first replica that is up."""


@attrs.frozen
class Change:
    """A record, and why its leader is the one it names (None when it says nothing of the leader)."""

    record: PartitionChangeRecord
    election: Because | None


@attrs.define(kw_only=True)
class PartitionChangeBuilder:
    """Fill in the targets that differ, then :meth:`build`."""

    key: PartitionKey
    partition: PartitionState
    is_acceptable: Callable[[int], bool]
    """May this broker lead: registered, not fenced, not shutting down, its directory online."""
    why_not: Callable[[int], str] = attrs.field(default=lambda _: "not acceptable")
    min_isr: int
    elr_enabled: bool
    only_from_isr: bool = True
    """The safeguard: a clean election takes nobody outside ISR and ELR."""
    election: Election = Election.ONLINE
    target_isr: tuple[int, ...] | None = None
    target_replicas: tuple[int, ...] | None = None
    target_removing: tuple[int, ...] | None = None
    target_adding: tuple[int, ...] | None = None
    target_recovery: int | None = None
    directory_of: Callable[[int], Uuid] = attrs.field(default=lambda _: ZERO_UUID)
    """Where a replica that is added goes."""
    set_directories: dict[int, Uuid] = attrs.field(factory=dict)
    """Where replicas are, by what their brokers say."""
    unclean_shutdown: tuple[int, ...] = ()
    """Replicas that came back without a clean stop: their logs may be shorter than they were."""

    _isr: tuple[int, ...] = attrs.field(init=False, default=())
    _replicas: tuple[int, ...] = attrs.field(init=False, default=())
    _removing: tuple[int, ...] = attrs.field(init=False, default=())
    _adding: tuple[int, ...] = attrs.field(init=False, default=())
    _elr: tuple[int, ...] = attrs.field(init=False, default=())
    _leader: int = attrs.field(init=False, default=NO_LEADER_CHANGE)
    _record_isr: tuple[int, ...] | None = attrs.field(init=False, default=None)
    _recovery: int = attrs.field(init=False, default=-1)
    _why: Because | None = attrs.field(init=False, default=None)

    def build(self) -> Change | None:
        """The change, or None when nothing differs."""
        now = self.partition
        self._isr = now.isr if self.target_isr is None else self.target_isr
        self._replicas = now.replicas if self.target_replicas is None else self.target_replicas
        self._removing = now.removing if self.target_removing is None else self.target_removing
        self._adding = now.adding if self.target_adding is None else self.target_adding
        self._elr = now.elr
        self._complete_reassignment()
        self._populate_elr()
        self._elect()
        self._bump_for_removed_replica()
        record = self._record()
        nothing = PartitionChangeRecord(partition_id=self.key[1], topic_id=self.key[0])
        return None if record == nothing else Change(record, self._why)

    # ------------------------------------------------------------------- reassignment

    def _complete_reassignment(self) -> None:
        """Once the adding replicas are in sync the removing ones go (Kafka: ``PartitionReassignmentReplicas``)."""
        if not self._removing and not self._adding:
            return
        isr = tuple(r for r in self._isr if r not in self._removing)
        replicas = tuple(r for r in self._replicas if r not in self._removing)
        if self._removing and (not isr or not replicas):
            return
        if any(r not in isr for r in self._adding):
            return
        if len(self._adding) < len(self._removing) and any(r not in isr for r in replicas):
            return
        self._isr, self._replicas, self._removing, self._adding = isr, replicas, (), ()

    def _bump_for_removed_replica(self) -> None:
        if self._leader == NO_LEADER_CHANGE and any(r not in self._replicas for r in self.partition.replicas):
            self._leader = self.partition.leader

    # ---------------------------------------------------------------------------- ELR

    def _populate_elr(self) -> None:
        if not self.elr_enabled:
            return
        if len(self._isr) >= self.min_isr:
            self._elr = ()
            return
        candidates = {*self._elr, *self.partition.isr}
        self._elr = tuple(hash_order(sorted(candidates - {*self._isr} - {*self.unclean_shutdown})))

    # ----------------------------------------------------------------------- election

    def _elect(self) -> None:
        leader, why, unclean = self._choose()
        if leader == self.partition.leader:
            return
        if leader in self._elr:
            self._isr = (leader,)
            self._elr = tuple(r for r in self._elr if r != leader)
        self._leader, self._why = leader, why
        if unclean:
            self._record_isr = (leader,)
            if self.partition.recovery != RECOVERING:
                self._recovery = RECOVERING

    def _choose(self) -> tuple[int, Because, bool]:
        """The leader, the reason, and whether records may be lost by it."""
        for candidate in self._candidates():
            if self._may_lead(candidate):
                return candidate, self._clean_reason(candidate), False
        if self._last_known_may_lead():
            leader = self.partition.last_known_elr[0]
            return leader, because(facts.LAST_KNOWN, leader=leader), True
        if self.election is Election.UNCLEAN or not self.only_from_isr:
            for candidate in self._replicas:
                if self.is_acceptable(candidate):
                    rule = facts.UNCLEAN if self.election is Election.UNCLEAN else facts.UNSAFE
                    return candidate, self._reason(rule, candidate), True
        unclean = "true" if self.election is Election.UNCLEAN else "false"
        passed = self._passed_over(None)
        return NO_LEADER, because(facts.NOBODY, isr=_text(self._isr), unclean=unclean, passed_over=passed), False

    def _candidates(self) -> Iterable[int]:
        if self.election is Election.PREFERRED:
            yield from self._replicas[:1]
        if self.partition.leader != NO_LEADER:
            yield self.partition.leader
        yield from self._replicas

    def _may_lead(self, replica: int) -> bool:
        in_sync = replica in self._isr or (not self._isr and replica in self._elr)
        return in_sync and self.is_acceptable(replica)

    def _last_known_may_lead(self) -> bool:
        known = self.partition.last_known_elr
        nobody = not self._elr and not self._isr
        return self.elr_enabled and nobody and len(known) == 1 and self.is_acceptable(known[0])

    # ------------------------------------------------------------------------- reasons

    def _clean_reason(self, leader: int) -> Because:
        if self.election is Election.PREFERRED and leader == self._replicas[0]:
            return because(facts.PREFERRED, leader=leader, replicas=_text(self._replicas), isr=_text(self._isr))
        if not self._isr:
            return because(facts.FROM_ELR, leader=leader, elr=_text(self._elr), passed_over=self._passed_over(leader))
        return self._reason(facts.IN_ISR, leader)

    def _reason(self, rule: str, leader: int) -> Because:
        passed = self._passed_over(leader)
        if rule == facts.UNSAFE:
            return because(rule, leader=leader, passed_over=passed)
        if rule == facts.UNCLEAN:
            return because(rule, leader=leader, isr=_text(self._isr), passed_over=passed)
        return because(rule, leader=leader, replicas=_text(self._replicas), isr=_text(self._isr), passed_over=passed)

    def _passed_over(self, leader: int | None) -> str:
        """Who comes before the leader and why it was not taken."""
        before = self._replicas if leader is None else self._replicas[: self._replicas.index(leader)]
        reasons = [f"; broker {replica} not chosen: {self._why_not(replica)}" for replica in before]
        return "".join(reasons)

    def _why_not(self, replica: int) -> str:
        if replica not in self._isr and not (not self._isr and replica in self._elr):
            gone = " any more" if replica in self.partition.isr else ""
            missing = f"not in the ISR{gone}"
            return missing if self.is_acceptable(replica) else f"{missing}, {self.why_not(replica)}"
        return self.why_not(replica)

    # -------------------------------------------------------------------------- record

    def _record(self) -> PartitionChangeRecord:
        now = self.partition
        isr, elr = self._record_isr, self._elr
        if isr is not None or not self.elr_enabled:
            elr = ()
        if isr is None and (self._isr or self.elr_enabled) and self._isr != now.isr:
            isr = self._isr
        recovery = self._recovery
        if self.target_recovery is not None and self.target_recovery != now.recovery:
            recovery = self.target_recovery
        return PartitionChangeRecord(
            partition_id=self.key[1],
            topic_id=self.key[0],
            isr=isr,
            leader=self._leader,
            replicas=_changed(self._replicas, now.replicas),
            removing_replicas=_changed(self._removing, now.removing),
            adding_replicas=_changed(self._adding, now.adding),
            directories=self._directories(),
            leader_recovery_state=recovery,
            eligible_leader_replicas=_changed(elr, now.elr),
            last_known_elr=self._last_known(),
        )

    def _directories(self) -> tuple[Uuid, ...] | None:
        """Of the replicas, in their order, when that is not as it was."""
        now = self.partition
        known = {**dict(zip(now.replicas, now.directories, strict=False)), **self.set_directories}
        directories = tuple(known.get(replica) or self.directory_of(replica) for replica in self._replicas)
        changes = self._replicas != now.replicas or self.set_directories
        return directories if changes and directories != now.directories else None

    def _last_known(self) -> tuple[int, ...] | None:
        if not self.elr_enabled:
            return None
        if self._leader == NO_LEADER and not self.partition.last_known_elr:
            return (self.partition.leader,)
        return () if self._leader >= 0 and self.partition.last_known_elr else None


def _changed(new: tuple[int, ...], old: tuple[int, ...]) -> tuple[int, ...] | None:
    return None if new == old else new


def _text(ids: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, ids)) + "]"


__all__ = ["RECOVERED", "Change", "Election", "PartitionChangeBuilder"]
