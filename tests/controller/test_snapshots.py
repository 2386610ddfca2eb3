"""Snapshots of the metadata: written, loaded at a restart, fetched in pieces by who lacks what was cut from the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafsim import simulate
from kafsim.cluster.cluster import Cluster
from kafsim.controller.metadata_state import MetadataState
from kafsim.controller.raft import snapshots
from kafsim.controller.raft.snapshots import OffsetAndEpoch
from kafsim.protocol.metadata.control_records import SnapshotFooterRecord, SnapshotHeaderRecord
from kafsim.protocol.metadata.feature_level_record import FeatureLevelRecord

OFTEN = {
    "metadata.log.max.record.bytes.between.snapshots": 2_000,
    "metadata.max.retention.bytes": 4_000,
    "controller.quorum.fetch.snapshot.max.bytes": 500,
}


def states(cluster: Cluster) -> list[MetadataState]:
    """Of every running node, as far as it is committed."""
    found = [core.state for id_ in cluster.controllers if (core := cluster.controller_of(id_)) is not None]
    return found + [core.metadata.state for id_ in cluster.brokers if (core := cluster.core(id_)) is not None]


def content(state: MetadataState) -> dict[str, object]:
    """Offsets of registrations are not in a snapshot."""
    brokers = {id_: (b.epoch, b.fenced, b.rack, b.directories) for id_, b in state.brokers.items()}
    tables = (state.topic_ids, state.topic_names, state.partitions, state.configs, state.features)
    return {"brokers": brokers, **{str(n): dict(table.items()) for n, table in enumerate(tables)}}


@pytest.mark.parametrize("combined", [False, True])
def test_nodes_with_empty_disks_get_a_snapshot_and_go_on(combined: bool) -> None:
    async def story(cluster: Cluster) -> None:
        for number in range(12):
            await cluster.admin.create_topic(f"t{number}", partitions=3, replication_factor=3)
        await cluster.advance(130)  # the log is cut once a minute
        core = cluster.controller_core
        assert core is not None
        assert core.raft.log.start_offset > 0
        standby = next(id_ for id_ in cluster.controllers if id_ != cluster.active_controller)
        broker = next(id_ for id_ in cluster.brokers if id_ not in cluster.controllers)
        for node in (standby, broker):
            cluster.kill(node)
            cluster.wipe(node)
        await cluster.admin.create_topic("later", partitions=1, replication_factor=1, configs={"retention.ms": 5})
        for node in (standby, broker):
            cluster.restart(node)
        await cluster.until(cluster.is_ready, within=120)
        await cluster.advance(10)
        first, *others = map(content, states(cluster))
        assert all(other == first for other in others)
        restarted = cluster.controller_of(standby)
        assert restarted is not None
        assert restarted.raft.log.start_offset > 0

    run = simulate(story, controllers=3, combined=combined, brokers=4, configs=OFTEN)
    assert run.ok
    assert not run.differences


def test_a_cluster_starts_again_from_its_snapshots() -> None:
    async def story(cluster: Cluster) -> None:
        for number in range(12):
            await cluster.admin.create_topic(f"t{number}", partitions=3, replication_factor=3)
        await cluster.advance(130)
        before = content(states(cluster)[0])
        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.start()
        await cluster.until(lambda: cluster.active_controller is not None, within=30)
        core = cluster.controller_core
        assert core is not None
        assert {tid: name for name, tid in core.state.topic_ids.items()} == dict(core.state.topic_names.items())
        assert content(core.state)["0"] == before["0"]

    assert simulate(story, controllers=3, configs=OFTEN).ok


@given(st.lists(st.text(st.characters(codec="ascii"), min_size=1, max_size=2_000), max_size=40))
def test_a_snapshot_holds_its_records_between_header_and_footer(names: list[str]) -> None:
    records = [FeatureLevelRecord(name=name, feature_level=1) for name in names]
    data = snapshots.encode(records, OffsetAndEpoch(3, 70), voters=None, wall_ms=5, last_contained_ms=4)
    decoded = list(snapshots.decode(data))
    assert isinstance(decoded[0].record, SnapshotHeaderRecord)
    assert isinstance(decoded[-1].record, SnapshotFooterRecord)
    assert [one.record for one in decoded if not one.control] == records
    assert snapshots.last_contained_timestamp(data) == 4


def test_names_of_snapshots() -> None:
    id_ = OffsetAndEpoch(epoch=7, offset=123)
    assert snapshots.file_name(id_) == "00000000000000000123-0000000007.checkpoint"
    assert snapshots.parse_name("d/" + snapshots.file_name(id_)) == id_
    assert snapshots.parse_name("d/00000000000000000123.log") is None
    assert OffsetAndEpoch(2, 1) > OffsetAndEpoch(1, 9)
