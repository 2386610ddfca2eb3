"""kafsim: a whole replicated Kafka cluster in one Python process, on a clock you control.

``from kafsim import simulate``: run ``async def story(cluster)`` and get a ``Run``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafsim.cluster.cluster import Cluster
    from kafsim.scenarios.plan import Plan
    from kafsim.scenarios.simulation import Run, simulate

__version__ = "0.1.0"
__all__ = ["Cluster", "Plan", "Run", "__version__", "simulate"]

_HOMES = {
    "Cluster": "kafsim.cluster.cluster",
    "Plan": "kafsim.scenarios.plan",
    "Run": "kafsim.scenarios.simulation",
    "simulate": "kafsim.scenarios.simulation",
}


def __getattr__(name: str) -> Any:
    """Names are loaded when they are asked for (PEP 562): the command line starts without trio."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    return getattr(importlib.import_module(_HOMES[name]), name)
