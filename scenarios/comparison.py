"""What a replayed history is compared by, and what came of it."""

from __future__ import annotations

import json
from typing import Any

import attrs

Step = dict[str, Any]
Seen = dict[str, Any]

FIELDS = {
    "partition": (
        "leader",
        "leader_epoch",
        "partition_epoch",
        "replicas",
        "isr",
        "elr",
        "last_known_elr",
        "adding",
        "removing",
        "recovery",
    ),
    "log": ("records", "error"),
    "replica_log": ("records",),
    "end_offsets": ("start", "end", "last_stable", "at_timestamp", "error"),
    "broker": ("fenced", "in_controlled_shutdown"),
    "topics": ("names", "error"),
    "config": ("value", "source", "error"),
    "producers": ("active", "error"),
    "isr": ("isr",),
    "reassignments": ("ongoing", "error"),
    "quorum": ("epoch_change", "leader_changed", "error"),
    "assignment": ("members", "sizes"),
    "group": ("state", "type", "assignor", "generation", "coordinator", "members", "error"),
    "committed": ("offsets", "error"),
    "callbacks": ("events",),
    "consumed": ("records",),
    "member": ("generation", "assignment", "error"),
}
"""What a look may state; everything else in its step says where to look."""


class Unsupported(Exception):
    """A step, or a cluster, that is not built."""


@attrs.frozen
class Difference:
    """One field that is not as it was seen on the real cluster."""

    step: int
    what: str
    field: str
    ours: Any
    kafka: Any

    def __str__(self) -> str:
        ours, kafka = json.dumps(self.ours), json.dumps(self.kafka)
        return f"step {self.step} ({self.what}): {self.field} is {ours}, Kafka has {kafka}"


@attrs.define
class Comparison:
    """``unsupported``: what ended the replay, if something did; ``checked``: how many fields were compared."""

    name: str
    steps: int = 0
    checked: int = 0
    differences: list[Difference] = attrs.field(factory=list)
    unsupported: str | None = None
