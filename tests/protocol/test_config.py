"""Settings: types, bounds and Kafka's words for what it refuses; which value of a topic is in force."""

from __future__ import annotations

import pytest

from kafsim.protocol.config import BROKER, TOPIC, ConfigError, check_topic, topic_value


def test_settings_are_parsed_to_their_types() -> None:
    parsed = BROKER.parse({"auto.create.topics.enable": "FALSE", "num.partitions": " 3 ", "log.retention.ms": -1})
    assert (parsed["auto.create.topics.enable"], parsed["num.partitions"], parsed["log.retention.ms"]) == (False, 3, -1)
    assert parsed["replica.lag.time.max.ms"] == 30_000
    assert TOPIC.parse({"cleanup.policy": "compact, delete"})["cleanup.policy"] == ("compact", "delete")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("min.insync.replicas", "0", "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"),
        ("retention.ms", "x", "Invalid value x for configuration retention.ms: Not a number of type LONG"),
        ("segment.bytes", 2**31, "Not a number of type INT"),
        ("cleanup.policy", "compact,drop", "String must be one of: compact, delete"),
        ("unclean.leader.election.enable", "yes", "Expected value to be either true or false"),
        ("min.cleanable.dirty.ratio", "1.5", "Value must be no more than 1"),
        ("retention", "1", "Unknown topic config name: retention"),
    ],
)
def test_what_kafka_refuses(name: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_topic({name: str(value)}, BROKER.parse({}))


def test_the_nearest_value_wins() -> None:
    broker = BROKER.parse({"log.retention.ms": 300})
    assert topic_value("retention.ms", {"retention.ms": "100"}, {"log.retention.ms": "200"}, broker) == 100
    assert topic_value("retention.ms", {}, {"log.retention.ms": "200"}, broker) == 200
    assert topic_value("retention.ms", {}, {}, broker) == 300
    assert topic_value("retention.ms", {}, {}, BROKER.parse({})) == 604_800_000
    assert topic_value("preallocate", {}, {}, broker) is False
