"""Chance as a core is given it: a stream of its own."""

from __future__ import annotations

from typing import Protocol

from kafsim.protocol.uuid import Uuid


class Entropy(Protocol):
    def bits(self) -> int:
        """64 random bits."""
        ...

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound - 1``."""
        ...

    def uuid(self) -> Uuid: ...
