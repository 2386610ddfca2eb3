"""Who of a group of the consumer protocol reads which partitions: the assignors of the coordinator (KIP-848)."""

from kafsim.coordinator.assignors.assignor import ServerAssignor
from kafsim.coordinator.assignors.range import RangeAssignor
from kafsim.coordinator.assignors.uniform import UniformAssignor

BUILT_IN: dict[str, type[ServerAssignor]] = {"uniform": UniformAssignor, "range": RangeAssignor}
