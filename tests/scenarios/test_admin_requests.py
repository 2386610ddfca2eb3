"""What the controller answers to requests that are odd, and to those that only look so."""

from __future__ import annotations

import pytest

from kafsim import simulate
from kafsim.clients.errors import KafkaError
from kafsim.cluster.cluster import Cluster
from kafsim.protocol import errors
from kafsim.protocol.uuid import to_text

TOPIC_RESOURCE, BROKER_RESOURCE = 2, 4
SET, DELETE, APPEND, SUBTRACT = range(4)


def _run(story, **options: object) -> None:
    assert simulate(story, **options).ok


async def _alter(cluster: Cluster, type_: int, name: str, key: str, op: int, value: str | None) -> tuple[int, str]:
    config = {"name": key, "configOperation": op, "value": value}
    resource = {"resourceType": type_, "resourceName": name, "configs": [config]}
    answer = await cluster.admin.raw(1, "INCREMENTAL_ALTER_CONFIGS", 1, {"resources": [resource]})
    return answer["responses"][0]["errorCode"], answer["responses"][0]["errorMessage"]


async def _value(cluster: Cluster, topic: str, key: str) -> str | None:
    await cluster.advance(1)
    return (await cluster.admin.describe_configs("topic", topic))[key].value


def test_topics_named_twice_or_both_ways_are_not_deleted() -> None:
    async def story(cluster: Cluster) -> None:
        made = await cluster.admin.create_topic("t")
        core = cluster.controller_core
        assert core is not None
        id_ = to_text(core.state.topic_ids["t"])

        async def delete(*topics: dict[str, object], version: int = 6, **more: object) -> list[tuple[object, object]]:
            body = {"topics": list(topics), "timeoutMs": 1_000, **more}
            answer = await cluster.admin.raw(1, "DELETE_TOPICS", version, body)
            return [(one["errorCode"], one.get("errorMessage")) for one in answer["responses"]]

        assert await delete({"name": "t"}, {"name": "t"}) == [(42, "Duplicate topic name.")]
        assert await delete({"name": None, "topicId": id_}, {"name": None, "topicId": id_}) == [
            (42, "Duplicate topic id.")
        ]
        assert await delete({"name": None, "topicId": id_}, {"name": "t"}) == [
            (42, "The provided topic name maps to an ID that was already supplied.")
        ]
        assert await delete({"name": "t", "topicId": id_}) == [
            (42, "You may not specify both topic name and topic id.")
        ]
        assert await delete({"name": None}) == [(42, "Neither topic name nor id were specified.")]
        assert await delete({"name": "u"}) == [(3, "This server does not host this topic-partition.")]
        assert made.name in core.state.topic_ids
        answer = await cluster.admin.raw(1, "DELETE_TOPICS", 5, {"topicNames": ["t"], "timeoutMs": 1_000})
        assert [(one["name"], one["errorCode"]) for one in answer["responses"]] == [("t", 0)]
        assert "t" not in core.state.topic_ids

    _run(story)


def test_appending_to_a_list_begins_with_its_default() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        assert (await _alter(cluster, TOPIC_RESOURCE, "t", "cleanup.policy", APPEND, "compact"))[0] == 0
        assert await _value(cluster, "t", "cleanup.policy") == "delete,compact"
        assert (await _alter(cluster, TOPIC_RESOURCE, "t", "cleanup.policy", SUBTRACT, "compact"))[0] == 0
        assert await _value(cluster, "t", "cleanup.policy") == "delete"
        assert await _alter(cluster, TOPIC_RESOURCE, "t", "retention.ms", APPEND, "5000") == (
            40,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        )

    _run(story)


def test_min_isr_of_one_broker_is_not_touched_with_eligible_leader_replicas() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("1")
        code, _ = await _alter(cluster, BROKER_RESOURCE, "1", "min.insync.replicas", DELETE, None)
        assert code == 40

    _run(story)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("--1", "Node id must be an integer, but it is: --1"),
        ("²", "Node id must be an integer, but it is: ²"),
        ("99999999999", "Node id must be an integer, but it is: 99999999999"),
        ("2", "Unexpected broker id, expected 1, but received 2"),
    ],
)
def test_a_broker_id_that_is_none(name: str, message: str) -> None:
    async def story(cluster: Cluster) -> None:
        assert await _alter(cluster, BROKER_RESOURCE, name, "log.retention.ms", SET, "5") == (42, message)

    _run(story)


def test_a_retention_below_minus_one_is_none() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        assert (await _alter(cluster, BROKER_RESOURCE, "", "log.retention.ms", SET, "-7"))[0] == 0
        await cluster.advance(1)
        assert cluster.replica("t-0", cluster.leader("t-0") or 0).log.config.retention_ms == -1

    _run(story)


def test_the_answer_to_a_creation_tells_where_settings_come_from() -> None:
    async def story(cluster: Cluster) -> None:
        await _alter(cluster, BROKER_RESOURCE, "", "log.retention.bytes", SET, "1000")
        made = await cluster.admin.create_topic("t", configs={"retention.ms": 70_000})
        seen = {config.name: (config.value, config.config_source) for config in made.configs or ()}
        assert seen["retention.ms"] == ("70000", 1)
        assert seen["retention.bytes"] == ("1000", 3)
        assert seen["max.message.bytes"] == ("2000000", 4)
        assert seen["segment.bytes"] == ("1073741824", 5)

    _run(story, configs={"message.max.bytes": 2_000_000})


def test_more_records_than_one_request_may_write() -> None:
    async def story(cluster: Cluster) -> None:
        with pytest.raises(KafkaError, match="Unable to perform excessively large batch operation"):
            await cluster.admin.create_topic("t", partitions=10_000)

    _run(story)


def test_names_given_twice_count_for_nothing() -> None:
    async def story(cluster: Cluster) -> None:
        topics = [{"name": name, "numPartitions": n, "replicationFactor": 1} for name, n in (("a", 9_000),) * 2]
        topics.append({"name": "b", "numPartitions": 1, "replicationFactor": 1})
        answer = await cluster.admin.raw(1, "CREATE_TOPICS", 7, {"topics": topics, "timeoutMs": 1_000})
        assert [(one["name"], one["errorCode"]) for one in answer["topics"]] == [("b", 0), ("a", 42)]

    _run(story)


def test_an_election_of_no_known_type() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        body = {"electionType": 7, "topicPartitions": [{"topic": "t", "partitions": [0]}], "timeoutMs": 1_000}
        answer = await cluster.admin.raw(1, "ELECT_LEADERS", 2, body)
        assert answer["errorCode"] == 42
        body["electionType"] = 0
        answer = await cluster.admin.raw(1, "ELECT_LEADERS", 2, body)
        result = answer["replicaElectionResults"][0]["partitionResult"][0]
        assert (result["errorCode"], result["errorMessage"]) == (84, "Leader election not needed for topic partition.")

    _run(story)


def test_a_broker_that_no_controller_takes_stops_after_a_while() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.kill(3)
        cluster.cut(3, "controller")
        cluster.restart(3)
        await cluster.advance(8)
        assert cluster.brokers[3].port is not None
        await cluster.advance(4)
        assert cluster.brokers[3].port is None

    _run(story, configs={"initial.broker.registration.timeout.ms": 10_000})


def test_a_broker_that_nobody_lets_go_goes_after_five_minutes() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.cut(3, "controller")
        cluster.stop(3)
        await cluster.advance(295)
        assert cluster.brokers[3].port is not None
        await cluster.advance(10)
        assert cluster.brokers[3].port is None

    _run(story)


def test_a_replica_that_is_taken_away_may_stay_in_the_elr() -> None:
    """As Apache Kafka 4.3 does: one replica left where min.insync.replicas=2 was asked for."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2)}, configs={"min.insync.replicas": 2})
        await cluster.admin.reassign("t-0", (1,))
        await cluster.advance(5)
        core = cluster.controller_core
        assert core is not None
        (state,) = core.state.partitions.values()
        assert (state.replicas, state.isr, state.elr) == ((1,), (1,), (2,))

    assert simulate(story, features={"eligible.leader.replicas.version": 1}).ok


async def _replace(cluster: Cluster, type_: int, name: str, **given: str | None) -> tuple[int, str]:
    configs = [{"name": key.replace("_", "."), "value": value} for key, value in given.items()]
    resource = {"resourceType": type_, "resourceName": name, "configs": configs}
    answer = await cluster.admin.raw(1, "ALTER_CONFIGS", 2, {"resources": [resource]})
    return answer["responses"][0]["errorCode"], answer["responses"][0]["errorMessage"]


def test_legacy_alter_configs_replaces_all_that_a_topic_has() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", configs={"retention.ms": 5_000, "segment.ms": 7_000})
        assert (await _replace(cluster, 2, "t", retention_ms="6000"))[0] == errors.NONE
        assert await _value(cluster, "t", "retention.ms") == "6000"
        assert await _value(cluster, "t", "segment.ms") == "604800000"
        assert await _replace(cluster, 2, "t", retention_ms=None) == (42, "Null value not supported for : retention.ms")
        error, message = await _replace(cluster, 2, "t", retention_ms="x")
        assert (error, message.split(":")[0]) == (40, "Invalid value x for configuration retention.ms")
        assert await _replace(cluster, 2, "u", retention_ms="1") == (3, "The topic 'u' does not exist.")
        assert await _value(cluster, "t", "retention.ms") == "6000"

    simulate(story)


def test_legacy_alter_configs_of_brokers() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.alter_configs("broker", "1", set={"log.retention.ms": 5_000, "log.roll.ms": 7_000})
        assert (await _replace(cluster, 4, "1", log_retention_ms="6000"))[0] == errors.NONE
        await cluster.advance(1)
        described = await cluster.admin.describe_configs("broker", "1")
        assert described["log.retention.ms"].value == "6000"
        assert described["log.roll.ms"].value != "7000"
        refused = (42, "Cannot update these configs dynamically: [broker.rack]")
        assert await _replace(cluster, 4, "1", broker_rack="a") == refused
        assert (await _replace(cluster, 4, "2", log_retention_ms="1"))[1] == (
            "Unexpected broker id, expected 1, but received 2"
        )
        assert await _replace(cluster, 8, "1", root="INFO") == (42, "Unknown resource type 8")

    simulate(story)


def test_legacy_alter_configs_cannot_take_min_isr_away_with_eligible_leader_replicas() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.alter_configs("broker", "", set={"min.insync.replicas": 1})
        refused = (40, "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")
        assert await _replace(cluster, 4, "", log_retention_ms="1000") == refused

    simulate(story, features={"eligible.leader.replicas.version": 1})


def test_a_value_of_a_configuration_has_a_longest_size() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        replicas = ",".join(["0:1"] * 12_000)
        error, message = await _alter(cluster, 2, "t", "leader.replication.throttled.replicas", SET, replicas)
        assert (error, message) == (
            errors.INVALID_CONFIG,
            "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.",
        )

    simulate(story)


def test_a_replica_that_is_added_and_removed_at_once_keeps_its_reassignment_going() -> None:
    """As a real 4.3 does: ``Adding Replicas: 3 Removing Replicas: 3``, whether or not the replica comes into sync."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1,)})
        cluster.kill(3)
        await cluster.admin.reassign("t-0", (1, 3))
        await cluster.admin.reassign("t-0", (1,))
        going_on = await cluster.admin.list_reassignments()
        assert [(one.replicas, one.adding_replicas, one.removing_replicas) for one in going_on.values()] == [
            ((1, 3), (3,), (3,))
        ]
        cluster.restart(3)
        await cluster.advance(30)
        core = cluster.controller_core
        assert core is not None
        assert [state.isr for state in core.state.partitions.values()] == [(1, 3)]
        assert len(await cluster.admin.list_reassignments()) == 1
        await cluster.admin.reassign("t-0", None)
        assert await cluster.admin.list_reassignments() == {}
        assert [state.replicas for state in core.state.partitions.values()] == [(1,)]

    _run(story)
