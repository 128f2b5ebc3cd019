"""certbound.server.turns: one after the other for one code, and nobody waits for anybody else."""

import asyncio

from certbound.server.turns import Turns


async def test_one_after_the_other_and_in_their_order() -> None:
    """Nobody begins before the one before is through, also where that one failed or went away."""
    turns, seen = Turns(), list[str]()

    async def come(name: str) -> None:
        async with turns.of("code"):
            seen.append(f"{name} in")
            await asyncio.sleep(0.01)
            seen.append(f"{name} out")
            if name == "b":
                raise ValueError

    coming = [asyncio.create_task(come(name)) for name in "abc"]
    gone = asyncio.create_task(come("gone"))
    last = asyncio.create_task(come("d"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(*coming, gone, last, return_exceptions=True)
    assert seen == [f"{name} {way}" for name in "abcd" for way in ("in", "out")]
    assert len(turns) == 0, "nothing is kept of it"


async def test_nobody_waits_for_another_code() -> None:
    """They are two lines."""
    turns = Turns()
    async with turns.of("code"), turns.of("other"):
        assert len(turns) == 2
