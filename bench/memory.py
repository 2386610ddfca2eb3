"""How much a cluster of three brokers with so many partitions adds to the process, in MB."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from bench.cluster import plain
from kafsim.cluster.cluster import Cluster


def _resident() -> int:
    """Bytes of memory that the process has now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    partitions = int(sys.argv[1])

    async def story(cluster: Cluster) -> dict[str, float]:
        before = _resident()
        for number in range(0, partitions, 1_000):
            await cluster.admin.create_topic(f"t{number}", partitions=1_000, replication_factor=3)
        await cluster.advance(10)
        return {"mb": (_resident() - before) / 1e6}

    print(plain(story, "direct", "share")()["mb"])


if __name__ == "__main__":
    main()
