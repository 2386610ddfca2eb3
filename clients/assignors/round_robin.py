"""Partitions of all topics in order, one to each member in turn (Kafka: ``RoundRobinAssignor``)."""

from __future__ import annotations

from kafsim.clients.assignors.assignor import Assignment, Assignor, Subscriptions, Topics, in_order
from kafsim.protocol.types import TopicPartition


class RoundRobinAssignor(Assignor):
    name = "roundrobin"

    def assign(self, topics: Topics, subscriptions: Subscriptions) -> Assignment:
        found: Assignment = {member: [] for member in subscriptions}
        members = in_order(subscriptions)
        turn = 0
        for topic in sorted(topics):
            if not any(topic in subscription.topics for subscription in subscriptions.values()):
                continue
            for index in range(len(topics[topic])):
                while topic not in subscriptions[members[turn]].topics:
                    turn = (turn + 1) % len(members)
                found[members[turn]].append(TopicPartition(topic, index))
                turn = (turn + 1) % len(members)
        return found
