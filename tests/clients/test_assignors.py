"""The assignors against Kafka's own, partition by partition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafsim.clients.assignors import BUILT_IN, Assignor
from kafsim.clients.assignors.assignor import Subscription
from kafsim.clients.assignors.constrained import AssignmentError
from kafsim.protocol.consumer_protocol import decode_subscription
from kafsim.protocol.types import TopicPartition

VECTORS = Path(__file__).parents[1] / "data" / "vectors"


def _lines(*names: str) -> list[dict[str, Any]]:
    return [
        json.loads(line) for name in names for line in (VECTORS / f"assignor_{name}.jsonl").read_text().splitlines()
    ]


def _partitions(pairs: Any) -> tuple[TopicPartition, ...]:
    return tuple(TopicPartition(*pair) for pair in pairs)


def _subscription(member: dict[str, Any]) -> Subscription:
    data = member["user_data"]
    return Subscription(
        topics=tuple(member["topics"]),
        user_data=None if data is None else bytes.fromhex(data),
        owned=_partitions(member["owned"]),
        generation=member["generation"],
        instance_id=member["instance"],
        rack=member["rack"] or "",
    )


def _check(assignor: Assignor, step: dict[str, Any]) -> None:
    topics = {}
    for name, topic in step["topics"].items():
        racks = topic.get("replica_racks") or [[]] * topic["partitions"]
        topics[name] = tuple(frozenset(rack for rack in at if rack) for at in racks)
    subscribed = {topic for member in step["members"].values() for topic in member["topics"]}
    subscriptions = {name: _subscription(member) for name, member in step["members"].items()}
    known = {name: racks for name, racks in topics.items() if name in subscribed}
    if step.get("error"):
        with pytest.raises(AssignmentError, match=step["error"]["message"]):
            assignor.assign(known, subscriptions)
        return
    found = assignor.assign(known, subscriptions)
    assert {member: sorted(given) for member, given in found.items()} == {
        member: sorted(_partitions(given)) for member, given in step["assignment"].items()
    }
    assert {member: tuple(given) for member, given in found.items()} == {
        member: _partitions(given) for member, given in step["assignment"].items()
    }


ALONE = _lines("range", "roundrobin", "sticky", "cooperative_sticky")


@pytest.mark.parametrize("vector", ALONE, ids=lambda v: f"{v['assignor']}, {v['name']}")
def test_it_assigns_as_kafkas_does(vector: dict[str, Any]) -> None:
    _check(BUILT_IN[vector["assignor"]](), vector)


@pytest.mark.parametrize(
    "vector", _lines("sticky_sequences", "cooperative_sticky_sequences"), ids=lambda v: f"{v['assignor']}, {v['name']}"
)
def test_one_assignment_after_another_is_kafkas(vector: dict[str, Any]) -> None:
    assignor = BUILT_IN[vector["assignor"]]()
    for step in vector["steps"]:
        _check(assignor, step)


@pytest.mark.parametrize("vector", ALONE, ids=lambda v: f"{v['assignor']}, {v['name']}")
def test_a_subscription_in_bytes_says_the_same(vector: dict[str, Any]) -> None:
    for member in vector["members"].values():
        found = decode_subscription(bytes.fromhex(member["subscription_bytes"]))
        assert list(found.topics) == member["topics"]
        assert found.generation_id == (-1 if member["generation"] is None else member["generation"])
        assert found.user_data == (None if member["user_data"] is None else bytes.fromhex(member["user_data"]))


@pytest.mark.parametrize("name", BUILT_IN)
@given(data=st.data())
def test_everything_is_assigned_once_to_somebody_who_wants_it(name: str, data: st.DataObject) -> None:
    topics = data.draw(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 7), min_size=1))
    members = data.draw(
        st.dictionaries(st.sampled_from("uvwxyz"), st.sets(st.sampled_from(sorted(topics)), min_size=1), min_size=1)
    )
    subscriptions = {m: Subscription(topics=tuple(sorted(wanted))) for m, wanted in members.items()}
    wanted = {topic for given in members.values() for topic in given}
    known = {t: (frozenset[str](),) * n for t, n in topics.items() if t in wanted}
    found = BUILT_IN[name]().assign(known, subscriptions)
    assert sorted(tp for given in found.values() for tp in given) == sorted(
        TopicPartition(t, i) for t in known for i in range(topics[t])
    )
    assert all(tp.topic in members[member] for member, given in found.items() for tp in given)
    if "sticky" in name and len({frozenset(wanted) for wanted in members.values()}) == 1:
        sizes = [len(given) for given in found.values()]
        assert max(sizes) - min(sizes) <= 1
