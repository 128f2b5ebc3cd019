"""`certbound demo`: the whole story in one command."""

import contextlib
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer


def demo(
    post_quantum: Annotated[
        bool, typer.Option("--post-quantum", help="Clients have ML-DSA-65 certificates, end to end.")
    ] = False,
) -> None:
    """Tell the whole story on real TLS: tokens bound to certificates, an API that accepts them, every theft refused.

    Everything happens in a temporary folder, on free ports of this machine.  The exit status is 0 only if every step
    went exactly as it must.

    Example: certbound demo --post-quantum
    """
    from certbound.cli._development import make_folder, now_utc
    from certbound.cli._narrator import Narrator, listening_to_the_log, wants_colour
    from certbound.cli._servers import in_background, open_ports, place_of, serving
    from certbound.cli._story import World, tell
    from certbound.trust.authority import KeyKind

    begun = time.monotonic()
    host = "127.0.0.1"
    key: KeyKind = "ML-DSA-65" if post_quantum else "P-256"
    with contextlib.ExitStack() as stack:
        narrator = Narrator(stack.enter_context(listening_to_the_log()), wants_colour())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="certbound-demo-")))
        sockets = open_ports(host, (0, 0, 0, 0))
        for each in sockets:
            stack.callback(each.close)
        place = place_of(host, sockets)
        development = make_folder(folder / "demo", place, now=now_utc(), key=key)
        stack.enter_context(in_background(lambda: serving(development, sockets)))
        forgotten = f"https://{place.name}:{sockets[3].getsockname()[1]}"
        tell(narrator, World(development, forgotten, key, stack))
    right = narrator.steps - narrator.wrong
    narrator.chapter(
        f"{right} of {narrator.steps} steps went exactly as they must, in {time.monotonic() - begun:.1f} s."
    )
    if narrator.wrong:
        raise typer.Exit(1)
    narrator.say("Next: certbound dev leaves these servers running for you, and prints lines to paste.")
