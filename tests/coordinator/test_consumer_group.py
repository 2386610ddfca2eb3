"""Plays of ``consumer_group.play``: the rules of KIP-848."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from kafsim.coordinator.classic_group import ClassicGroup
from kafsim.coordinator.consumer_group import ClassicMember, ConsumerGroup
from tests.coordinator.consumer_play import GROUP, Play, Stage, perform, read, say

PLAYS = read(Path(__file__).parent / "consumer_group.play")


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_play(play: Play) -> None:
    perform(play)


def _stage(*lines: str) -> Stage:
    stage = Stage()
    for line in lines:
        say(stage, line)
    return stage


def test_a_downgrade_is_seen_as_soon_as_it_is_committed() -> None:
    stage = _stage("topic t 2", "a join t", "wait 1000", "c joins t", "c syncs")
    groups = stage.coordinator.shard.groups
    assert isinstance(groups.committed(GROUP), ConsumerGroup)
    stage.is_held = True
    assert say(stage, "a leaves") == "waits"
    assert isinstance(groups.committed(GROUP), ConsumerGroup)
    stage.is_held = False
    stage.commit()
    assert isinstance(groups.committed(GROUP), ClassicGroup)


def test_a_classic_member_that_is_silent_after_a_downgrade_is_removed() -> None:
    """Also one whose join was answered after it."""
    stage = _stage("topic t 2", "a join t", "wait 1000", "c joins t as i", "c syncs")
    stage.is_held = True
    stage.join("c", ("t",), ())
    say(stage, "a leaves")
    stage.is_held = False
    stage.commit()
    stage.wait(30_000)
    group = stage.coordinator.shard.classic(GROUP)
    assert group is not None
    assert (group.state, list(group.members)) == ("Empty", [])


def test_a_member_that_does_not_have_the_protocol_of_the_generation_before_cannot_be_taken_over() -> None:
    """As in Kafka, whose coordinator fails with what it did not expect."""
    stage = _stage("topic t 2", "set group.initial.rebalance.delay.ms 0", "c joins t", "wait 1", "c joins t")
    say(stage, "c syncs t:0,1")
    group = stage.coordinator.shard.classic(GROUP)
    assert group is not None
    group.members[stage.ids["c"]].protocols = (("other", b""),)
    assert say(stage, "a join t") == "UNKNOWN_SERVER_ERROR"


def test_a_downgrade_to_a_protocol_that_cannot_be_read_is_refused() -> None:
    stage = _stage("topic t 2", "a join t", "wait 1000", "c joins t", "c syncs")
    member = stage.group.members[stage.ids["c"]]
    broken = attrs.evolve(member, classic=ClassicMember(10_000, (("range", b""),)))
    stage.group.members.put(member.id, broken)
    assert say(stage, "a leaves") == "GROUP_ID_NOT_FOUND"
    assert say(stage, "c syncs") == "UNKNOWN_SERVER_ERROR"
    assert sorted(stage.group.members) == sorted(["a", member.id])
