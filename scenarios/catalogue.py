"""The scenarios by name, in the order in which a newcomer reads them."""

from __future__ import annotations

import importlib
from types import ModuleType

NAMES = ("ping",)


def module(name: str) -> ModuleType:
    """The module of a scenario; KeyError when there is none of that name."""
    if name not in NAMES:
        raise KeyError(name)
    return importlib.import_module(f"kafsim.scenarios.{name.replace('-', '_')}")


def summaries() -> dict[str, str]:
    return {name: module(name).SUMMARY for name in NAMES}
