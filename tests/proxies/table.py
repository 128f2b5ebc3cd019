"""`docs/reference/proxies.md`: what the application saw, found by trying; `python tests/proxies/table.py` writes it."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from certbound.core.certificate import read_certificate
from certbound.tls import Limits
from certbound.tls.forwarded import CONTRACTS
from certbound.trust.authority import Issued
from proxies.frame import HOST, Kinds, Observer, Program, Proxied, behind, make_kinds, served, wrapped
from proxies.programs import PROGRAMS
from proxies.variants import PAST, VARIANTS, Direct, DirectVariant, Variant, cell, title

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "proxies.md"
Cells = Mapping[tuple[str, str], str]
"""By title of the variant, and kind of certificate."""
PURPOSES = ("server", "api")


def found_behind(program: Program, folder: Path, kinds: Kinds, purpose: str) -> dict[tuple[str, str], str]:
    """What the application saw behind a real proxy."""
    observer = Observer(program.name)
    hosts = {HOST} if purpose == "server" else None
    with (
        served(wrapped(observer, program.name, hosts=hosts), limits=Limits(header_bytes=131072)) as port,
        behind(program, f"127.0.0.1:{port}", folder, kinds, purpose=purpose) as proxy,
    ):
        return {
            (title(variant), kind): _one(proxy, variant, kinds[kind], observer)
            for variant in VARIANTS
            for kind in kinds.all
        }


def found_past(contract: str, kinds: Kinds, variants: Sequence[DirectVariant] = PAST) -> dict[str, str]:
    """What it saw of those who speak as if they were the proxy; the victim is then the one whose certificate it is."""
    observer = Observer(contract)
    app = wrapped(observer, contract, hosts={HOST})
    with served(app, limits=Limits(header_bytes=131072)) as port:
        direct = Direct(contract, port, kinds)
        return {title(variant): _past(direct, variant, observer) for variant in variants}


def page(behind_each: Mapping[str, Cells], past_each: Mapping[str, Mapping[str, str]]) -> str:
    """The page."""
    return "\n".join([*_INTRODUCTION, *_behind(behind_each), *_past_section(past_each)]) + "\n"


def section(text: str, heading: str) -> str:
    """The part of a page under a heading."""
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].strip()


def merged(each: Sequence[Cells]) -> dict[tuple[str, str], str]:
    """One cell for all purposes: what they have in common, or what each is."""
    return {
        place: each[0][place]
        if len({cells[place] for cells in each}) == 1
        else "; ".join(f"{purpose}: {cells[place]}" for purpose, cells in zip(PURPOSES, each, strict=True))
        for place in each[0]
    }


def table(cells: Cells) -> list[str]:
    """Rows of Markdown."""
    kinds = list(dict.fromkeys(kind for _, kind in cells))
    rows = [f"| the client sends | {' | '.join(kinds)} |", "|---|" + "---|" * len(kinds)]
    names = dict.fromkeys(name for name, _ in cells)
    return [*rows, *(f"| {name} | {' | '.join(cells[name, kind] for kind in kinds)} |" for name in names)]


def _one(proxy: Proxied, variant: Variant, identity: Issued | None, observer: Observer) -> str:
    observer.seen.clear()
    seen = variant(proxy, identity)
    entries = list(observer.seen)
    if variant.__name__.startswith("resumed"):
        entries = entries[-1:] if seen.status == 200 else []
    own = read_certificate(identity.der).thumbprint if identity else None
    return cell(seen, entries, own)


def _past(direct: Direct, variant: DirectVariant, observer: Observer) -> str:
    observer.seen.clear()
    seen = variant(direct)
    if seen is None:
        return "–"
    said = cell(seen, list(observer.seen), read_certificate(direct.kinds.victim.der).thumbprint)
    return {"its own": "believed"}.get(said, said.replace("proxy ", "certbound "))


def _behind(found: Mapping[str, Cells]) -> Iterator[str]:
    for name, cells in found.items():
        yield from (f"## {name}", "", *table(cells), "")


def _past_section(found: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    yield from ("## Past the proxy", "", *_PAST, "", f"| | {' | '.join(found)} |", "|---|" + "---|" * len(found))
    for name in next(iter(found.values())):
        yield f"| {name} | {' | '.join(cells[name] for cells in found.values())} |"


_INTRODUCTION = [
    "<!-- Made by `python tests/proxies/table.py`; do not edit. -->",
    "# What applications see behind proxies",
    "",
    "Each proxy runs with what `certbound proxy-config` prints, before an application of ours. Clients come with",
    "each kind of certificate and, but for the first row, forge the headers of a victim. A cell is what the",
    "application saw:",
    "",
    "- **its own**: the certificate whose key the client holds, and nothing that it forged",
    "- **none**: no certificate, and nothing that it forged",
    "- **certbound 400**: certbound refused it, since what a believed proxy said was not one thing",
    "- **proxy 4xx**, **closed**: the proxy refused it",
    "",
    "Where the configuration for the authorization server and that for an API differ, both stand there.",
    "",
]
_PAST = [
    "What the application says to those who reach it without a proxy, or through a proxy that does less than ours: all",
    "of them bring the victim's certificate. **believed** is right in the first row alone.",
]


def main() -> None:
    """Tries everything, and writes the page."""
    kinds = make_kinds()
    behind_each = {}
    for program in PROGRAMS:
        found = []
        for purpose in PURPOSES:
            with TemporaryDirectory() as folder:
                found.append(found_behind(program, Path(folder), kinds, purpose))
        behind_each[program.name] = merged(found)
    PAGE.write_text(page(behind_each, {name: found_past(name, kinds) for name in CONTRACTS}))


if __name__ == "__main__":
    main()
