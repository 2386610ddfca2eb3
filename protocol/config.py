"""Kafka's settings: names, types, defaults, bounds, and the words Kafka refuses a wrong one with (``ConfigDef``).

``has_effect`` is False for a setting that is accepted and shown but changes nothing here; the README lists those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from kafsim.protocol.names import did_you_mean

INT, LONG, BOOLEAN, STRING, LIST, DOUBLE, SHORT = "INT", "LONG", "BOOLEAN", "STRING", "LIST", "DOUBLE", "SHORT"
DYNAMIC_TOPIC, DYNAMIC_BROKER, DYNAMIC_DEFAULT_BROKER, STATIC_BROKER, DEFAULT = range(1, 6)
"""Where a setting stands, as Kafka numbers the places (``ConfigSource``)."""
MAX_LONG = 0x7FFF_FFFF_FFFF_FFFF
MAX_INT = 0x7FFF_FFFF
_NUMBER = re.compile(r"[+-]?[0-9]+")
_REPLICA = re.compile(r"[0-9]+:[0-9]+")
_BITS = {INT: 31, LONG: 63, SHORT: 15}


class ConfigError(ValueError):
    """A setting that Kafka would refuse, in Kafka's words."""


@attrs.frozen
class Setting:
    """One configuration key."""

    name: str
    type: str
    default: Any
    least: int | None = None
    most: int | None = None
    one_of: tuple[str, ...] = ()
    has_effect: bool = True
    is_replica_list: bool = False
    """A list of ``partition:broker``, or ``*`` (Kafka: ``ThrottledReplicaListValidator``)."""

    def parse(self, value: object) -> Any:
        """The value in its type; ConfigError for one that does not fit."""
        if value is None:
            return None
        parsed = self._parse(to_text(value).strip())
        self._check(parsed)
        return parsed

    def _parse(self, text: str) -> Any:
        if self.type in _BITS:
            return self._parse_number(text)
        if self.type == BOOLEAN:
            if text.lower() not in ("true", "false"):
                raise ConfigError(self._refusal(text, "Expected value to be either true or false"))
            return text.lower() == "true"
        if self.type == DOUBLE:
            try:
                return float(text)
            except ValueError:
                raise ConfigError(self._refusal(text, f"Not a number of type {self.type}")) from None
        if self.type == LIST:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return text

    def _parse_number(self, text: str) -> int:
        if not _NUMBER.fullmatch(text):
            raise ConfigError(self._refusal(text, f"Not a number of type {self.type}"))
        number = int(text)
        if not -(2 ** _BITS[self.type]) <= number < 2 ** _BITS[self.type]:
            raise ConfigError(self._refusal(text, f"Not a number of type {self.type}"))
        return number

    def _check(self, value: Any) -> None:
        if self.least is not None and value < self.least:
            raise ConfigError(self._refusal(value, f"Value must be at least {self.least}"))
        if self.most is not None and value > self.most:
            raise ConfigError(self._refusal(value, f"Value must be no more than {self.most}"))
        if self.one_of:
            for part in value if isinstance(value, tuple) else (value,):
                if part not in self.one_of:
                    raise ConfigError(self._refusal(part, f"String must be one of: {', '.join(self.one_of)}"))
        if self.is_replica_list and value != ("*",) and not all(_REPLICA.fullmatch(part) for part in value):
            why = f"{self.name} must be the literal '*' or a list of replicas in the following format: "
            why += "[partitionId]:[brokerId],[partitionId]:[brokerId],..."
            raise ConfigError(self._refusal(f"[{', '.join(value)}]", why))

    def _refusal(self, value: object, why: str) -> str:
        return f"Invalid value {value} for configuration {self.name}: {why}"


class Settings:
    """A family of settings, by name."""

    def __init__(self, *settings: Setting) -> None:
        self.by_name = {setting.name: setting for setting in settings}

    def names(self) -> list[str]:
        return list(self.by_name)

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def parse(self, given: Mapping[str, object]) -> dict[str, Any]:
        """Every setting, given or by default; ConfigError names one that is not known or does not fit."""
        for name in given:
            if name not in self.by_name:
                near = did_you_mean(name, self.by_name)
                raise ConfigError(f"Unknown configuration {name!r}" + (f"; {near}" if near else ""))
        return {n: s.parse(given[n]) if n in given else s.default for n, s in self.by_name.items()}


CODECS = ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")
HOUR_MS = 3_600_000
WEEK_MS = 168 * HOUR_MS

TOPIC = Settings(
    Setting("cleanup.policy", LIST, ("delete",), one_of=("compact", "delete")),
    Setting("compression.gzip.level", INT, -1, has_effect=False),
    Setting("compression.lz4.level", INT, 9, has_effect=False),
    Setting(
        "compression.type",
        STRING,
        "producer",
        one_of=CODECS,
    ),
    Setting("compression.zstd.level", INT, 3, has_effect=False),
    Setting("delete.retention.ms", LONG, 24 * HOUR_MS, least=0),
    Setting("file.delete.delay.ms", LONG, 60_000, least=0, has_effect=False),
    Setting("flush.messages", LONG, MAX_LONG, least=1),
    Setting("flush.ms", LONG, MAX_LONG, least=0),
    Setting("follower.replication.throttled.replicas", LIST, (), is_replica_list=True),
    Setting("index.interval.bytes", INT, 4_096, least=0),
    Setting("internal.segment.bytes", INT, None),
    Setting("leader.replication.throttled.replicas", LIST, (), is_replica_list=True),
    Setting("max.compaction.lag.ms", LONG, MAX_LONG, least=1),
    Setting("max.message.bytes", INT, 1_048_588, least=0),
    Setting("message.timestamp.after.max.ms", LONG, HOUR_MS, least=0),
    Setting("message.timestamp.before.max.ms", LONG, MAX_LONG, least=0),
    Setting("message.timestamp.type", STRING, "CreateTime", one_of=("CreateTime", "LogAppendTime")),
    Setting("min.cleanable.dirty.ratio", DOUBLE, 0.5, least=0, most=1),
    Setting("min.compaction.lag.ms", LONG, 0, least=0),
    Setting("min.insync.replicas", INT, 1, least=1),
    Setting("preallocate", BOOLEAN, False, has_effect=False),
    Setting("retention.bytes", LONG, -1),
    Setting("retention.ms", LONG, WEEK_MS, least=-1),
    Setting("segment.bytes", INT, 1_073_741_824, least=1_048_576),
    Setting("segment.index.bytes", INT, 10_485_760, least=4, has_effect=False),
    Setting("segment.jitter.ms", LONG, 0, least=0, has_effect=False),
    Setting("segment.ms", LONG, WEEK_MS, least=1),
    Setting("unclean.leader.election.enable", BOOLEAN, False),
)

REBALANCE_PROTOCOLS = ("classic", "consumer", "streams")
MIGRATION_POLICIES = ("disabled", "downgrade", "upgrade", "bidirectional")

BROKER = Settings(
    Setting("auto.create.topics.enable", BOOLEAN, True),
    Setting("auto.leader.rebalance.enable", BOOLEAN, True),
    Setting("broker.heartbeat.interval.ms", INT, 2_000, least=1),
    Setting("broker.session.timeout.ms", INT, 9_000, least=1),
    Setting("compression.type", STRING, "producer", one_of=CODECS),
    Setting("controller.quorum.append.linger.ms", INT, 25, least=0),
    Setting("controller.quorum.auto.join.enable", BOOLEAN, False),
    Setting("controller.quorum.election.backoff.max.ms", INT, 1_000, least=0),
    Setting("controller.quorum.election.timeout.ms", INT, 1_000, least=0),
    Setting("controller.quorum.fetch.max.bytes", INT, 1_048_576, least=1),
    Setting("controller.quorum.fetch.snapshot.max.bytes", INT, 1_048_576, least=1),
    Setting("controller.quorum.fetch.timeout.ms", INT, 2_000, least=0),
    Setting("controller.quorum.request.timeout.ms", INT, 2_000, least=0),
    Setting("controller.quorum.retry.backoff.ms", INT, 20, least=0),
    Setting("default.replication.factor", INT, 1),
    Setting("delete.topic.enable", BOOLEAN, True),
    Setting("fetch.max.bytes", INT, 57_671_680, least=1_024),
    Setting("initial.broker.registration.timeout.ms", INT, 60_000),
    Setting("group.consumer.assignment.interval.ms", INT, 1_000, least=0),
    Setting("group.consumer.assignors", LIST, ("uniform", "range"), one_of=("uniform", "range")),
    Setting("group.consumer.heartbeat.interval.ms", INT, 5_000, least=1),
    Setting("group.consumer.max.assignment.interval.ms", INT, 15_000, least=0),
    Setting("group.consumer.max.heartbeat.interval.ms", INT, 15_000, least=1),
    Setting("group.consumer.max.session.timeout.ms", INT, 60_000, least=1),
    Setting("group.consumer.max.size", INT, 2_147_483_647, least=1),
    Setting("group.consumer.migration.policy", STRING, "bidirectional"),
    Setting("group.consumer.min.assignment.interval.ms", INT, 0, least=0),
    Setting("group.consumer.min.heartbeat.interval.ms", INT, 5_000, least=1),
    Setting("group.consumer.min.session.timeout.ms", INT, 45_000, least=1),
    Setting("group.consumer.regex.refresh.interval.ms", INT, 600_000, least=10_000),
    Setting("group.consumer.session.timeout.ms", INT, 45_000, least=1),
    Setting("group.coordinator.rebalance.protocols", LIST, REBALANCE_PROTOCOLS, one_of=REBALANCE_PROTOCOLS),
    Setting("group.initial.rebalance.delay.ms", INT, 3_000),
    Setting("group.max.session.timeout.ms", INT, 1_800_000),
    Setting("group.max.size", INT, 2_147_483_647, least=1),
    Setting("group.min.session.timeout.ms", INT, 6_000),
    Setting("leader.imbalance.check.interval.seconds", LONG, 300, least=1),
    Setting("log.dir.failure.timeout.ms", LONG, 30_000, least=1),
    Setting("log.dirs", LIST, ("/tmp/kafka-logs",)),  # noqa: S108  # Kafka's default; nothing is written there
    Setting("log.cleaner.backoff.ms", LONG, 15_000, least=0),
    Setting("log.cleaner.dedupe.buffer.size", LONG, 134_217_728),
    Setting("log.cleaner.delete.retention.ms", LONG, 24 * HOUR_MS, least=0),
    Setting("log.cleaner.io.buffer.load.factor", DOUBLE, 0.9),
    Setting("log.cleaner.max.compaction.lag.ms", LONG, MAX_LONG, least=1),
    Setting("log.cleaner.min.cleanable.ratio", DOUBLE, 0.5, least=0, most=1),
    Setting("log.cleaner.min.compaction.lag.ms", LONG, 0, least=0),
    Setting("log.cleanup.policy", LIST, ("delete",), one_of=("compact", "delete")),
    Setting("log.flush.interval.messages", LONG, MAX_LONG, least=1),
    Setting("log.flush.interval.ms", LONG, None),
    Setting("log.flush.offset.checkpoint.interval.ms", INT, 60_000, least=0),
    Setting("log.flush.scheduler.interval.ms", LONG, MAX_LONG),
    Setting("log.flush.start.offset.checkpoint.interval.ms", INT, 60_000, least=0),
    Setting("log.index.interval.bytes", INT, 4_096, least=0),
    Setting("log.initial.task.delay.ms", LONG, 30_000, least=0),
    Setting("log.message.timestamp.after.max.ms", LONG, HOUR_MS, least=0),
    Setting("log.message.timestamp.before.max.ms", LONG, MAX_LONG, least=0),
    Setting("log.message.timestamp.type", STRING, "CreateTime", one_of=("CreateTime", "LogAppendTime")),
    Setting("log.retention.bytes", LONG, -1),
    Setting("log.retention.check.interval.ms", LONG, 300_000, least=1),
    Setting("log.retention.ms", LONG, WEEK_MS),
    Setting("log.roll.ms", LONG, WEEK_MS),
    Setting("log.segment.delete.delay.ms", LONG, 60_000, least=0, has_effect=False),
    Setting("log.segment.bytes", INT, 1_073_741_824, least=1_048_576),
    Setting("max.incremental.fetch.session.cache.slots", INT, 1_000, least=0),
    Setting("message.max.bytes", INT, 1_048_588, least=0),
    Setting("metadata.log.max.record.bytes.between.snapshots", LONG, 20_971_520, least=1),
    Setting("metadata.log.max.snapshot.interval.ms", LONG, HOUR_MS, least=0),
    Setting("metadata.log.segment.bytes", INT, 1_073_741_824, least=8_388_608),
    Setting("metadata.log.segment.ms", LONG, WEEK_MS),
    Setting("metadata.max.idle.interval.ms", INT, 500, least=0),
    Setting("metadata.max.retention.bytes", LONG, 104_857_600),
    Setting("metadata.max.retention.ms", LONG, WEEK_MS),
    Setting("min.insync.replicas", INT, 1, least=1),
    Setting("offset.metadata.max.bytes", INT, 4_096),
    Setting("offsets.commit.timeout.ms", INT, 5_000, least=1),
    Setting("offsets.retention.check.interval.ms", LONG, 600_000, least=1),
    Setting("offsets.retention.minutes", INT, 10_080, least=1),
    Setting("offsets.topic.compression.codec", INT, 0),
    Setting("offsets.topic.num.partitions", INT, 50, least=1),
    Setting("offsets.topic.replication.factor", INT, 3, least=1),
    Setting("offsets.topic.segment.bytes", INT, 104_857_600, least=1),
    Setting("num.partitions", INT, 1, least=1),
    Setting("producer.id.expiration.ms", INT, 86_400_000, least=1),
    Setting("replica.fetch.backoff.ms", INT, 1_000, least=0),
    Setting("replica.fetch.max.bytes", INT, 1_048_576, least=0),
    Setting("replica.fetch.min.bytes", INT, 1),
    Setting("replica.fetch.response.max.bytes", INT, 10_485_760, least=0),
    Setting("replica.fetch.wait.max.ms", INT, 500),
    Setting("replica.high.watermark.checkpoint.interval.ms", LONG, 5_000),
    Setting("replica.lag.time.max.ms", LONG, 30_000),
    Setting(
        "replica.selector.class", STRING, "", one_of=("", "org.apache.kafka.common.replica.RackAwareReplicaSelector")
    ),
    Setting("request.timeout.ms", INT, 30_000),
    Setting("unclean.leader.election.enable", BOOLEAN, False),
    Setting("unclean.leader.election.interval.ms", LONG, 300_000, least=1),
)

BROKER_DEFAULT_OF_TOPIC = {
    "cleanup.policy": "log.cleanup.policy",
    "compression.type": "compression.type",
    "delete.retention.ms": "log.cleaner.delete.retention.ms",
    "flush.messages": "log.flush.interval.messages",
    "flush.ms": "log.flush.interval.ms",
    "max.compaction.lag.ms": "log.cleaner.max.compaction.lag.ms",
    "min.cleanable.dirty.ratio": "log.cleaner.min.cleanable.ratio",
    "min.compaction.lag.ms": "log.cleaner.min.compaction.lag.ms",
    "index.interval.bytes": "log.index.interval.bytes",
    "max.message.bytes": "message.max.bytes",
    "message.timestamp.after.max.ms": "log.message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms": "log.message.timestamp.before.max.ms",
    "message.timestamp.type": "log.message.timestamp.type",
    "min.insync.replicas": "min.insync.replicas",
    "retention.bytes": "log.retention.bytes",
    "retention.ms": "log.retention.ms",
    "segment.bytes": "log.segment.bytes",
    "segment.ms": "log.roll.ms",
    "unclean.leader.election.enable": "unclean.leader.election.enable",
}
"""Which broker setting is the default of a topic setting (Kafka: ``ServerTopicConfigSynonyms``)."""


def broker_settings(given: Mapping[str, object]) -> dict[str, Any]:
    """Parsed, and checked against each other; ConfigError, in Kafka's words where ``KafkaConfig`` refuses it too."""
    settings = BROKER.parse(given)
    if settings["replica.fetch.wait.max.ms"] > settings["replica.lag.time.max.ms"]:
        raise ConfigError(
            "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent "
            "frequent changes in ISR"
        )
    if settings["broker.heartbeat.interval.ms"] >= settings["broker.session.timeout.ms"]:
        raise ConfigError(
            "broker.session.timeout.ms must be larger than broker.heartbeat.interval.ms, or no broker stays unfenced"
        )
    _check_groups(settings)
    return settings


def _check_groups(settings: dict[str, Any]) -> None:
    """Kafka: ``GroupCoordinatorConfig``."""
    for what in ("session.timeout", "heartbeat.interval", "assignment.interval"):
        name, least, most = (f"group.consumer.{bound}{what}.ms" for bound in ("", "min.", "max."))
        for small, large, text in (
            (least, most, f"{most} must be greater than or equal to {least}"),
            (least, name, f"{name} must be greater than or equal to {least}"),
            (name, most, f"{name} must be less than or equal to {most}"),
        ):
            if settings[small] > settings[large]:
                raise ConfigError(text)
    if settings["group.consumer.heartbeat.interval.ms"] >= settings["group.consumer.session.timeout.ms"]:
        raise ConfigError("group.consumer.heartbeat.interval.ms must be less than group.consumer.session.timeout.ms")
    if "classic" not in settings["group.coordinator.rebalance.protocols"]:
        raise ConfigError("Disabling the 'classic' protocol is not supported.")
    policy = settings["group.consumer.migration.policy"].lower()
    if policy not in MIGRATION_POLICIES:
        words = ", ".join(MIGRATION_POLICIES)
        raise ConfigError(
            f"Invalid value {policy} for configuration group.consumer.migration.policy: String must be one of (case "
            f"insensitive): {words}"
        )
    settings["group.consumer.migration.policy"] = policy


def to_text(value: object) -> str:
    """A value as Kafka writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def topic_value(name: str, topic: Mapping[str, str], cluster: Mapping[str, str], broker: Mapping[str, Any]) -> Any:
    """The setting of a topic in force: its own, the cluster-wide default, the broker's static one, Kafka's default."""
    setting = TOPIC.by_name[name]
    if name in topic:
        return setting.parse(topic[name])
    synonym = BROKER_DEFAULT_OF_TOPIC.get(name)
    if synonym is None:
        return setting.default
    value = BROKER.by_name[synonym].parse(cluster[synonym]) if synonym in cluster else broker[synonym]
    if name == "flush.ms" and value is None:
        return broker["log.flush.scheduler.interval.ms"]
    if name == "retention.ms":
        return max(value, -1)  # Kafka: ``logRetentionTimeMillis``
    return setting.parse(value)


def check_topic(given: Mapping[str, str | None], broker: Mapping[str, Any]) -> None:
    """ConfigError in Kafka's words for a topic's settings that the controller refuses; names that nobody knows first.

    ``broker``: the static settings, which are the topic's defaults.
    """
    for name in given:
        if name not in TOPIC:
            raise ConfigError(f"Unknown topic config name: {name}")
    own = {name: TOPIC.by_name[name].parse(given[name]) for name in TOPIC.by_name if name in given}
    least = own.get("min.compaction.lag.ms", broker["log.cleaner.min.compaction.lag.ms"])
    most = own.get("max.compaction.lag.ms", broker["log.cleaner.max.compaction.lag.ms"])
    if least > most:
        raise ConfigError(
            f"conflict topic config setting min.compaction.lag.ms ({least}) > max.compaction.lag.ms ({most})"
        )
