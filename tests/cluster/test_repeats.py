"""One seed is one run: over dispatch, wire, processes and hash seeds."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest

from kafsim.cluster.trace import Fingerprint
from kafsim.cluster.world import Shape, World, run
from kafsim.scenarios import ping

PROGRAM = """
from kafsim.cluster.trace import Fingerprint
from kafsim.cluster.world import Shape, World, run
from kafsim.scenarios import ping
for seed in range(10):
    fingerprint = Fingerprint()
    world = World(Shape(seed=seed), (fingerprint,))
    run(world, ping.play)
    print(fingerprint.hexdigest())
"""


def fingerprint(seed: int, dispatch: str, wire: str) -> str:
    listener = Fingerprint()
    run(World(Shape(seed=seed, dispatch=dispatch, wire=wire), (listener,)), ping.play)
    return listener.hexdigest()


@pytest.mark.parametrize("seed", range(10))
def test_dispatch_and_wire_make_no_difference(seed):
    prints = {fingerprint(seed, *how) for how in itertools.product(("channel", "direct"), ("codec", "share"))}
    assert len(prints) == 1


def test_seeds_differ():
    assert len({fingerprint(seed, "direct", "share") for seed in range(10)}) == 10


def test_processes_with_other_hash_seeds_give_the_same_runs():
    outputs = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, check=True, capture_output=True, text=True
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert len(outputs.pop().split()) == 10
