"""The world alone: two ping cores, no broker logic."""

from __future__ import annotations

from bench.measure import Case
from kafsim.cluster.world import Shape, World, run
from kafsim.protocol.types import SECOND
from kafsim.scenarios import ping


def cases() -> list[Case]:
    return [
        Case(f"ping, {dispatch} + {wire}", lambda d=dispatch, w=wire: play(d, w), per_message)  # type: ignore[misc]
        for dispatch, wire in (("channel", "codec"), ("direct", "share"))
    ]


def play(dispatch: str, wire: str) -> dict[str, float]:
    """Ten pingers that ask without rest for three virtual seconds."""
    world = World(Shape(dispatch=dispatch, wire=wire, latency_base_us=250))  # type: ignore[arg-type]

    async def story(world: World) -> None:
        world.add(ping.ANSWERER, ping.PongCore).start()
        for number in range(1, 11):
            world.add(ping.ASKER._replace(id=number), Restless).start()
        await world.advance(3 * SECOND)  # type: ignore[arg-type]

    run(world, story)
    return {"messages": world.messages}


class Restless(ping.PingCore):
    """Asks again at once."""

    def rest(self, now):  # type: ignore[no-untyped-def]
        self.ask(now)


def per_message(counts: dict[str, float], cpu: float) -> dict[str, float]:
    return {"messages per CPU second": counts["messages"] / cpu, "us per message": cpu / counts["messages"] * 1e6}
