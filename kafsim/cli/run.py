"""``kafsim run``: run a scenario and tell it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kafsim.cli.errors import EXPECTED, UsageError, unknown


def run(
    name: str,
    /,
    *,
    seed: int = 0,
    dispatch: Literal["channel", "direct"] = "channel",
    wire: Literal["codec", "share"] = "codec",
    trace: Path | None = None,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
    quiet: Annotated[bool, Parameter(("--quiet", "-q"), negative="")] = False,
) -> int:
    """Run a scenario and tell what happens, with the reason for each decision.

    Parameters
    ----------
    name
        A name from `kafsim scenarios`.
    seed
        The same seed gives the same run, bit for bit.
    dispatch
        How inputs reach the nodes; the run is the same.
    wire
        How messages travel: as bytes, or as shared instances; the run is the same.
    trace
        Write the run to this file, for `kafsim why`.
    as_json
        Print one object instead of a narration.
    quiet
        Print only the summary.
    """
    from kafsim.cluster.trace import Fingerprint, TraceWriter  # noqa: PLC0415
    from kafsim.cluster.world import Shape, World  # noqa: PLC0415
    from kafsim.cluster.world import run as run_world  # noqa: PLC0415
    from kafsim.scenarios import catalogue  # noqa: PLC0415
    from kafsim.scenarios.narrator import Narrator  # noqa: PLC0415

    try:
        story = catalogue.module(name)
    except KeyError:
        raise unknown("scenario", name, catalogue.NAMES) from None
    world = World(Shape(seed=seed, dispatch=dispatch, wire=wire))
    fingerprint = Fingerprint()
    world.listen(fingerprint)
    if not quiet and not as_json:
        world.listen(Narrator())
    if trace is None:
        run_world(world, story.play)
    else:
        try:
            file = trace.open("wb")
        except OSError as error:
            raise UsageError(f"cannot write {trace}: {error.strerror}") from None
        with file:
            writer = TraceWriter(file, {"scenario": name, "seed": seed})
            world.listen(writer)
            world.recorder = writer
            run_world(world, story.play)
    about = {
        "scenario": name,
        "seed": seed,
        "fingerprint": fingerprint.hexdigest(),
        "virtual_seconds": world.clock.now / 1e6,
        "messages": world.messages,
    }
    if as_json:
        print(json.dumps(about))
    else:
        print(f"{about['virtual_seconds']:g} s of virtual time, {world.messages} messages")
        print(f"fingerprint {about['fingerprint']}")
        print(f"repeat with: kafsim run {name} --seed {seed}")
    return EXPECTED
