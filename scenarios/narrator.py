"""Tells a run line by line while it goes on: time, node, fact, and the reason of a decision."""

from __future__ import annotations

import sys
from typing import TextIO

from kafsim.cluster.world import Stated
from kafsim.protocol.facts.fact import STATE, describe, reason


class Narrator:
    level = STATE

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def on_fact(self, stated: Stated) -> None:
        why = reason(stated.fact)
        line = f"{stated.time / 1e6:11.6f}  {stated.node!s:12}  {describe(stated.fact)}"
        self._out.write(line + (f"\n{'':27}because {why}" if why else "") + "\n")
