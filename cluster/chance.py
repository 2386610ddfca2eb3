"""Chance: every random decision is a function of the seed and of what it decides, not "the next number".

So removing one fault or adding one message leaves all other decisions as they were: shrinking stays sharp, and the
same storm can be run under several configurations. A key is hashed once (blake2b); the ordinal is mixed in with the
finaliser of splitmix64. This is the only module that makes numbers; no other one may import ``random``.
"""

from __future__ import annotations

import hashlib

from kafsim.protocol.uuid import Uuid, from_chance

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_GOLDEN = 0x9E37_79B9_7F4A_7C15


def mix(key: int, ordinal: int) -> int:
    """A number of 64 bits; equal arguments give equal numbers."""
    z = (key + ordinal * _GOLDEN) & _MASK
    z = ((z ^ z >> 30) * 0xBF58_476D_1CE4_E5B9) & _MASK
    z = ((z ^ z >> 27) * 0x94D0_49BB_1331_11EB) & _MASK
    return z ^ z >> 31


class Chance:
    """All chance of one run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def key(self, *names: str | int) -> int:
        """The key of one decision or of one stream of decisions, 64 bits."""
        text = repr((self.seed, *names)).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")

    def below(self, bound: int, *names: str | int) -> int:
        """One decision: a number from 0 to ``bound - 1``."""
        return mix(self.key(*names), 0) % bound

    def stream(self, *names: str | int) -> Stream:
        return Stream(self.key(*names))


class Stream:
    """Numbers in order, for an actor that needs its own."""

    __slots__ = ("_key", "_ordinal")

    def __init__(self, key: int) -> None:
        self._key = key
        self._ordinal = 0

    def bits(self) -> int:
        self._ordinal += 1
        return mix(self._key, self._ordinal)

    def below(self, bound: int) -> int:
        return self.bits() % bound

    def uuid(self) -> Uuid:
        return from_chance(self.bits(), self.bits())
