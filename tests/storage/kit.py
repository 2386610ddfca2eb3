"""A log on a disk of its own, and batches to put into it."""

from __future__ import annotations

from kafsim.cluster.disk import SimDisk
from kafsim.protocol.effects import FLUSH, HAPPENED, Outbox
from kafsim.protocol.records.record import encode_batch
from kafsim.protocol.safeguards import ALL_ON
from kafsim.protocol.types import Micros
from kafsim.storage import recovery
from kafsim.storage.log import Log
from kafsim.storage.log_config import LogConfig

NOW = 1_767_225_600_000


def batch(*values: str, timestamp: int = NOW, **fields: int) -> bytes:
    return encode_batch(((timestamp, None, value.encode()) for value in values), **fields)


class Machine:
    """A disk that outlives the logs opened on it."""

    def __init__(self, key: int = 0, **config: object) -> None:
        self.time = 0
        self.disk = SimDisk(lambda: Micros(self.time), key)
        self.config = LogConfig(**config)
        self.safeguards = ALL_ON
        self.outbox = Outbox()

    def open(self, name: str = "t-0", *, clean: bool = False, **checkpoints: int) -> Log:
        self.outbox = Outbox()
        self.outbox.heard = 3
        given = (name, self.disk, self.outbox, self.config, self.safeguards)
        return recovery.load(*given, now_ms=NOW, clean=clean, **checkpoints)

    def flush_all(self) -> None:
        """Carry out the flushes that were asked for."""
        for effect in self.outbox.effects:
            if effect[0] == FLUSH:
                self.disk.flush(effect[1])[1]()
        self.outbox.effects.clear()

    def facts(self, *classes: type) -> list:
        stated = [effect[1] for effect in self.outbox.effects if effect[0] == HAPPENED]
        return [fact for fact in stated if not classes or isinstance(fact, classes)]


def contents(log: Log) -> list[tuple[int, int]]:
    """(offset, epoch) of every batch."""
    return [(p.base_offset, p.leader_epoch) for segment in log.segments for p in segment.batches]
