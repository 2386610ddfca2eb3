"""What the coordinator refuses a request for."""

from __future__ import annotations

from kafsim.coordinator.classic_group import ClassicGroup
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import Because, because


class Refused(Exception):
    """An error code of Kafka, its words where it has some (Kafka: ``ApiException``), and the rule that decided."""

    def __init__(self, code: int, message: str | None = None, why: Because | None = None) -> None:
        super().__init__(message or errors.name(code))
        self.code = code
        self.message = message
        self.why = why or because(facts.REFUSED, reason=message or errors.name(code))


def why_invalid(group: ClassicGroup, instance: str | None, error: int) -> Because:
    """What ``group.validate`` found."""
    if instance is not None and error == errors.FENCED_INSTANCE_ID:
        return because(facts.FENCED, instance=instance, owner=group.static[instance])
    if instance is not None and instance not in group.static:
        return because(facts.UNKNOWN_INSTANCE, instance=instance)
    return because(facts.UNKNOWN)


def unknown_member(group: str, member: str) -> Refused:
    return Refused(
        errors.UNKNOWN_MEMBER_ID, f"Member {member} is not a member of group {group}.", because(facts.UNKNOWN)
    )


def no_consumer_group(group: str) -> Refused:
    return Refused(errors.GROUP_ID_NOT_FOUND, f"Group {group} is not a consumer group.")


def tell_refused(outbox: Outbox, group: str, member: str, request: str, error: int, why: Because) -> None:
    outbox.happened(
        facts.GroupRequestRefused(group=group, member=member, request=request, error=errors.name(error), because=why)
    )
