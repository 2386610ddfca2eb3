"""What each member of a group shall have (Kafka: ``TargetAssignmentBuilder``)."""

from __future__ import annotations

from collections.abc import Mapping

from kafsim.coordinator.assignors import BUILT_IN
from kafsim.coordinator.assignors.assignor import AssignorError, GroupSpec, MemberSpec
from kafsim.coordinator.consumer_group import ConsumerGroup, ConsumerGroupMember, Target
from kafsim.coordinator.refusal import Refused
from kafsim.coordinator.topics import Topics
from kafsim.protocol import errors
from kafsim.protocol.java import text_order
from kafsim.protocol.uuid import Uuid


def make_target(
    group: ConsumerGroup,
    members: Mapping[str, ConsumerGroupMember],
    replaced: Mapping[str, str],
    topics: Topics,
    assignor: str,
    *,
    homogeneous: bool,
) -> dict[str, Target]:
    """The new target of each of ``members``, which are the group's with the changes under way.

    ``replaced``: of a static member that is new, the id that had its instance id before.
    """
    specs: dict[str, MemberSpec] = {}
    counts: dict[Uuid, int] = {}
    for id_ in text_order(members):
        member = members[id_]
        ids = tuple(topics.ids_of(group.topics_of(member)))
        counts.update((topic, topics.partitions_of(topic)) for topic in ids if topic not in counts)
        target = group.target_of(replaced.get(id_, id_))
        specs[id_] = MemberSpec(topics=ids, target=target, instance_id=member.instance)
    try:
        found = BUILT_IN[assignor]().assign(GroupSpec(members=specs, topics=counts, homogeneous=homogeneous))
    except AssignorError:
        raise Refused(errors.UNKNOWN_SERVER_ERROR) from None
    return {id_: {topic: tuple(sorted(parts)) for topic, parts in found.get(id_, {}).items() if parts} for id_ in specs}
