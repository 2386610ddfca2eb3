"""The rate of a replication throttle, against Apache Kafka's own, and what topics list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kafsim.broker.replication_quota import LEADER_RATE, Rate, ReplicationQuota
from kafsim.protocol.config import TOPIC, ConfigError
from kafsim.protocol.types import TopicPartition

RECORDED = Path(__file__).parents[1] / "data" / "vectors" / "simple_rate.jsonl"


def test_the_rate_is_that_of_kafkas_simple_rate() -> None:
    rate = Rate()
    for line in RECORDED.read_text().splitlines():
        ((what, given),) = json.loads(line).items()
        if what == "new":
            rate = Rate()
        elif what == "record":
            rate.record(*given)
        else:
            assert rate.per_second(given[0]) == pytest.approx(given[1])


def test_what_a_topic_lists() -> None:
    quota = ReplicationQuota(LEADER_RATE)
    quota.take_replicas("t", "0:1, 1:2,2:1", 1)
    assert [quota.throttles(TopicPartition("t", index)) for index in range(3)] == [True, False, True]
    quota.take_replicas("t", "*", 1)
    assert quota.throttles(TopicPartition("t", 9))
    assert not quota.throttles(TopicPartition("other", 0))
    quota.take_replicas("t", "", 1)
    assert not quota.throttled


@pytest.mark.parametrize(
    ("given", "parts"), [("0:1,1:2", ("0:1", "1:2")), ("*", ("*",)), ("", ()), (" 0:1 , 1:2 ", ("0:1", "1:2"))]
)
def test_a_list_of_replicas(given: str, parts: tuple[str, ...]) -> None:
    name = "leader.replication.throttled.replicas"
    assert TOPIC.parse({name: given})[name] == parts


@pytest.mark.parametrize("given", ["0-1", "*,0:1", "0:1:2", "a:1"])
def test_no_list_of_replicas(given: str) -> None:
    with pytest.raises(ConfigError, match=r"must be the literal '\*' or a list of replicas in the following format"):
        TOPIC.parse({"leader.replication.throttled.replicas": given})
