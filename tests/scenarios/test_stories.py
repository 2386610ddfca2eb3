"""Every story of the catalogue: its verdict, and one run for each seed whatever carries it out."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest

from kafsim import simulate
from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import catalogue
from kafsim.scenarios.scenario import Given, is_expected
from kafsim.scenarios.simulation import Options, Run, run_story

PROGRAM = """
from kafsim.scenarios import catalogue
from kafsim.scenarios.scenario import Given
from kafsim.scenarios.simulation import Options, run_story
for name in catalogue.NAMES:
    scenario = catalogue.scenario(name)
    for seed in range(3):
        given = scenario.given(Given())
        options = Options(seed=seed, shape=scenario.shape, dispatch="direct", wire="share")
        run = run_story(lambda cluster: scenario.play(cluster, given), options)
        print(name, seed, run.fingerprint)
"""


def play(name: str, seed: int = 0, **options: str) -> Run:
    scenario = catalogue.scenario(name)
    given = scenario.given(Given())
    return run_story(lambda cluster: scenario.play(cluster, given), Options(seed=seed, shape=scenario.shape, **options))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", catalogue.NAMES)
def test_verdict(name: str, seed: int) -> None:
    run = play(name, seed, dispatch="direct", wire="share")
    expected = catalogue.scenario(name).expected
    assert is_expected(run.verdict, expected)
    assert run.ok or expected == "violated"
    assert not run.differences


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_repetition(name: str) -> None:
    runs = [
        play(name, dispatch=dispatch, wire=wire)
        for dispatch, wire in itertools.product(("channel", "direct"), ("codec", "share"))
    ]
    assert len({run.fingerprint for run in runs}) == 1


def test_processes_with_other_hash_seeds_give_the_same_runs() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == 3 * len(catalogue.NAMES)


def test_a_refused_record_says_why() -> None:
    run = play("min-isr-refused")
    assert (run.history.acked, run.history.failed) == (10, 10)


def test_a_story_of_ones_own() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("orders", partitions=1, replication_factor=3)
        producer = cluster.producer(acks="all")
        sent = producer.send("orders", "one")
        first = await sent
        assert await sent == first, "an answer may be awaited again"
        cluster.kill("leader:orders-0")
        await producer.send_and_wait("orders", "two")

    run = simulate(story, seed=42, brokers=3, configs={"min.insync.replicas": 2})
    assert run.ok
    assert (run.history.acked, run.history.lost, run.history.duplicated) == (2, 0, 0)
    assert run.unavailable["orders-0"] > 5


def test_errors_of_a_story_are_raised_as_they_are() -> None:
    async def story(cluster: Cluster) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        simulate(story)


def test_answers_come_in_the_order_of_the_requests() -> None:
    """A metadata request behind a fetch that waits is answered after it; the records that come later are not lost."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("orders", assignment={0: (1, 2, 3)})
        consumer = cluster.consumer({"auto.offset.reset": "earliest", "metadata.max.age.ms": 400})
        await consumer.assign(["orders-0"])
        producer = cluster.producer()
        for number in range(20):
            await producer.send_and_wait("orders", f"{number}")
            record = await consumer.getone()
            assert record.value == f"{number}".encode()
            await cluster.advance(0.3)
        assert cluster.world.clock.now < 10_000_000

    assert simulate(story).ok
