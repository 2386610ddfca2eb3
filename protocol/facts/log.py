"""Facts about the log of one replica. ``log`` is the name of its directory, ``orders-0``."""

from __future__ import annotations

from kafsim.protocol.facts.fact import DECISION, STATE, Because, fact, rule

DUPLICATE = rule(
    "log.duplicate",
    "producer {producer_id} epoch {epoch} wrote sequences {first} to {last} already, at offset {offset}",
)
REFUSED = rule("log.refused", "{message}")
TORN = rule("log.torn", "{cut_bytes} bytes at the end of segment {segment} are no whole batch with the right CRC")
DIRTY = rule(
    "compaction.dirty",
    "the dirty part, from offset {first} on, is {ratio} of the log below the active segment; "
    "min.cleanable.dirty.ratio={least}",
)
RETENTION_TIME = rule(
    "log.retention-time", "the newest record of the segment is {age_ms} ms old, retention.ms={retention_ms}"
)
RETENTION_SIZE = rule(
    "log.retention-size",
    "the log has {size} bytes, without the segment still {rest}; retention.bytes={retention_bytes}",
)
RETENTION_START = rule("log.retention-start", "all its records are below the log start offset {log_start_offset}")


@fact(STATE)
class LogLoaded:
    """What a process found on its disk; ``batches`` are (base offset, last offset, epoch, CRC)."""

    log: str
    log_start_offset: int
    log_end_offset: int
    high_watermark: int
    clean: bool
    batches: tuple[tuple[int, int, int, int], ...]


@fact(STATE)
class RecordsAppended:
    """One batch; epoch and CRC are its identity wherever it is copied."""

    log: str
    base_offset: int
    last_offset: int
    epoch: int
    crc: int
    producer_id: int
    producer_epoch: int
    base_sequence: int


@fact(DECISION)
class DuplicateFound:
    """A batch that was written before is answered again and not appended."""

    log: str
    base_offset: int
    because: Because


@fact(DECISION)
class AppendRefused:
    log: str
    error: str
    because: Because


@fact(STATE)
class LogTruncated:
    """The log now ends at ``to``."""

    log: str
    to: int
    was: int


@fact(STATE)
class LogReplaced:
    """Everything is gone; the log begins and ends at ``at``."""

    log: str
    at: int
    was: int


@fact(STATE)
class LogStartAdvanced:
    log: str
    to: int


@fact(STATE)
class SegmentRolled:
    log: str
    base_offset: int


@fact(DECISION)
class SegmentDeleted:
    log: str
    base_offset: int
    because: Because


@fact(DECISION)
class TornTailCut:
    log: str
    to: int
    because: Because


@fact(STATE)
class LeaderEpochStarted:
    """The first offset of a leader epoch in this log."""

    log: str
    epoch: int
    start_offset: int


@fact(STATE)
class LogCompacted:
    """Below ``to`` only the last record of each key is left; ``before`` and ``after`` are the bytes of the log."""

    log: str
    to: int
    before: int
    after: int
    because: Because
