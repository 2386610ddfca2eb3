"""The settings of a topic's logs, from all the places where they can be set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafsim.protocol.config import topic_value
from kafsim.storage.log_config import LogConfig


def log_config(topic: Mapping[str, str], cluster: Mapping[str, str], broker: Mapping[str, Any]) -> LogConfig:
    """``topic``: its own settings; ``cluster``: the cluster-wide default; ``broker``: this broker's static ones."""

    def value(name: str) -> Any:
        return topic_value(name, topic, cluster, broker)

    small = value("internal.segment.bytes")
    return LogConfig(
        segment_bytes=value("segment.bytes") if small is None else small,
        segment_ms=value("segment.ms"),
        index_interval_bytes=value("index.interval.bytes"),
        retention_ms=value("retention.ms"),
        retention_bytes=value("retention.bytes"),
        max_message_bytes=value("max.message.bytes"),
        cleanup_policy=value("cleanup.policy"),
        min_insync_replicas=value("min.insync.replicas"),
        unclean_leader_election_enable=value("unclean.leader.election.enable"),
        message_timestamp_type=value("message.timestamp.type"),
        message_timestamp_before_max_ms=value("message.timestamp.before.max.ms"),
        message_timestamp_after_max_ms=value("message.timestamp.after.max.ms"),
        compression_type=value("compression.type"),
        min_cleanable_dirty_ratio=value("min.cleanable.dirty.ratio"),
        delete_retention_ms=value("delete.retention.ms"),
        min_compaction_lag_ms=value("min.compaction.lag.ms"),
        max_compaction_lag_ms=value("max.compaction.lag.ms"),
        flush_messages=value("flush.messages"),
        flush_ms=value("flush.ms"),
        producer_id_expiration_ms=broker["producer.id.expiration.ms"],
    )
