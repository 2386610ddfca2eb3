"""What of the Java collections shows through in Kafka's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from kafsim.protocol.types import TopicPartition
from kafsim.protocol.uuid import Uuid

T = TypeVar("T")


def hash_order(numbers: Iterable[int]) -> list[int]:
    """The order in which a ``HashMap`` with these ``Integer`` or ``Long`` keys is walked, put in this order.

    By bucket, and within one in the order of their coming; the table is as large as a growing one would be.
    """
    return _in_buckets(numbers, lambda key: (key ^ (key & 0xFFFF_FFFF_FFFF_FFFF) >> 32) & 0xFFFF_FFFF)


def text_hash(text: str) -> int:
    """``String.hashCode``, without a sign."""
    units = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for at in range(0, len(units), 2):
        value = (31 * value + (units[at] << 8 | units[at + 1])) & 0xFFFF_FFFF
    return value


def text_order(texts: Iterable[str]) -> list[str]:
    """As :func:`hash_order`, of texts."""
    return _in_buckets(texts, text_hash)


def partition_order(partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
    """As :func:`hash_order`, of Kafka's ``TopicPartition``."""
    return _in_buckets(partitions, lambda tp: 31 * (31 + tp.partition) + text_hash(tp.topic) & 0xFFFF_FFFF)


def uuid_order(ids: Iterable[Uuid]) -> list[Uuid]:
    """As :func:`hash_order`, of Kafka's ``Uuid``."""

    def hash_of(id_: Uuid) -> int:
        both = int.from_bytes(id_[:8], "big") ^ int.from_bytes(id_[8:], "big")
        return (both >> 32 ^ both) & 0xFFFF_FFFF

    return _in_buckets(ids, hash_of)


def _in_buckets(keys: Iterable[T], hash_of: Callable[[T], int]) -> list[T]:
    known = list(keys)
    capacity = 16
    while len(known) > capacity * 3 // 4:
        capacity *= 2
    hashes = {key: hash_of(key) for key in known}
    return sorted(known, key=lambda key: (hashes[key] ^ hashes[key] >> 16) & (capacity - 1))


def coordinator_partition(id_: str, partitions: int) -> int:
    """Which partition a group or a transactional id belongs to (Kafka: ``Utils.abs(id.hashCode) % n``)."""
    signed = text_hash(id_) - (text_hash(id_) >> 31 << 32)
    return (0 if signed == -(2**31) else abs(signed)) % partitions


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
