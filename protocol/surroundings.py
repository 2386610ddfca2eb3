"""All that a core is given of the world when it is made."""

from __future__ import annotations

import attrs

from kafsim.protocol.effects import Outbox
from kafsim.protocol.entropy import Entropy
from kafsim.protocol.files import Directory
from kafsim.protocol.safeguards import Safeguards
from kafsim.protocol.types import Address, Micros

EPOCH_MS = 1_767_225_600_000
"""Wall time at virtual time 0: 2026-01-01T00:00:00Z."""


@attrs.frozen(kw_only=True)
class Surroundings:
    address: Address
    incarnation: int
    """1 for the first process of this node, one more with each restart."""
    outbox: Outbox
    files: Directory
    """The first of ``log.dirs``, with the metadata log."""
    entropy: Entropy
    safeguards: Safeguards
    more_files: tuple[Directory, ...] = ()
    """The other ones of ``log.dirs``."""
    skew_ms: int = 0
    """How far this node's wall clock is ahead of the true one."""

    def wall_ms(self, now: Micros) -> int:
        """Wall time in milliseconds, for timestamps only; timers run on virtual time."""
        return EPOCH_MS + self.skew_ms + now // 1_000
