"""Recorded histories of a real Apache Kafka 4.3, replayed and compared."""

import copy
from pathlib import Path

import pytest

from kafsim.scenarios import recorded

HISTORIES = Path(__file__).parents[1] / "data" / "histories"
AGREE = [
    "active_controller_killed",
    "active_controller_terminated",
    "alter_configs_errors",
    "auto_create_off",
    "auto_create_on",
    "auto_rebalance",
    "broker_states",
    "compaction",
    "compaction_tombstones",
    "controlled_shutdown_of_last_isr_elr1",
    "controlled_shutdown_of_leader",
    "create_partitions_errors",
    "create_topic_errors",
    "delete_records_errors",
    "delivery_timeout",
    "elect_errors",
    "elr_member_returns_first_after_sigkill",
    "fetch_epochs_and_sessions",
    "follower_killed",
    "follower_killed_rf2",
    "follower_lag",
    "follower_lag_two_followers",
    "group_admin_errors",
    "group_consumer_uniform",
    "group_cooperative_sticky",
    "group_heartbeat_errors",
    "group_max_poll_interval",
    "group_migration_offline",
    "group_migration_online_two",
    "group_partitions_added",
    "group_pattern",
    "group_protocol_errors",
    "group_range",
    "group_rebalance_min",
    "group_same_instance_id",
    "group_stale_commits",
    "group_stale_commits_consumer",
    "group_static_member",
    "group_sticky",
    "group_unknown_topic",
    "idempotent_over_failover",
    "last_replica_killed_elr0_last_returns_last",
    "last_replica_killed_elr1_last_returns_first",
    "last_replica_killed_elr1_last_returns_last",
    "last_replica_terminated_elr1_last_returns_last",
    "leader_killed",
    "list_offsets_special",
    "message_too_large",
    "min_isr_default_and_override",
    "min_isr_raised",
    "not_idempotent_over_pause",
    "offset_for_leader_epoch_two_failovers",
    "offset_reset",
    "partitions_added",
    "produce_errors",
    "produce_sequences",
    "produce_to_follower",
    "quorum_lost",
    "reassign_all_up",
    "reassign_errors",
    "reassign_to_down_replica",
    "retention_by_size",
    "retention_by_time",
    "retention_by_time_old_timestamps",
    "timestamps",
    "topic_deleted_all_up",
    "topic_deleted_with_broker_down",
    "two_of_three_killed_elr0",
    "two_of_three_killed_elr1",
    "unclean_election_by_command",
    "unclean_election_by_config_elr0",
    "unclean_election_by_config_elr1",
    "unclean_election_enabled_late_interval",
    "zombie_leader_30s",
    "zombie_leader_acks1",
]


@pytest.mark.parametrize("name", AGREE)
def test_agrees_with_kafka(name: str) -> None:
    comparison = recorded.compare(recorded.read(HISTORIES / f"{name}.json"))
    assert comparison.unsupported is None
    assert comparison.differences == []
    assert comparison.checked > 0


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
def test_what_is_built_agrees_and_what_is_not_is_named(path: Path) -> None:
    comparison = recorded.compare(recorded.read(path))
    assert comparison.differences == []
    assert comparison.unsupported is not None or path.stem in AGREE


@pytest.mark.parametrize("seed", range(1, 6))
def test_what_agrees_does_not_hang_on_the_seed(seed: int) -> None:
    for name in (
        "leader_killed",
        "broker_states",
        "idempotent_over_failover",
        "zombie_leader_acks1",
        "group_cooperative_sticky",
        "group_static_member",
        "group_consumer_uniform",
        "group_migration_offline",
    ):
        assert recorded.compare(recorded.read(HISTORIES / f"{name}.json"), seed=seed).differences == [], name


def test_a_wrong_expectation_is_found() -> None:
    history = copy.deepcopy(recorded.read(HISTORIES / "leader_killed.json"))
    looks = [step for step in history["steps"] if step.get("expect") == "partition"]
    looks[-1]["leader_epoch"] += 1
    differences = recorded.compare(history).differences
    assert [difference.field for difference in differences] == ["leader_epoch"]


def test_a_missing_record_is_found() -> None:
    history = copy.deepcopy(recorded.read(HISTORIES / "leader_killed.json"))
    looks = [step for step in history["steps"] if step.get("expect") == "log"]
    looks[-1]["records"] = looks[-1]["records"][:-1]
    assert [difference.field for difference in recorded.compare(history).differences] == ["records"]
