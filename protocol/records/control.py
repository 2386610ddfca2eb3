"""Control records: what a key of a record in a control batch says (Kafka: ``ControlRecordType``)."""

from __future__ import annotations

import struct

ABORT = 0
COMMIT = 1
LEADER_CHANGE = 2
SNAPSHOT_HEADER = 3
SNAPSHOT_FOOTER = 4
KRAFT_VERSION = 5
KRAFT_VOTERS = 6

NAMES = {
    ABORT: "ABORT",
    COMMIT: "COMMIT",
    LEADER_CHANGE: "LEADER_CHANGE",
    SNAPSHOT_HEADER: "SNAPSHOT_HEADER",
    SNAPSHOT_FOOTER: "SNAPSHOT_FOOTER",
    KRAFT_VERSION: "KRAFT_VERSION",
    KRAFT_VOTERS: "KRAFT_VOTERS",
}


def control_type(key: bytes) -> int:
    """The type in the key of a control record (version, then type, both int16)."""
    return int(struct.unpack_from(">hh", key)[1])


def control_key(type_: int) -> bytes:
    return struct.pack(">hh", 0, type_)


def marker_value(coordinator_epoch: int) -> bytes:
    """The value of a transaction's end marker."""
    return struct.pack(">hi", 0, coordinator_epoch)


def coordinator_epoch(value: bytes) -> int:
    return int(struct.unpack_from(">hi", value)[1])
