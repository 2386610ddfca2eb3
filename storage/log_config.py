"""The settings of one log, in Kafka's names with underscores (Kafka: ``LogConfig``)."""

from __future__ import annotations

import attrs

FOREVER = 0x7FFF_FFFF_FFFF_FFFF
HOUR_MS = 3_600_000


@attrs.frozen(kw_only=True)
class LogConfig:
    """Times in milliseconds, sizes in bytes; -1 is no limit."""

    segment_bytes: int = 1_073_741_824
    segment_ms: int = 168 * HOUR_MS
    segment_jitter_ms: int = 0
    index_interval_bytes: int = 4_096
    retention_ms: int = 168 * HOUR_MS
    retention_bytes: int = -1
    max_message_bytes: int = 1_048_588
    cleanup_policy: tuple[str, ...] = ("delete",)
    min_insync_replicas: int = 1
    unclean_leader_election_enable: bool = False
    message_timestamp_type: str = "CreateTime"
    message_timestamp_before_max_ms: int = FOREVER
    message_timestamp_after_max_ms: int = HOUR_MS
    compression_type: str = "producer"
    min_cleanable_dirty_ratio: float = 0.5
    delete_retention_ms: int = 24 * HOUR_MS
    min_compaction_lag_ms: int = 0
    max_compaction_lag_ms: int = FOREVER
    flush_messages: int = FOREVER
    flush_ms: int = FOREVER
    producer_id_expiration_ms: int = 24 * HOUR_MS

    @property
    def compacts(self) -> bool:
        return "compact" in self.cleanup_policy

    @property
    def deletes(self) -> bool:
        return "delete" in self.cleanup_policy


DEFAULT = LogConfig()
