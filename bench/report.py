"""results.md: what was measured where, and whether the goals are met."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from exchanges import Exchanges
from measure import Plan, Round
from questions import Answers
from targets import (
    FLOOR,
    FLOOR_OPAQUE,
    OURS,
    OURS_CODES,
    OURS_JWT,
    OURS_OPAQUE,
    PEER,
    PEER_CODES,
    PEER_OPAQUE,
    SOFT,
)

Results = Mapping[str, Sequence[Any]]
"""What each life of a server showed, by its name: `Round`, `Answers` or `Exchanges`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """At most `limit`: a figure of `server`, or its ratio to the same figure `beside` it in the same run."""

    text: str
    figure: Callable[[Any], float]
    beside: str | None
    limit: float | None
    """None where nobody demanded anything: the ratio is shown all the same."""
    unit: str = ""
    server: str = OURS
    checked: bool = True
    """Whether --check fails when it is missed; False for one that was never met."""

    def value(self, results: Results) -> float | None:
        """The ratio of medians, or the median; None if a server was not measured."""
        ours, others = results.get(self.server), results.get(self.beside or self.server)
        if not ours or not others:
            return None
        if self.beside is None:
            return median(map(self.figure, ours))
        return median(map(self.figure, ours)) / median(map(self.figure, others))


INTROSPECTION, REVOCATION = 0.8, 0.8
"""As much less than the peer as a new handshake is to cost."""

GOALS = (
    Goal(text="CPU per request, kept alive", figure=lambda r: r.keep.cpu_us, beside=FLOOR, limit=1.5),
    Goal(text="CPU per request, kept alive", figure=lambda r: r.keep.cpu_us, beside=PEER, limit=0.7),
    Goal(text="CPU per request, new handshake", figure=lambda r: r.new.cpu_us, beside=PEER, limit=0.8),
    Goal(text="memory after the run", figure=lambda r: r.after_mib, beside=None, limit=120, unit=" MiB"),
    Goal(
        text="CPU per request, kept alive, revocation soft",
        figure=lambda r: r.keep.cpu_us,
        beside=OURS,
        limit=1.1,
        server=SOFT,
    ),
    Goal(
        text="CPU per introspection, opaque, again",
        figure=lambda a: a.introspection.cpu_us,
        beside=PEER_OPAQUE,
        limit=INTROSPECTION,
        server=OURS_OPAQUE,
    ),
    Goal(
        text="CPU per introspection, JWT beside opaque, again",
        figure=lambda a: a.introspection.cpu_us,
        beside=PEER_OPAQUE,
        limit=INTROSPECTION,
        server=OURS_JWT,
    ),
    Goal(
        text="CPU per introspection, opaque, first",
        figure=lambda a: a.first.cpu_us,
        beside=PEER_OPAQUE,
        limit=INTROSPECTION,
        server=OURS_OPAQUE,
        checked=False,
    ),
    Goal(
        text="CPU per introspection, JWT beside opaque, first",
        figure=lambda a: a.first.cpu_us,
        beside=PEER_OPAQUE,
        limit=INTROSPECTION,
        server=OURS_JWT,
        checked=False,
    ),
    Goal(
        text="CPU per revocation, opaque, written to the disk beside memory",
        figure=lambda a: a.revocation.cpu_us,
        beside=PEER_OPAQUE,
        limit=REVOCATION,
        server=OURS_OPAQUE,
        checked=False,
    ),
    Goal(
        text="CPU per revocation, opaque, both written to the disk",
        figure=lambda a: a.revocation.cpu_us,
        beside=FLOOR_OPAQUE,
        limit=1.5,
        server=OURS_OPAQUE,
        checked=False,
    ),
    Goal(
        text="CPU per code exchange, written to the disk beside memory",
        figure=lambda e: e.exchange.cpu_us,
        beside=PEER_CODES,
        limit=None,
        server=OURS_CODES,
    ),
    Goal(
        text="CPU per refresh, read from the disk beside memory",
        figure=lambda e: e.refresh.cpu_us,
        beside=PEER_CODES,
        limit=None,
        server=OURS_CODES,
    ),
)

COLUMNS: tuple[tuple[str, Callable[[Round], float], str], ...] = (
    ("kept alive: CPU µs", lambda r: r.keep.cpu_us, ".0f"),
    ("req/s", lambda r: r.keep.rate, ".0f"),
    ("p50 ms", lambda r: r.keep.p50_ms, ".2f"),
    ("p99 ms", lambda r: r.keep.p99_ms, ".2f"),
    ("new handshake: CPU µs", lambda r: r.new.cpu_us, ".0f"),
    ("req/s", lambda r: r.new.rate, ".0f"),
    ("p50 ms", lambda r: r.new.p50_ms, ".1f"),
    ("p99 ms", lambda r: r.new.p99_ms, ".1f"),
    ("RSS MiB idle", lambda r: r.idle_mib, ".0f"),
    ("after", lambda r: r.after_mib, ".0f"),
    ("start → first token ms", lambda r: r.first_token_ms, ".0f"),
    ("others kept alive", lambda r: r.keep.others, ".0%"),
    ("others new", lambda r: r.new.others, ".0%"),
)

ASKED: tuple[tuple[str, Callable[[Answers], float], str], ...] = (
    ("introspection, first: CPU µs", lambda a: a.first.cpu_us, ".0f"),
    ("again: CPU µs", lambda a: a.introspection.cpu_us, ".0f"),
    ("req/s", lambda a: a.introspection.rate, ".0f"),
    ("p50 ms", lambda a: a.introspection.p50_ms, ".2f"),
    ("p99 ms", lambda a: a.introspection.p99_ms, ".2f"),
    ("revocation: CPU µs", lambda a: a.revocation.cpu_us, ".0f"),
    ("req/s", lambda a: a.revocation.rate, ".0f"),
    ("p50 ms", lambda a: a.revocation.p50_ms, ".2f"),
    ("p99 ms", lambda a: a.revocation.p99_ms, ".2f"),
    ("others introspection", lambda a: a.introspection.others, ".0%"),
    ("others revocation", lambda a: a.revocation.others, ".0%"),
)

EXCHANGED: tuple[tuple[str, Callable[[Exchanges], float], str], ...] = (
    ("code exchange: CPU µs", lambda e: e.exchange.cpu_us, ".0f"),
    ("req/s", lambda e: e.exchange.rate, ".0f"),
    ("p50 ms", lambda e: e.exchange.p50_ms, ".2f"),
    ("p99 ms", lambda e: e.exchange.p99_ms, ".2f"),
    ("refresh: CPU µs", lambda e: e.refresh.cpu_us, ".0f"),
    ("req/s", lambda e: e.refresh.rate, ".0f"),
    ("p50 ms", lambda e: e.refresh.p50_ms, ".2f"),
    ("p99 ms", lambda e: e.refresh.p99_ms, ".2f"),
    ("others exchange", lambda e: e.exchange.others, ".0%"),
    ("others refresh", lambda e: e.refresh.others, ".0%"),
)


def render(
    results: Results,
    *,
    plan: Plan,
    machine: str,
    versions: Mapping[str, str],
    cold: Mapping[str, float],
    statements: Mapping[str, Mapping[str, float]],
) -> str:
    """The whole page."""
    parts = [
        "# The endpoints that machines call, side by side",
        "Written by `make bench`; what the figures mean: [README](README.md).",
        f"Machine: {machine}.",
    ]
    if found := of_kind(results, Round):
        parts += ["## `POST /token`", procedure(plan, found), table(found, COLUMNS)]
    if found := of_kind(results, Answers):
        parts += ["## Introspection and revocation", questioning(plan), table(found, ASKED)]
    if found := of_kind(results, Exchanges):
        parts += ["## The code exchange and the refresh", exchanging(plan), table(found, EXCHANGED)]
    parts += ["`others`: the share of a core that was neither the server's nor the generator's.", goals(results)]
    if statements:
        parts += ["## Statements to the database, certbound", counted(statements)]
    if cold:
        parts += ["## A first verdict, certbound, CPU µs", bullets(cold, ".0f")]
    parts += ["## Versions", "\n".join(f"- {name}: {version}" for name, version in versions.items())]
    return "\n\n".join(parts) + "\n"


def of_kind(results: Results, kind: type) -> Results:
    """Those servers that were measured so."""
    return {name: found for name, found in results.items() if found and isinstance(found[0], kind)}


def sentence(found: Round | Answers | Exchanges) -> str:
    """One life in a line."""
    match found:
        case Round(keep=keep, new=new, after_mib=after):
            return (
                f"kept alive {keep.cpu_us:.0f} µs, {keep.rate:.0f}/s; "
                f"new handshake {new.cpu_us:.0f} µs, {new.rate:.0f}/s; {after:.0f} MiB"
            )
        case Answers(first=first, introspection=again, revocation=revocation):
            return (
                f"introspection {first.cpu_us:.0f} µs, again {again.cpu_us:.0f} µs, {again.rate:.0f}/s; "
                f"revocation {revocation.cpu_us:.0f} µs, {revocation.rate:.0f}/s"
            )
        case Exchanges(exchange=exchange, refresh=refresh):
            return (
                f"code exchange {exchange.cpu_us:.0f} µs, {exchange.rate:.0f}/s; "
                f"refresh {refresh.cpu_us:.0f} µs, {refresh.rate:.0f}/s"
            )


def procedure(plan: Plan, results: Results) -> str:
    """How it was measured."""
    tls = sorted({load.tls for rounds in results.values() for r in rounds for load in (r.keep, r.new)})
    rounds = f"Medians of {plan.rounds} interleaved rounds" if plan.rounds > 1 else "One round"
    return (
        f"{rounds}; {plan.keep} requests kept alive and {plan.new} with a new handshake each, "
        f"{plan.connections} at a time, after {plan.warm} to warm up. {'; '.join(tls)}."
    )


def questioning(plan: Plan) -> str:
    """What was asked about tokens."""
    return (
        f"{plan.asked} different live tokens, each introspected once and, when all were, once again; then "
        f"{plan.revoked} of them revoked, once each, after {plan.revoked // 5} others; kept alive, "
        f"{plan.connections} at a time. oidc-provider keeps all in memory; a revocation by certbound, and by the "
        "floor, is on the disk before the answer."
    )


def exchanging(plan: Plan) -> str:
    """What was exchanged for what."""
    return (
        f"{plan.exchanged} codes of a hundred people, each redeemed once, after {plan.exchanged // 5} others, for a "
        "bound JWT, a refresh token and an ID token; then each of those refresh tokens once, for a bound JWT; neither "
        f"server replaces them. Kept alive, {plan.connections} at a time. oidc-provider keeps all in memory; what "
        "certbound gave is on the disk before the answer."
    )


def counted(statements: Mapping[str, Mapping[str, float]]) -> str:
    """How many of each kind, for each kind of request."""
    words = sorted({word for counts in statements.values() for word in counts})
    lines = [row(["one alone", "all", *words]), row(["---", *["---:"] * (1 + len(words))])]
    lines += [
        row([name, f"{sum(counts.values()):g}", *(f"{counts.get(word, 0):g}" for word in words)])
        for name, counts in statements.items()
    ]
    return "\n".join(lines)


def table(results: Results, columns: Sequence[tuple[str, Callable[[Any], float], str]]) -> str:
    """One row for each server."""
    lines = [row(["server", *(title for title, _, _ in columns)]), row(["---", *["---:"] * len(columns)])]
    lines += [
        row([name, *(format(median(map(figure, rounds)), style) for _, figure, style in columns)])
        for name, rounds in results.items()
    ]
    return "\n".join(lines)


def goals(results: Results) -> str:
    """One row for each goal."""
    lines = [row(["certbound", "beside", "goal", "measured", ""]), row(["---", "---", "---:", "---:", "---"])]
    for goal in GOALS:
        value = goal.value(results)
        shown = "not measured" if value is None else f"{value:.{0 if goal.unit else 2}f}{goal.unit}"
        verdict, limit = "", "none set"
        if goal.limit is not None:
            limit = f"≤ {goal.limit:g}{goal.unit or ' ×'}"
            verdict = "" if value is None else "met" if value <= goal.limit else "**not met**"
        lines.append(row([goal.text, goal.beside or "", limit, shown, verdict]))
    return "## Goals\n\n" + "\n".join(lines)


def missed(results: Results, tolerance: float) -> list[str]:
    """A sentence for each goal that is missed by more than `tolerance` (0.25: a quarter more than the limit)."""
    sentences = []
    for goal in GOALS:
        value = goal.value(results)
        if goal.limit is None:
            continue
        beside = f" beside {goal.beside}" if goal.beside else ""
        if goal.checked and value is not None and value > goal.limit * (1 + tolerance):
            sentences.append(f"{goal.text}{beside} is {value:.2f}{goal.unit}; the goal is {goal.limit:g}")
    return sentences


def row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def bullets(figures: Mapping[str, float], style: str) -> str:
    return "\n".join(f"- {name}: {format(figure, style)}" for name, figure in figures.items())
