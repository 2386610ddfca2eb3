"""Dynamic voters in a whole cluster (KIP-853): added, removed, with a new disk, joining by themselves, upgraded."""

from __future__ import annotations

import pytest

from kafsim import simulate
from kafsim.clients.errors import KafkaError
from kafsim.cluster.cluster import Cluster
from kafsim.protocol.config import ConfigError
from kafsim.protocol.features import KRAFT_VERSION

DYNAMIC = {"features": {KRAFT_VERSION: 1}}


def _run(story, **options: object) -> None:
    run = simulate(story, **options)
    assert run.violations == ()


def _voters(cluster: Cluster, node: int) -> list[int]:
    core = cluster.controller_of(node)
    assert core is not None
    return core.raft.log.voters.ids


async def _leads(cluster: Cluster) -> int:
    return await cluster.until(lambda: cluster.active_controller, what="an active controller")


def test_a_cluster_grows_from_one_voter_to_three() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("a", partitions=1, replication_factor=1)
        for expected in ([101, 102], [101, 102, 103]):
            new = cluster.add_controller()
            await cluster.advance(1)
            await cluster.add_voter(new)
            assert _voters(cluster, 101) == expected
        cluster.kill(102)  # brokers know no other bootstrap server than 101, as in a real cluster
        await cluster.admin.create_topic("b", partitions=1, replication_factor=1)
        described = await cluster.admin.describe_quorum()
        assert [voter.replica_id for voter in described.current_voters] == [101, 102, 103]

    _run(story, controllers=1, **DYNAMIC)


def test_an_only_voter_that_led_for_long_stays_leader_when_another_joins() -> None:
    """The fetches of its observers keep its check of the quorum from running out."""

    async def story(cluster: Cluster) -> None:
        new = cluster.add_controller()
        await cluster.advance(10)
        await cluster.add_voter(new)
        await cluster.advance(10)
        assert cluster.active_controller == 101

    _run(story, controllers=1, **DYNAMIC)


def test_the_active_controller_may_be_removed() -> None:
    async def story(cluster: Cluster) -> None:
        old = await _leads(cluster)
        await cluster.remove_voter(old)
        await cluster.until(lambda: cluster.active_controller not in (old, None), what="another active controller")
        await cluster.admin.create_topic("a", partitions=1, replication_factor=3)
        await cluster.advance(5)
        described = await cluster.admin.describe_quorum()
        assert old not in [voter.replica_id for voter in described.current_voters]
        assert old in [observer.replica_id for observer in described.observers]

    _run(story, controllers=3, **DYNAMIC)


@pytest.mark.parametrize("combined", [False, True])
def test_a_controller_with_a_new_disk_is_another_voter(combined: bool) -> None:
    async def story(cluster: Cluster) -> None:
        active = await _leads(cluster)
        lost = next(id_ for id_ in cluster.controllers if id_ != active)
        before = cluster.controller_of(lost).raft.me.directory
        cluster.kill(lost)
        cluster.wipe(lost)
        cluster.restart(lost)
        await cluster.advance(3)
        core = cluster.controller_of(lost)
        assert core.raft.me.directory != before
        assert not core.raft.quorum.is_voter
        with pytest.raises(KafkaError, match="already part of the set of voters"):
            await cluster.add_voter(lost)
        with pytest.raises(KafkaError, match="Cannot remove voter"):
            await cluster.remove_voter(lost, core.raft.me.directory)
        await cluster.remove_voter(lost)
        await cluster.add_voter(lost)
        assert core.raft.quorum.is_voter

    _run(story, controllers=3, combined=combined, **DYNAMIC)


def test_a_controller_joins_by_itself_and_takes_the_place_of_its_old_disk() -> None:
    async def story(cluster: Cluster) -> None:
        new = cluster.add_controller()
        await cluster.until(lambda: _voters(cluster, 101) == [101, 102, 103, 104], within=20)
        active = await _leads(cluster)
        lost = 102 if active != 102 else 103
        cluster.kill(lost)
        cluster.wipe(lost)
        cluster.restart(lost)
        await cluster.until(lambda: cluster.controller_of(lost).raft.quorum.is_voter, within=30)
        assert _voters(cluster, new) == [101, 102, 103, 104]

    _run(story, controllers=3, configs={"controller.quorum.auto.join.enable": True}, **DYNAMIC)


def test_static_voters_become_dynamic_by_an_upgrade() -> None:
    async def story(cluster: Cluster) -> None:
        upgrade = {"featureUpdates": [{"feature": KRAFT_VERSION, "maxVersionLevel": 1, "upgradeType": 1}]}
        with pytest.raises(ConfigError, match="dynamic voters"):
            cluster.add_controller()
        answer = await cluster.admin.raw(1, "UPDATE_FEATURES", 2, upgrade)
        assert "not all of the voters support it" in answer["errorMessage"]
        await cluster.advance(5)
        answer = await cluster.admin.raw(1, "UPDATE_FEATURES", 2, upgrade)
        assert answer["errorCode"] == 0
        answer = await cluster.admin.raw(1, "UPDATE_FEATURES", 2, upgrade)  # once more changes nothing
        assert answer["errorCode"] == 0
        await cluster.advance(1)
        shown = await cluster.admin.raw(1, "API_VERSIONS", 4, {})
        assert [f["maxVersionLevel"] for f in shown["finalizedFeatures"] if f["name"] == KRAFT_VERSION] == [1]
        await cluster.remove_voter(next(id_ for id_ in cluster.controllers if id_ != cluster.active_controller))
        down = await cluster.admin.raw(
            1, "UPDATE_FEATURES", 2,
            {"featureUpdates": [{"feature": KRAFT_VERSION, "maxVersionLevel": 0, "upgradeType": 2}]},
        )  # fmt: skip
        assert "Can't downgrade the version of this feature." in down["errorMessage"]

    _run(story, controllers=3)


def test_static_voters_cannot_be_changed() -> None:
    async def story(cluster: Cluster) -> None:
        with pytest.raises(KafkaError, match=r"doesn't support adding voter because the kraft.version feature is 0"):
            await cluster.add_voter(102)
        with pytest.raises(KafkaError, match=r"doesn't support removing voter because the kraft.version feature is 0"):
            await cluster.remove_voter(102, bytes(15) + b"x")

    _run(story, controllers=3)


def test_voters_survive_snapshots_and_a_power_failure_of_all() -> None:
    async def story(cluster: Cluster) -> None:
        new = cluster.add_controller()
        await cluster.advance(2)
        await cluster.add_voter(new)
        await cluster.advance(30)
        for node in [*cluster.controllers]:
            cluster.power_failure(node)
        for node in [*cluster.controllers]:
            cluster.restart(node)
        await _leads(cluster)
        await cluster.admin.create_topic("a", partitions=1, replication_factor=3)
        assert all(_voters(cluster, node) == [101, 102, 103, 104] for node in cluster.controllers)

    configs = {"metadata.log.max.snapshot.interval.ms": 5_000}
    _run(story, controllers=3, configs=configs, **DYNAMIC)
