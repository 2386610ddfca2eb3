"""The settings of producers, consumers and admin clients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kafsim.protocol.config import BOOLEAN, INT, LIST, LONG, STRING, ConfigError, Setting, Settings
from kafsim.protocol.names import illegal
from kafsim.protocol.records import compression

_COMMON = (
    Setting("client.id", STRING, ""),
    Setting("metadata.max.age.ms", LONG, 300_000, least=0),
    Setting("metadata.recovery.rebootstrap.trigger.ms", LONG, 300_000, least=0),
    Setting("metadata.recovery.strategy", STRING, "rebootstrap", one_of=("none", "rebootstrap")),
    Setting("reconnect.backoff.max.ms", LONG, 1_000, least=0),
    Setting("reconnect.backoff.ms", LONG, 50, least=0),
    Setting("request.timeout.ms", INT, 30_000, least=0),
    Setting("retry.backoff.max.ms", LONG, 1_000, least=0),
    Setting("retry.backoff.ms", LONG, 100, least=0),
)

PRODUCER = Settings(
    *_COMMON,
    Setting("acks", STRING, "all", one_of=("all", "-1", "0", "1")),
    Setting("batch.size", INT, 16_384, least=0),
    Setting("buffer.memory", LONG, 33_554_432, least=0),
    Setting("compression.type", STRING, "none", one_of=("none", "gzip", "snappy", "lz4", "zstd")),
    Setting("delivery.timeout.ms", INT, 120_000, least=0),
    Setting("enable.idempotence", BOOLEAN, True),
    Setting("linger.ms", LONG, 5, least=0),
    Setting("max.block.ms", LONG, 60_000, least=0),
    Setting("max.in.flight.requests.per.connection", INT, 5, least=1),
    Setting("max.request.size", INT, 1_048_576, least=0),
    Setting("metadata.max.idle.ms", LONG, 300_000, least=5_000),
    Setting("partitioner.adaptive.partitioning.enable", BOOLEAN, True),
    Setting("partitioner.availability.timeout.ms", LONG, 0, least=0),
    Setting("partitioner.ignore.keys", BOOLEAN, False),
    Setting("retries", INT, 2_147_483_647, least=0),
)

CONSUMER = Settings(
    *_COMMON,
    Setting("allow.auto.create.topics", BOOLEAN, True),
    Setting("auto.commit.interval.ms", INT, 5_000, least=0),
    Setting("client.rack", STRING, ""),
    Setting("enable.auto.commit", BOOLEAN, True),
    Setting("exclude.internal.topics", BOOLEAN, True),
    Setting("group.id", STRING, None),
    Setting("group.instance.id", STRING, None),
    Setting("group.protocol", STRING, "classic"),
    Setting("group.remote.assignor", STRING, None),
    Setting("heartbeat.interval.ms", INT, 3_000),
    Setting("max.poll.interval.ms", INT, 300_000, least=1),
    Setting("partition.assignment.strategy", LIST, ("range", "cooperative-sticky")),
    Setting("session.timeout.ms", INT, 45_000),
    Setting("auto.offset.reset", STRING, "latest"),
    Setting("check.crcs", BOOLEAN, True),
    Setting("default.api.timeout.ms", INT, 60_000, least=0),
    Setting("fetch.max.bytes", INT, 52_428_800, least=0),
    Setting("fetch.max.wait.ms", INT, 500, least=0),
    Setting("fetch.min.bytes", INT, 1, least=0),
    Setting("isolation.level", STRING, "read_uncommitted", one_of=("read_committed", "read_uncommitted")),
    Setting("max.partition.fetch.bytes", INT, 1_048_576, least=0),
    Setting("max.poll.records", INT, 500, least=1),
)

ADMIN = Settings(*_COMMON, Setting("default.api.timeout.ms", INT, 60_000, least=0))


_DURATION = re.compile(
    r"(?P<sign>[+-]?)P(?=.)(?:(?P<days>[+-]?\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>[+-]?\d+)H)?(?:(?P<minutes>[+-]?\d+)M)?(?:(?P<seconds>[+-]?\d+(?:\.\d{0,9})?)S)?)?",
    re.IGNORECASE,
)
"""As ``java.time.Duration`` reads it."""
BY_DURATION = "by_duration:"


def reset_duration_ms(policy: str) -> int | None:
    """How far back ``auto.offset.reset=by_duration:PT1H`` goes; None for any other policy, or one that cannot be."""
    found = _DURATION.fullmatch(policy.removeprefix(BY_DURATION)) if policy.startswith(BY_DURATION) else None
    if found is None:
        return None
    units = (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1_000))
    total = sum(float(found[name] or 0) * unit for name, unit in units)
    milliseconds = int(-total if found["sign"] == "-" else total)
    return milliseconds if milliseconds >= 0 else None


def consumer_settings(given: Mapping[str, object]) -> dict[str, Any]:
    """Parsed; ConfigError in Kafka's words."""
    settings = CONSUMER.parse(given)
    policy = settings["auto.offset.reset"]
    if policy not in ("latest", "earliest", "none") and reset_duration_ms(policy) is None:
        raise ConfigError(
            f"Invalid value {policy} for configuration auto.offset.reset: Invalid value `{policy}` for configuration "
            "auto.offset.reset. The value must be either 'earliest', 'latest', 'none' or of the format "
            "'by_duration:<PnDTnHnMn.nS.>'."
        )
    _check_group(settings, given)
    return settings


ASSIGNORS = {
    "org.apache.kafka.clients.consumer.RangeAssignor": "range",
    "org.apache.kafka.clients.consumer.RoundRobinAssignor": "roundrobin",
    "org.apache.kafka.clients.consumer.StickyAssignor": "sticky",
    "org.apache.kafka.clients.consumer.CooperativeStickyAssignor": "cooperative-sticky",
}
"""Kafka's names of the classes, and what the assignors call themselves."""


def _check_group(settings: dict[str, Any], given: Mapping[str, object]) -> None:
    if settings["group.id"] is not None and not settings["group.id"].strip():
        raise ConfigError("The configured group.id should not be an empty string or whitespace.")
    if settings["group.instance.id"] is not None:
        _check_instance(settings["group.instance.id"])
    _check_protocol(settings, given)
    if settings["group.id"] is None:
        if settings["enable.auto.commit"] and "enable.auto.commit" in given:
            raise ConfigError("enable.auto.commit cannot be set to true when default group id (null) is used.")
        settings["enable.auto.commit"] = False
    if settings["group.protocol"] == "consumer":
        return
    if settings["heartbeat.interval.ms"] >= settings["session.timeout.ms"]:
        raise ConfigError("Heartbeat must be set lower than the session timeout")
    names = [ASSIGNORS.get(name, name) for name in settings["partition.assignment.strategy"]]
    unknown = next((name for name in names if name not in ASSIGNORS.values()), None)
    if unknown is not None:
        raise ConfigError(f"there is no assignor {unknown!r}; there are {', '.join(ASSIGNORS.values())}")
    settings["partition.assignment.strategy"] = names


def _check_instance(id_: str) -> None:
    """Kafka: ``JoinGroupRequest.validateGroupInstanceId``."""
    if not id_:
        raise ConfigError("Invalid value  for configuration group.instance.id: String must be non-empty")
    why = illegal(id_)
    if why is not None:
        raise ConfigError(f"Group instance id is invalid: {why}")


def _check_protocol(settings: dict[str, Any], given: Mapping[str, object]) -> None:
    protocol = settings["group.protocol"] = settings["group.protocol"].lower()
    if protocol not in FOREIGN:
        text = f"Invalid value {protocol} for configuration group.protocol: String must be one of (case insensitive): "
        raise ConfigError(text + "CONSUMER, CLASSIC")
    foreign = [name for name in FOREIGN[protocol] if given.get(name) not in (None, "")]
    if foreign:
        raise ConfigError(f"{', '.join(foreign)} cannot be set when group.protocol={protocol.upper()}")


FOREIGN = {
    "consumer": ("partition.assignment.strategy", "heartbeat.interval.ms", "session.timeout.ms"),
    "classic": ("group.remote.assignor",),
}
"""Settings that only the other protocol has."""


def producer_settings(given: Mapping[str, object]) -> dict[str, Any]:
    """Parsed, with what Kafka makes of settings that depend on each other; ConfigError in Kafka's words."""
    settings = PRODUCER.parse(given)
    missing = compression.what_it_needs(settings["compression.type"])
    if missing is not None:
        raise ConfigError(f"compression.type={settings['compression.type']} needs {missing}")
    settings["acks"] = {"all": -1, "-1": -1, "0": 0, "1": 1}[settings["acks"]]
    explicit = "enable.idempotence" in given
    if settings["enable.idempotence"]:
        _check_idempotence(settings, explicit=explicit)
    least = settings["linger.ms"] + settings["request.timeout.ms"]
    if settings["delivery.timeout.ms"] < least:
        if "delivery.timeout.ms" in given:
            raise ConfigError("delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms")
        settings["delivery.timeout.ms"] = least
    return settings


def _check_idempotence(settings: dict[str, Any], *, explicit: bool) -> None:
    """Explicitly asked for it is an error where it cannot be; by default it is silently off."""
    reason = None
    if settings["retries"] == 0:
        reason = "Must set retries to non-zero when using the idempotent producer."
    elif settings["acks"] != -1:
        reason = (
            "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence."
        )
    if reason is not None and explicit:
        raise ConfigError(reason)
    in_flight = settings["max.in.flight.requests.per.connection"]
    if in_flight > 5:
        raise ConfigError(
            "To use the idempotent producer, max.in.flight.requests.per.connection must be set to at most 5. "
            f"Current value is {in_flight}."
        )
    settings["enable.idempotence"] = reason is None
