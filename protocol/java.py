"""What of the Java collections shows through in Kafka's answers."""

from __future__ import annotations

from collections.abc import Iterable


def hash_order(numbers: Iterable[int]) -> list[int]:
    """The order in which a ``HashMap`` with these ``Integer`` or ``Long`` keys is walked, put in this order.

    By bucket, and within one in the order of their coming; the table is as large as a growing one would be.
    """
    keys = list(numbers)
    capacity = 16
    while len(keys) > capacity * 3 // 4:
        capacity *= 2
    return sorted(keys, key=lambda key: _spread(key) & (capacity - 1))


def _spread(key: int) -> int:
    folded = (key ^ (key & 0xFFFF_FFFF_FFFF_FFFF) >> 32) & 0xFFFF_FFFF
    return folded ^ folded >> 16
