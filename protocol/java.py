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


def timeline_order(numbers: Iterable[int]) -> list[int]:
    """The order in which a ``TimelineHashMap`` with these ``Integer`` keys is walked, put in this order."""
    slots: list[list[int]] = [[], []]
    for size, key in enumerate(numbers):
        if (size + 1) * 0.75 > len(slots):
            old, slots = slots, [[] for _ in range(2 * len(slots))]
            for kept in (kept for slot in old for kept in slot):
                slots[_fibonacci(kept, len(slots))].append(kept)
        slots[_fibonacci(key, len(slots))].append(key)
    return [key for slot in slots for key in reversed(slot)]


def _fibonacci(key: int, slots: int) -> int:
    return (key * 0x9E37_79B9_7F4A_7C15 & 0xFFFF_FFFF_FFFF_FFFF) >> (65 - slots.bit_length())
