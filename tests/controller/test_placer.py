"""Placement of new partitions: the properties that Kafka's striped placer promises, and its refusals."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafsim.cluster.chance import Chance
from kafsim.controller.placer import PlacementError, Usable, place


@st.composite
def clusters(draw: st.DrawFn) -> list[Usable]:
    racks = draw(st.integers(0, 4))
    count = draw(st.integers(1, 9))
    rack = st.sampled_from([f"r{i}" for i in range(racks)]) if racks else st.none()
    brokers = [Usable(i, draw(rack), draw(st.booleans())) for i in range(count)]
    unfenced = draw(st.integers(0, count - 1))
    return [Usable(b.id, b.rack, b.fenced and b.id != unfenced) for b in brokers]


@given(clusters(), st.integers(1, 20), st.data())
def test_any_placement(brokers: list[Usable], partitions: int, data: st.DataObject) -> None:
    factor = data.draw(st.integers(1, len(brokers)))
    placed = place(brokers, partitions, factor, Chance(data.draw(st.integers(0, 99))).stream("p"))
    by_id = {broker.id: broker for broker in brokers}
    racks = {broker.rack for broker in brokers}
    assert len(placed) == partitions
    for replicas in placed:
        assert len(set(replicas)) == len(replicas) == factor
        assert not by_id[replicas[0]].fenced
        used = Counter(by_id[replica].rack for replica in replicas)
        if factor <= len(racks):
            assert max(used.values()) == 1 or any(b.fenced for b in brokers)
        if factor >= len(racks):
            assert set(used) == racks


def test_leaders_and_replicas_are_spread_evenly() -> None:
    brokers = [Usable(i, None, fenced=False) for i in range(5)]
    placed = place(brokers, 50, 3, Chance(1).stream("p"))
    assert set(Counter(replicas[0] for replicas in placed).values()) == {10}
    assert set(Counter(replica for replicas in placed for replica in replicas).values()) == {30}


def test_racks_take_turns() -> None:
    brokers = [Usable(i, f"rack{i % 3}", fenced=False) for i in range(6)]
    for replicas in place(brokers, 30, 3, Chance(1).stream("p")):
        assert {replica % 3 for replica in replicas} == {0, 1, 2}


@pytest.mark.parametrize(
    ("fenced", "factor", "message"),
    [
        ((False,) * 3, 4, "The target replication factor of 4 cannot be reached because only 3 broker"),
        ((True,) * 3, 3, "All brokers are currently fenced"),
        ((False,) * 3, 0, "the replication factor must be positive"),
    ],
)
def test_what_cannot_be_placed(fenced: tuple[bool, ...], factor: int, message: str) -> None:
    brokers = [Usable(i, None, fenced=f) for i, f in enumerate(fenced)]
    with pytest.raises(PlacementError, match=message):
        place(brokers, 1, factor, Chance(1).stream("p"))
