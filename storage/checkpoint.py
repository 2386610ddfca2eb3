"""Kafka's checkpoint files: text, a version line, a count, then one line an entry (Kafka: ``CheckpointFile``).

They are written beside, flushed and renamed, so a power failure leaves the old file or the new one.
"""

from __future__ import annotations

from collections.abc import Iterable

from kafsim.protocol.files import Directory
from kafsim.protocol.types import TopicPartition

RECOVERY_POINT = "recovery-point-offset-checkpoint"
HIGH_WATERMARK = "replication-offset-checkpoint"
LOG_START = "log-start-offset-checkpoint"
CLEANER = "cleaner-offset-checkpoint"


class CheckpointError(ValueError):
    """A checkpoint file that is not one."""


def encode(lines: Iterable[str]) -> bytes:
    listed = list(lines)
    return "".join(f"{line}\n" for line in ("0", str(len(listed)), *listed)).encode()


def decode(data: bytes, columns: int) -> list[tuple[str, ...]]:
    """The entries; an empty file has none. CheckpointError for another version, a short line or a wrong count."""
    lines = data.decode().splitlines()
    if not lines:
        return []
    if lines[0] != "0" or len(lines) < 2 or not lines[1].isdigit():
        raise CheckpointError(f"unrecognized version or count: {lines[:2]}")
    entries = [tuple(line.split()) for line in lines[2:]]
    if len(entries) != int(lines[1]):
        raise CheckpointError(f"expected {lines[1]} entries but found {len(entries)}")
    for entry in entries:
        if len(entry) != columns:
            raise CheckpointError(f"malformed line: {' '.join(entry)}")
    return entries


def write_offsets(files: Directory, name: str, offsets: dict[TopicPartition, int]) -> None:
    """One offset for each partition, for a whole log directory."""
    files.replace(name, encode(f"{tp.topic} {tp.partition} {offset}" for tp, offset in offsets.items()))


def read_offsets(files: Directory, name: str) -> dict[TopicPartition, int]:
    """What was written last; nothing for a file that is not there or cannot be read, as Kafka starts then."""
    file = files.get(name)
    if file is None:
        return {}
    try:
        entries = decode(file.read(), 3)
        return {TopicPartition(topic, int(partition)): int(offset) for topic, partition, offset in entries}
    except ValueError:
        return {}
