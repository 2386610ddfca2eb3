"""DescribeConfigs: the nearest of all the places where a setting can stand, and where that is."""

from __future__ import annotations

import pytest

from kafsim import simulate
from kafsim.broker.apis.describe_configs import DEFAULT, DYNAMIC_DEFAULT_BROKER, DYNAMIC_TOPIC, STATIC_BROKER
from kafsim.clients.errors import KafkaError, KafkaTimeoutError
from kafsim.cluster.cluster import Cluster


def _run(story, **configs: object) -> None:
    assert simulate(story, configs={name.replace("_", "."): value for name, value in configs.items()}).ok


def test_a_topic_shows_the_nearest_value_and_its_synonyms() -> None:
    async def story(cluster: Cluster) -> None:
        admin = cluster.admin
        await admin.create_topic("t", partitions=1)

        async def seen() -> tuple[str | None, int, list[tuple[str, str | None, int]]]:
            entry = (await admin.describe_configs("topic", "t"))["retention.ms"]
            return entry.value, entry.config_source, [(s.name, s.value, s.source) for s in entry.synonyms]

        default = ("log.retention.ms", "604800000", DEFAULT)
        static = ("log.retention.ms", "90000", STATIC_BROKER)
        assert await seen() == ("90000", STATIC_BROKER, [static, default])
        await admin.alter_configs("broker", "", set={"log.retention.ms": 70_000})
        await cluster.advance(1)
        cluster_wide = ("log.retention.ms", "70000", DYNAMIC_DEFAULT_BROKER)
        assert await seen() == ("70000", DYNAMIC_DEFAULT_BROKER, [cluster_wide, static, default])
        await admin.alter_configs("topic", "t", set={"retention.ms": 60_000})
        await cluster.advance(1)
        own = ("retention.ms", "60000", DYNAMIC_TOPIC)
        assert await seen() == ("60000", DYNAMIC_TOPIC, [own, cluster_wide, static, default])

    _run(story, log_retention_ms=90_000)


def test_a_broker_shows_itself_and_the_cluster_wide_default() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.alter_configs("broker", "", set={"log.retention.ms": 70_000})
        await cluster.advance(1)
        everybody = await cluster.admin.describe_configs("broker", "")
        assert {name: entry.value for name, entry in everybody.items()} == {
            "log.retention.ms": "70000",
            "min.insync.replicas": "2",  # written by the first controller, since eligible leader replicas are on
        }
        mine = await cluster.admin.describe_configs("broker", "2")
        assert (mine["num.partitions"].value, mine["num.partitions"].config_source) == ("1", DEFAULT)
        assert (mine["min.insync.replicas"].value, mine["min.insync.replicas"].config_source) == (
            "2",
            DYNAMIC_DEFAULT_BROKER,
        )
        body = {"resources": [{"resourceType": 4, "resourceName": "1", "configurationKeys": ["num.partitions"]}]}
        answer = await cluster.admin.raw(2, "DESCRIBE_CONFIGS", 4, body)
        assert answer["results"][0]["errorCode"] == 42
        answer = await cluster.admin.raw(1, "DESCRIBE_CONFIGS", 4, body)
        assert [entry["name"] for entry in answer["results"][0]["configs"]] == ["num.partitions"]

    _run(story, min_insync_replicas=2)


@pytest.mark.parametrize(("name", "error"), [("nope", "UNKNOWN_TOPIC_OR_PARTITION")])
def test_what_cannot_be_described(name: str, error: str) -> None:
    async def story(cluster: Cluster) -> None:
        with pytest.raises(KafkaError, match=error):
            await cluster.admin.describe_configs("topic", name)

    _run(story)


def test_a_broker_that_does_not_exist_is_waited_for_in_vain() -> None:
    async def story(cluster: Cluster) -> None:
        with pytest.raises(KafkaTimeoutError, match="Timed out waiting for a node assignment"):
            await cluster.admin.describe_configs("broker", "9")

    _run(story)


def test_a_change_of_min_insync_replicas_forgets_the_last_that_may_lead() -> None:
    """ClearElrRecord: with no ISR and no ELR nobody may lead but by an unclean election, as in Kafka."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2)})
        for broker in (1, 2):
            cluster.kill(broker)
        await cluster.until(lambda: cluster.leader("t-0") is None, within=30)
        cluster.restart(3)
        await cluster.until(lambda: cluster.is_serving(3), within=60)
        await cluster.admin.alter_configs("topic", "t", set={"min.insync.replicas": 2})
        for broker in (1, 2):
            cluster.restart(broker)
        await cluster.until(cluster.is_ready, within=60)
        await cluster.advance(30)
        assert cluster.leader("t-0") is None
        await cluster.admin.elect_leader("t-0", unclean=True)
        assert cluster.leader("t-0") is not None

    simulate(story, brokers=3, configs={"broker.session.timeout.ms": 3_000, "broker.heartbeat.interval.ms": 500})
