"""Which partition a record goes to (Kafka: ``BuiltInPartitioner``).

With a key: murmur2 of it. Without: one partition until about batch.size bytes went there, then another one, drawn with
more weight for those whose queue is short.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate

from kafsim.protocol.entropy import Entropy

_SEED = 0x9747_B28C
_M = 0x5BD1_E995
_MASK = 0xFFFF_FFFF


def murmur2(data: bytes) -> int:
    """Kafka's murmur2, as a signed number of 32 bits."""
    length = len(data)
    h = (_SEED ^ length) & _MASK
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length > whole:
        h ^= int.from_bytes(data[whole:], "little")
        h = h * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    h ^= h >> 15
    return h - 2**32 if h >= 2**31 else h


def partition_for_key(key: bytes, partitions: int) -> int:
    return (murmur2(key) & 0x7FFF_FFFF) % partitions


class StickyPartitioner:
    """For records of one topic without a key.

    ``sizes``: how many batches wait for each partition with a leader, None as long as that says nothing (KIP-794): the
    next partition is drawn by it, so that one whose broker is slow gets less, and one that is left out nothing.
    """

    def __init__(self, batch_size: int, entropy: Entropy, sizes: Callable[[], dict[int, int] | None] = dict) -> None:
        self._batch_size = max(1, batch_size)
        self._entropy = entropy
        self._sizes = sizes
        self._current: int | None = None
        self._produced = 0

    def current(self, partitions: int, available: list[int]) -> int:
        """The partition records go to now."""
        if self._current is None or self._current >= partitions:
            self._switch(partitions, available)
        assert self._current is not None, "a partition was drawn"
        return self._current

    def appended(self, size: int, partitions: int, available: list[int], *, batch_full: bool) -> None:
        """So many bytes went to the current partition; it changes at a batch border, at the latest after two sizes."""
        self._produced += size
        if (self._produced >= self._batch_size and batch_full) or self._produced >= 2 * self._batch_size:
            self._switch(partitions, available)

    def _switch(self, partitions: int, available: list[int]) -> None:
        self._produced = 0
        weights = self._weights(partitions)
        if weights:
            cumulative = list(accumulate(weights.values()))
            drawn = self._entropy.below(cumulative[-1])
            self._current = list(weights)[bisect_right(cumulative, drawn)]
        else:
            choices = available or list(range(partitions))
            self._current = choices[self._entropy.below(len(choices))]

    def _weights(self, partitions: int) -> dict[int, int]:
        """The more waits, the smaller; nothing when all are there and alike (Kafka: ``updatePartitionLoadStats``)."""
        sizes = self._sizes() or {}
        if not sizes or (len(sizes) >= partitions and len(set(sizes.values())) == 1):
            return {}
        most = max(sizes.values()) + 1
        return {partition: most - size for partition, size in sizes.items()}
