"""auto.offset.reset=by_duration (KIP-1106)."""

from __future__ import annotations

import pytest

from kafsim import simulate
from kafsim.cluster.cluster import Cluster
from kafsim.protocol.client_config import consumer_settings, reset_duration_ms
from kafsim.protocol.config import ConfigError


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("P1DT2H3M4.5S", 93_784_500), ("PT0S", 0), ("pt1h", 3_600_000), ("-PT-1M", 60_000), ("P2D", 172_800_000)],
)
def test_durations_are_those_of_java(text: str, milliseconds: int) -> None:
    assert reset_duration_ms(f"by_duration:{text}") == milliseconds


@pytest.mark.parametrize(
    "policy", ["by_duration:", "by_duration:P1W", "by_duration:PT", "by_duration:-PT1S", "Latest", ""]
)
def test_what_is_no_policy(policy: str) -> None:
    with pytest.raises(ConfigError, match="The value must be either 'earliest', 'latest', 'none' or of the format"):
        consumer_settings({"auto.offset.reset": policy})


def test_a_consumer_begins_with_what_is_not_older() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=1)
        producer = cluster.producer(linger_ms=0)
        for value in "abc":
            await producer.send("t", value)
            await cluster.advance(60)
        reader = cluster.consumer(auto_offset_reset="by_duration:PT2M30S")
        await reader.assign(["t-0"])
        assert (await reader.getone()).value == b"b"

    simulate(story, brokers=1)


def test_without_a_record_of_that_time_it_asks_again_after_request_timeout_ms() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=1)
        producer = cluster.producer(linger_ms=0)
        await producer.send("t", "old")
        await cluster.advance(600)
        reader = cluster.consumer(auto_offset_reset="by_duration:PT1M", request_timeout_ms=5_000)
        await reader.assign(["t-0"])
        assert await reader.getmany(timeout_ms=1_000) == ()
        await producer.send("t", "new")
        assert await reader.getmany(timeout_ms=2_000) == ()
        assert [r.value for r in await reader.getmany(timeout_ms=4_000)] == [b"new"]

    simulate(story, brokers=1, settle=False)
