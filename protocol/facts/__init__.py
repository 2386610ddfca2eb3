"""What happened, stated by whoever knows, when it happened.

A fact is a frozen class at one of three levels. The world adds event, time, node and causes; a decision carries
``because``: the rule and the values that decided.
"""

import importlib
import pkgutil


def load_all() -> None:
    """Import every module of facts, so that all of them can be read from a trace."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
