"""What a story gives to its clients is refused where it gives it, and no broker fails of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kafsim import simulate
from kafsim.clients.errors import IllegalStateError
from kafsim.clients.extensions import RebalanceListener
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.handles import ConsumerHandle
from kafsim.protocol.config import ConfigError

WRONG: list[tuple[Callable[[Cluster, ConsumerHandle], Awaitable[Any]], type[Exception], str]] = [
    (lambda _, c: c.commit({"t-0": "x"}), TypeError, "an offset is a whole number, not 'x'"),
    (lambda _, c: c.commit({"t-0": True}), TypeError, "an offset is a whole number, not True"),
    (lambda _, c: c.commit({"t-0": -2}), ValueError, "Invalid negative offset: -2"),
    (lambda _, c: c.commit({"t-0": 1 << 63}), ValueError, "an offset has 64 bits"),
    (lambda k, _: k.admin.alter_group_offsets("g", {"t-0": -5}), ValueError, "Invalid negative offset: -5"),
    (lambda k, _: k.admin.delete_group(None), TypeError, "a group is a string, not None"),
    (lambda k, _: k.admin.list_group_offsets(5), TypeError, "a group is a string, not 5"),
    (lambda _, c: c.subscribe(["t", 3]), TypeError, "a topic is a string, not 3"),
    (lambda _, c: c.subscribe([""]), ValueError, "cannot contain null or empty topic"),
    (lambda _, c: c.subscribe(pattern=5), TypeError, "a pattern is a string, not 5"),
    (lambda _, c: c.subscribe(["t"], listener=object()), TypeError, "has no on_partitions_assigned"),
]


@pytest.mark.parametrize(("act", "kind", "text"), WRONG)
def test_mistakes_are_refused_where_they_are_made(act: Any, kind: type[Exception], text: str) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        consumer = cluster.consumer({"group.id": "g"})
        with pytest.raises(kind, match=text):
            await act(cluster, consumer)
        await consumer.subscribe(["t"], listener=RebalanceListener())

    assert simulate(story).ok


@pytest.mark.parametrize(("id_", "text"), [("", "String must be non-empty"), ("a b", "one or more characters other")])
def test_an_instance_id_is_a_name(id_: str, text: str) -> None:
    async def story(cluster: Cluster) -> None:
        with pytest.raises(ConfigError, match=text):
            cluster.consumer({"group.id": "g", "group.instance.id": id_})

    simulate(story)


def test_who_subscribes_has_an_assignor() -> None:
    async def story(cluster: Cluster) -> None:
        consumer = cluster.consumer({"group.id": "g", "partition.assignment.strategy": ""})
        with pytest.raises(IllegalStateError, match="Must configure at least one partition assigner"):
            await consumer.subscribe(["t"])

    simulate(story)
