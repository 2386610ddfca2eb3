"""The coordinator's assignors against Kafka's own, one assignment after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafsim.coordinator.assignors import BUILT_IN, UniformAssignor
from kafsim.coordinator.assignors.assignor import GroupSpec, MemberSpec
from kafsim.protocol.uuid import from_text

VECTORS = Path(__file__).parents[1] / "data" / "vectors"
NAMED = [
    (name, json.loads(line))
    for name in BUILT_IN
    for line in (VECTORS / f"server_assignor_{name}.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize(("name", "vector"), NAMED, ids=lambda v: v if isinstance(v, str) else v["name"])
def test_it_assigns_as_kafkas_does(name: str, vector: dict[str, Any]) -> None:
    for step in vector["steps"]:
        ids = {topic: from_text(about["id"]) for topic, about in step["topics"].items()}
        members = {
            member: MemberSpec(
                topics=tuple(ids[topic] for topic in about["topics"] if topic in ids),
                target={ids[topic]: tuple(parts) for topic, parts in about["current"].items() if topic in ids},
                instance_id=about["instance"],
            )
            for member, about in step["members"].items()
        }
        group = GroupSpec(
            members=members,
            topics={ids[topic]: about["partitions"] for topic, about in step["topics"].items()},
            homogeneous=step["subscription_type"] == "HOMOGENEOUS",
        )
        found = BUILT_IN[name]().assign(group)
        names = {id_: topic for topic, id_ in ids.items()}
        assert {m: {names[t]: sorted(p) for t, p in target.items() if p} for m, target in found.items()} == step[
            "assignment"
        ], step["change"]


@given(data=st.data())
def test_uniform_is_even_and_gives_out_everything(data: st.DataObject) -> None:
    topics = {bytes([number] * 16): data.draw(st.integers(1, 8)) for number in range(data.draw(st.integers(1, 4)))}
    wanted = st.sets(st.sampled_from(sorted(topics)), min_size=1).map(sorted).map(tuple)
    subscriptions = data.draw(st.lists(wanted, min_size=1, max_size=5))
    homogeneous = len(set(subscriptions)) == 1
    members = {f"m{number}": MemberSpec(topics=given) for number, given in enumerate(subscriptions)}
    for _ in range(2):
        found = UniformAssignor().assign(GroupSpec(members=members, topics=topics, homogeneous=homogeneous))
        given_out = sorted((t, p) for target in found.values() for t, parts in target.items() for p in parts)
        subscribed = {topic for spec in members.values() for topic in spec.topics}
        assert given_out == sorted((t, p) for t in subscribed for p in range(topics[t]))
        sizes = [sum(map(len, target.values())) for target in found.values()]
        assert not homogeneous or max(sizes) - min(sizes) <= 1
        kept = {m: {t: tuple(parts) for t, parts in target.items()} for m, target in found.items()}
        members = {m: MemberSpec(topics=spec.topics, target=kept[m]) for m, spec in members.items()}
        assert all(set(kept[m]) <= set(spec.topics) for m, spec in members.items())
