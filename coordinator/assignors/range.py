"""Of each topic consecutive partitions for each member, anew each time (Kafka: ``RangeAssignor``).

Members with instance ids come first. Topics with as many partitions and the same subscribers are so given out alike.
"""

from __future__ import annotations

from kafsim.coordinator.assignors.assignor import AssignorError, GroupSpec, ServerAssignor, Target
from kafsim.protocol.uuid import Uuid


class RangeAssignor(ServerAssignor):
    name = "range"

    def assign(self, group: GroupSpec) -> dict[str, Target]:
        ordered = sorted(group.members, key=lambda member: _rank(group, member))
        found: dict[str, Target] = {member: {} for member in group.members}
        subscribers: dict[Uuid, list[str]] = {}
        for member in ordered:
            for topic in group.members[member].topics:
                if topic not in group.topics:
                    raise AssignorError("Member is subscribed to a non-existent topic")
                subscribers.setdefault(topic, []).append(member)
        for topic, members in subscribers.items():
            each, extra = divmod(group.topics[topic], len(group.members) if group.homogeneous else len(members))
            at = 0
            for index, member in enumerate(members):
                count = each + (index < extra)
                if count:
                    found[member][topic] = list(range(at, at + count))
                at += count
        return found


def _rank(group: GroupSpec, member: str) -> tuple[bool, str]:
    instance = group.members[member].instance_id
    return (instance is None, member if instance is None else instance)
