"""Who of a classic group reads which partitions: the assignors of Kafka's consumer, by their names."""

from kafsim.clients.assignors.assignor import Assignor
from kafsim.clients.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafsim.clients.assignors.range import RangeAssignor
from kafsim.clients.assignors.round_robin import RoundRobinAssignor
from kafsim.clients.assignors.sticky import StickyAssignor

BUILT_IN: dict[str, type[Assignor]] = {
    "range": RangeAssignor,
    "roundrobin": RoundRobinAssignor,
    "sticky": StickyAssignor,
    "cooperative-sticky": CooperativeStickyAssignor,
}
