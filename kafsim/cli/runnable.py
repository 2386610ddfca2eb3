"""What ``kafsim run`` can run: a scenario by name, a plan in TOML, a story in Python."""

from __future__ import annotations

import inspect
import runpy
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import trio

from kafsim.cli import inputs
from kafsim.cli.errors import StoryFailed, UsageError, unknown
from kafsim.clients.errors import IllegalStateError, KafkaError
from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.cluster.errors import ClientKilled, RunError
from kafsim.cluster.guard import watched
from kafsim.cluster.world import World
from kafsim.protocol.config import ConfigError
from kafsim.scenarios import catalogue, ping, planned
from kafsim.scenarios.operation import Operation, check_nodes
from kafsim.scenarios.plan import Plan, check_quorum, from_mapping
from kafsim.scenarios.plan_check import PlanError
from kafsim.scenarios.scenario import Given, schedule
from kafsim.scenarios.simulation import Options, Run, run_story, run_world_story


@attrs.frozen(kw_only=True)
class Asked:
    """The options as they were typed."""

    source: str | None = None
    key_separator: str | None = None
    seed: int | None = None
    brokers: int | None = None
    controllers: int | None = None
    combined: bool = False
    settings: tuple[str, ...] = ()
    kills: tuple[str, ...] = ()
    cuts: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Runnable:
    """``run`` takes the rest of :class:`kafsim.scenarios.simulation.Options`."""

    name: str
    seed: int
    run: Callable[..., Run]
    expected: str = "ok"


def find(name: str, asked: Asked) -> Runnable:
    """UsageError when it is none of the three, or an option does not go with it."""
    if name.endswith(".toml"):
        return _plan(Path(name), asked)
    if name.endswith(".py"):
        return _story(Path(name), asked)
    if name == "ping":
        return _ping(asked)
    try:
        scenario = catalogue.scenario(name)
    except KeyError:
        raise unknown("scenario", name, catalogue.summaries()) from None
    given, configs = _given(asked)
    given = scenario.given(given)
    inputs.check_clients(given)
    if given.consumer and not scenario.has_consumers:
        raise UsageError(f"{name} has no consumers that would take {next(iter(given.consumer))}")
    shape = _shape(scenario.shape, asked, configs)
    if shape.brokers < scenario.least_brokers:
        raise UsageError(f"{name} needs {scenario.least_brokers} brokers at least, not {shape.brokers}")
    _check(given.operations, shape)

    async def story(cluster: Cluster) -> None:
        triggers = schedule(cluster, given)
        try:
            await scenario.play(cluster, given)
        except (KafkaError, IllegalStateError, ClientKilled) as error:
            raise UsageError(f"{name}: {error}") from None
        for trigger in triggers:
            trigger.disarm()

    seed = asked.seed or 0
    return Runnable(name=name, seed=seed, expected=scenario.expected, run=_runner(story, seed, shape))


def _given(asked: Asked) -> tuple[Given, dict[str, object]]:
    settings = inputs.settings(asked.settings)
    if asked.key_separator is not None and asked.source is None:
        raise UsageError("--key-separator divides the lines of --input, which is not given")
    given = Given(
        records=inputs.records(asked.source, asked.key_separator),
        producer=settings["producer"],
        consumer=settings["consumer"],
        topic=settings["topic"],
        operations=inputs.faults(asked.kills, asked.cuts),
    )
    return given, settings["broker"]


def _shape(shape: ClusterShape, asked: Asked, configs: dict[str, object]) -> ClusterShape:
    return attrs.evolve(
        shape,
        brokers=asked.brokers or shape.brokers,
        controllers=asked.controllers or shape.controllers,
        combined=asked.combined or shape.combined,
        configs={**shape.configs, **configs},
    )


def _check(operations: tuple[Operation, ...], shape: ClusterShape | Plan) -> None:
    try:
        check_quorum(shape.brokers, shape.controllers, combined=shape.combined)
        check_nodes(operations, shape.brokers, 0 if shape.combined else shape.controllers)
    except PlanError as error:
        raise UsageError(str(error).removeprefix("a plan: ")) from None


def _runner(story: Callable[[Cluster], Any], seed: int, shape: ClusterShape) -> Callable[..., Run]:
    def run(**options: Any) -> Run:
        try:
            return run_story(story, Options(seed=seed, shape=shape, **options))
        except ConfigError as error:
            raise UsageError(str(error)) from None

    return run


def _refuse(asked: Asked, what: str, *options: str) -> None:
    for option in options:
        if getattr(asked, option):
            typed = {"source": "input", "settings": "set", "kills": "kill", "cuts": "cut"}.get(option, option)
            raise UsageError(f"--{typed} does not go with {what}")


def _ping(asked: Asked) -> Runnable:
    _refuse(
        asked, "ping, which has no brokers", "source", "brokers", "controllers", "combined", "settings", "kills", "cuts"
    )
    seed = asked.seed or 0

    async def play(world: World) -> None:
        await ping.play(world)

    return Runnable(name="ping", seed=seed, run=lambda **options: run_world_story(play, Options(seed=seed, **options)))


def _plan(path: Path, asked: Asked) -> Runnable:
    _refuse(asked, "a plan, which has its own loads", "source")
    try:
        plan = from_mapping(tomllib.loads(path.read_text()))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (PlanError, ValueError, TypeError) as error:
        raise UsageError(f"{path}: {error}") from None
    given, configs = _given(asked)
    if "group.id" in given.consumer:
        raise UsageError("--set group.id does not go with a plan, whose readers name their groups")
    plan = attrs.evolve(
        plan,
        seed=plan.seed if asked.seed is None else asked.seed,
        brokers=asked.brokers or plan.brokers,
        controllers=asked.controllers or plan.controllers,
        combined=asked.combined or plan.combined,
        configs={**plan.configs, **configs},
        operations=tuple(sorted((*plan.operations, *given.operations), key=lambda operation: operation.at)),
        topics=tuple(attrs.evolve(topic, configs={**topic.configs, **given.topic}) for topic in plan.topics),
        loads=tuple(attrs.evolve(load, settings={**load.settings, **given.producer}) for load in plan.loads),
        readers=tuple(attrs.evolve(one, settings={**one.settings, **given.consumer}) for one in plan.readers),
    )

    _check(plan.operations, plan)

    def play(**options: Any) -> Run:
        try:
            return planned.run_plan(plan, **options)
        except (KafkaError, PlanError, ValueError) as error:
            raise UsageError(f"{path}: {error}") from None

    return Runnable(name=path.name, seed=plan.seed, run=play)


def _story(path: Path, asked: Asked) -> Runnable:
    """``story`` runs; BROKERS, CONTROLLERS, COMBINED, CONFIGS may state the cluster, EXPECTED the verdict."""
    module = _execute(path)
    story = module.get("story")
    if not inspect.iscoroutinefunction(story) or len(inspect.signature(story).parameters) != 1:
        raise UsageError(f"{path} has no `async def story(cluster)`")
    _refuse(asked, "a story, which sends its own records", "source")
    given, configs = _given(asked)
    if given.producer or given.consumer or given.topic:
        raise UsageError("--set changes only settings of brokers when a story makes its own clients and topics")
    shape = ClusterShape(
        brokers=module.get("BROKERS", 3),
        controllers=module.get("CONTROLLERS", 1),
        combined=module.get("COMBINED", False),
        configs=dict(module.get("CONFIGS", {})),
    )
    shape = _shape(shape, asked, configs)
    _check(given.operations, shape)

    async def play(cluster: Cluster) -> None:
        triggers = schedule(cluster, given)
        try:
            await story(cluster)
        except (RunError, trio.Cancelled):
            raise
        except (Exception, SystemExit) as error:
            raise StoryFailed(_where(path, error)) from error
        for trigger in triggers:
            trigger.disarm()

    seed = asked.seed or 0
    runner = _runner(play, seed, shape)
    return Runnable(name=path.name, seed=seed, run=runner, expected=str(module.get("EXPECTED", "ok")))


def _execute(path: Path) -> dict[str, Any]:
    """The names that a story's file defines; whatever it takes of the clock or of chance is watched during the run."""
    if not path.is_file():
        raise UsageError(f"cannot read {path}: No such file or directory")
    try:
        with watched():
            return runpy.run_path(str(path), run_name="kafsim_story")
    except SyntaxError as error:
        raise UsageError(f"{path}, line {error.lineno}: {error.msg}") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a story may raise anything
        raise UsageError(_where(path, error)) from None


def _where(path: Path, error: BaseException) -> str:
    """The last line of the story's own file that an error went through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    place = f"{path}, line {lines[-1]}" if lines else str(path)
    return f"{place}: {type(error).__name__}: {error}" if str(error) else f"{place}: {type(error).__name__}"
