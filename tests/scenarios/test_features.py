"""Levels of features, registrations of controllers, brokers taken out of the cluster, directories of replicas."""

from __future__ import annotations

import pytest

from kafsim import simulate
from kafsim.cluster.cluster import Cluster
from kafsim.protocol.features import ELR, KRAFT_VERSION, METADATA_VERSION

PREFIX = "The update failed for all features since the following feature had an error: "


def _run(story, **options: object) -> None:
    run = simulate(story, **options)
    assert run.violations == ()


async def _update(cluster: Cluster, *updates: tuple[str, int, int], validate_only: bool = False) -> tuple[int, str]:
    body = {
        "featureUpdates": [{"feature": n, "maxVersionLevel": level, "upgradeType": t} for n, level, t in updates],
        "validateOnly": validate_only,
    }
    answer = await cluster.admin.raw(1, "UPDATE_FEATURES", 2, body)
    return answer["errorCode"], (answer["errorMessage"] or "").removeprefix(PREFIX)


@pytest.mark.parametrize(
    ("name", "level", "type_", "message"),
    [
        ("foo", 1, 1, "Invalid update version 1 for feature foo. Local controller 101 does not support this feature."),
        (
            METADATA_VERSION,
            31,
            1,
            "Invalid update version 31 for feature metadata.version. Local controller 101 only supports versions 7-30",
        ),
        (
            METADATA_VERSION,
            29,
            2,
            ("Unsupported metadata.version downgrade from 30 to 29. Refusing to perform the requested downgrade "
            "because it might delete metadata information."),
        ),
        (ELR, 0, 1, (f"Invalid update version 0 for feature {ELR}. Can't downgrade the version of this feature without "
            "setting the upgrade type to either safe or unsafe downgrade.")),
        (ELR, 1, 9, (f"Invalid update version 1 for feature {ELR}. The controller does not support the given upgrade "
            "type.")),
        (ELR, -1, 1, f"Invalid update version -1 for feature {ELR}. A feature version cannot be less than 0."),
    ],
)  # fmt: skip
def test_a_level_that_cannot_be(name: str, level: int, type_: int, message: str) -> None:
    async def story(cluster: Cluster) -> None:
        assert await _update(cluster, (name, level, type_)) == (95, message)

    _run(story)


def test_one_level_that_cannot_be_stops_all() -> None:
    async def story(cluster: Cluster) -> None:
        code, _ = await _update(cluster, ("group.version", 0, 2), ("foo", 1, 1))
        assert code == 95
        core = cluster.controller_core
        assert core is not None
        assert core.state.features["group.version"] == 1
        assert await _update(cluster, ("group.version", 0, 2), validate_only=True) == (0, "")
        assert core.state.features["group.version"] == 1
        assert await _update(cluster, ("group.version", 0, 2)) == (0, "")
        assert "group.version" not in core.state.features

    _run(story)


def test_eligible_leader_replicas_bring_one_min_isr_for_all() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.alter_configs("broker", "1", set={"min.insync.replicas": 3})
        assert await _update(cluster, (ELR, 1, 1)) == (0, "")
        core = cluster.controller_core
        assert core is not None
        assert core.state.elr_enabled
        assert core.state.config(4, "") == {"min.insync.replicas": "2"}
        assert core.state.config(4, "1") == {}
        versions = await cluster.admin.raw(1, "API_VERSIONS", 4, {})
        finalized = {one["name"]: one["maxVersionLevel"] for one in versions["finalizedFeatures"]}
        assert finalized[ELR] == 1
        assert KRAFT_VERSION not in finalized
        supported = {one["name"]: (one["minVersion"], one["maxVersion"]) for one in versions["supportedFeatures"]}
        assert supported[METADATA_VERSION] == (7, 30)

    _run(story, features={ELR: 0}, configs={"min.insync.replicas": 2})


def test_controllers_register_themselves_and_are_asked_for() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.advance(2)
        core = cluster.controller_core
        assert core is not None
        assert sorted(core.state.controllers) == [101, 102, 103]
        assert all(controller.features[METADATA_VERSION] == (7, 30) for controller in core.state.controllers.values())

    _run(story, controllers=3)


def test_a_broker_is_taken_out_and_stays_out() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (3, 1)})
        answer = await cluster.admin.raw(1, "UNREGISTER_BROKER", 0, {"brokerId": 9})
        assert (answer["errorCode"], answer["errorMessage"]) == (102, "Broker ID 9 is not currently registered")
        assert (await cluster.admin.raw(1, "UNREGISTER_BROKER", 0, {"brokerId": 3}))["errorCode"] == 0
        assert (cluster.leader("t-0"), cluster.isr("t-0")) == (1, (1,))
        await cluster.advance(5)
        described = await cluster.admin.raw(1, "DESCRIBE_CLUSTER", 2, {"includeFencedBrokers": True})
        assert sorted(broker["brokerId"] for broker in described["brokers"]) == [1, 2]
        cluster.restart(3)
        await cluster.until(lambda: cluster.isr("t-0") == (1, 3), within=30)

    _run(story)


def test_a_replica_on_a_new_disk_leads_once_the_controller_knows_the_disk() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2)}, configs={"min.insync.replicas": 1})
        await cluster.producer().send_and_wait("t", "lost")
        cluster.kill(2)
        await cluster.until(lambda: cluster.isr("t-0") == (1,), within=60)
        cluster.power_failure(1)
        await cluster.until(lambda: cluster.leader("t-0") is None, within=60)
        cluster.wipe(1)
        cluster.restart(1)
        await cluster.until(lambda: cluster.is_serving(1), within=60)
        assert cluster.leader("t-0") is None
        await cluster.advance(1)
        state = cluster.partition("t-0")
        core = cluster.controller_core
        assert state is not None
        assert core is not None
        assert state.directories[0] in core.state.brokers[1].directories
        assert cluster.leader("t-0") is None  # the next occasion is another broker, or a look at all leaders
        cluster.kill(3)
        cluster.restart(3)
        await cluster.until(lambda: cluster.leader("t-0") == 1, within=60)

    simulate(story, features={ELR: 0})
