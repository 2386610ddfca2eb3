"""What versions of which features this software speaks (Kafka: ``Feature``, ``MetadataVersion``, 4.3)."""

from __future__ import annotations

from typing import NamedTuple

METADATA_VERSION, KRAFT_VERSION = "metadata.version", "kraft.version"
ELR = "eligible.leader.replicas.version"


class Range(NamedTuple):
    """Both ends included; 0..0 for a feature that is not known."""

    low: int
    high: int

    def __contains__(self, level: object) -> bool:
        return isinstance(level, int) and self.low <= level <= self.high

    def __str__(self) -> str:
        """What is said of a version outside of it."""
        if self.high == 0:
            return "does not support this feature."
        return f"only supports versions {self.low}" + (f"-{self.high}" if self.high > self.low else "")


UNKNOWN = Range(0, 0)
SUPPORTED = {
    METADATA_VERSION: Range(7, 30),
    "transaction.version": Range(0, 2),
    "group.version": Range(0, 1),
    ELR: Range(0, 1),
    "share.version": Range(0, 1),
    "streams.version": Range(0, 1),
    KRAFT_VERSION: Range(0, 1),
}
DEPENDS_ON_METADATA = {ELR: 23}
"""The level of metadata.version that a feature above level 0 needs."""
CHANGES_METADATA = frozenset({7, 8, 11, 13, 14, 15, 17, 23, 30})
"""Levels of metadata.version that brought records or fields: it does not go back beyond them."""
CONTROLLER_REGISTRATION, DIRECTORY_ASSIGNMENT = 15, 17
"""The levels of metadata.version that brought these."""
