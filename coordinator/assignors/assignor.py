"""What an assignor of the coordinator is given and what it gives (Kafka: ``ConsumerGroupPartitionAssignor``)."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from kafsim.protocol.uuid import Uuid

Target = dict[Uuid, list[int]]
"""Partitions by topic."""


@attrs.frozen(kw_only=True)
class MemberSpec:
    """``target``: what it was assigned last."""

    topics: tuple[Uuid, ...]
    target: Mapping[Uuid, tuple[int, ...]] = attrs.field(factory=dict)
    instance_id: str | None = None


@attrs.frozen(kw_only=True)
class GroupSpec:
    """``members`` in the order in which Kafka would walk them, ``topics`` with their numbers of partitions.

    ``homogeneous``: all members subscribe to the same topics.
    """

    members: Mapping[str, MemberSpec]
    topics: Mapping[Uuid, int]
    homogeneous: bool


class AssignorError(Exception):
    """Kafka: ``PartitionAssignorException``."""


class ServerAssignor:
    name = ""

    def assign(self, group: GroupSpec) -> dict[str, Target]:
        """Every member is in the answer."""
        raise NotImplementedError
