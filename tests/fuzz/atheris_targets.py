"""What a coverage-guided fuzzer feeds: bytes, and what must be true of what is made of them.

Rule 1: no exception but the refusal that is due; what is read is what an independent strict reading says, and what that
reads is not refused.
Rule 2: nothing here needs atheris: the default tests feed every target with its seeds.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.core.certificate import PeerCertificate, read_certificate, read_pem_certificates
from certbound.core.errors import BadCertificate, InvalidRequest
from certbound.core.jws import ASYMMETRIC, MAX_TOKEN, BadJwt, read_header, unverified_claims
from certbound.core.names import BadName, parse_name, read_name
from certbound.core.subject import MAX_TEXT
from certbound.server.call import MAX_PARAMETERS, REPEATABLE, read_form
from certbound.testing.forwarded import forwarded_headers
from certbound.tls.forwarded._values import pem_blocks, percent_decoded
from certbound.tls.forwarded.contract import MAX_BYTES, MAX_CHAIN, BadForwarded, Contract
from certbound.tls.forwarded.contracts import CONTRACTS, contract_of
from certbound.tls.forwarded.envoy import elements
from fuzz import atheris_readings as strict
from fuzz import of_forwarded
from fuzz.of_names import _SUBJECTS as SUBJECTS
from fuzz.of_names import _TEXTS, Names
from fuzz.trees import parse


@dataclass(frozen=True, slots=True)
class Target:
    """Bytes in; an exception if what was made of them is wrong."""

    feed: Callable[[bytes], bool]
    """Whether something was read."""
    seeds: Callable[[], Sequence[bytes]]
    words: Sequence[bytes] = ()
    """What is worth putting into them."""
    most: int = MAX_BYTES


# --- headers of proxies: a line for each that the contract reads, `~` for one that was not sent


def _headers_of(contract: Contract) -> list[str]:
    return [getattr(contract, f"{role}_header") for role in contract.roles()]  # type: ignore[attr-defined]


def _forwarded(name: str, **renamed: str) -> Target:
    contract = contract_of(name, **renamed)
    headers = [each for each in _headers_of(contract) if each]

    def feed(data: bytes) -> bool:
        lines = (data.split(b"\n") + [_ABSENT] * len(headers))[: len(headers)]
        values = {header: line for header, line in zip(headers, lines, strict=True) if line != _ABSENT}
        found = _outcome(lambda: contract.read(values))
        said = _said(name, [values.get(header, b"") for header in headers])
        assert found == said, f"read {found!r:.300}, and strictly {said!r:.300}"
        for header, value in values.items():
            with suppress(BadForwarded):
                contract.may_be_joined(header, value)
        return isinstance(found, tuple)

    def seeds() -> list[bytes]:
        made = [forwarded_headers(name, *_DERS[:1], _DERS[1 : 1 + behind], **renamed) for behind in (0, 2)]
        made += [forwarded_headers(name, der, (), **renamed) for der in (None, *_DERS[2::9])]
        return [b"\n".join(each[key].encode() if key in each else _ABSENT for key in headers) for each in made]

    return Target(feed, seeds, of_forwarded._PARTS)


def _outcome(read: Callable[[], PeerCertificate | None]) -> tuple[bytes, ...] | str:
    try:
        peer = read()
    except BadForwarded:
        return "refused"
    return "none" if peer is None else (peer.leaf.der, *peer.chain)


def _said(name: str, values: Sequence[bytes]) -> tuple[bytes, ...] | str:
    try:
        ders = strict.forwarded(name, values)
        if ders is None:
            return "none"
        read_certificate(ders[0])
    except (strict.Refused, BadCertificate):
        return "refused"
    return tuple(ders[: 1 + MAX_CHAIN])


def _elements(data: bytes) -> bool:
    """The elements of XFCC alone."""
    ours = theirs = None
    with suppress(BadForwarded):
        ours = [[(key.encode(), value) for key, value in each] for each in elements(data)]
    with suppress(strict.Refused):
        theirs = strict.elements(data)
    assert ours == theirs, f"read {ours!r:.300}, and strictly {theirs!r:.300}"
    return ours is not None


def _pem(data: bytes) -> bool:
    """Percent-encoded PEM, and what a person gives as a file."""
    ours = theirs = None
    with suppress(BadForwarded):
        ours = pem_blocks(percent_decoded(data))
    with suppress(strict.Refused):
        theirs = strict.pem(strict.unescaped(data))
    assert ours == theirs, f"read {ours!r:.300}, and strictly {theirs!r:.300}"
    with suppress(BadCertificate):
        for each in read_pem_certificates(data):
            assert read_certificate(each.der) == each
    return ours is not None


# --- certificates and names


def _der(data: bytes) -> bool:
    """A certificate is its own canonical DER, byte by byte, and all that is asked of it is an answer or a refusal."""
    try:
        found = read_certificate(data)
    except BadCertificate:
        return False
    assert parse(data).encoded == data == found.der
    assert x509.load_der_x509_certificate(data).public_bytes(Encoding.DER) == data
    assert found.subject_der in data
    for asked in ("public_key", "spki_der", "thumbprints", "subject", "extensions", "decoded_extensions",
                  "alternative_names"):  # fmt: skip
        with suppress(BadCertificate):
            getattr(found, asked)
    return True


def _dn(data: bytes) -> bool:
    """A name as text or DER: written it is the same name; `cryptography` reads the same where it reads it."""
    text = data.decode("utf-8", "surrogateescape")[:MAX_TEXT]
    return _is_name(text) | _is_name(data)


def _is_name(made: bytes | str) -> bool:
    fed = _NAMES.feed(made)
    _NAMES.check(made, fed, Random(0))
    if isinstance(made, str) and fed[0] is not None:
        try:
            other = x509.Name.from_rfc4514_string(made).public_bytes()
            theirs = read_name(other)
        except (ValueError, TypeError, BadName):
            return True
        assert theirs == parse_name(made), f"cryptography reads {made!r} as {other.hex()}"
    return fed[0] is not None


# --- tokens and forms


def _jwt(data: bytes) -> bool:
    """What a header or claims say is what JSON behind strict base64url says.  Lines of JSON are encoded first."""
    if data[:1] == b"{":
        data = b".".join(map(_segment, data.split(b"\n")))
    token = data.decode("latin-1")
    found: list[tuple[int, Any]] = []
    with suppress(BadJwt):
        read = read_header(token, types={None, "jwt", "at+jwt"}, algorithms=ASYMMETRIC)
        found.append((0, {"alg": read.alg, "kid": read.kid}))
    with suppress(BadJwt):
        found.append((1, unverified_claims(token)))
    assert not found or len(token) <= MAX_TOKEN
    for segment, said in found:
        theirs = strict.claims(token.split(".")[segment])
        assert isinstance(theirs, dict)
        if segment == 0:
            assert not {"crit", "b64"} & theirs.keys()
            theirs = {"alg": theirs["alg"], "kid": theirs.get("kid")}
        assert _same(theirs, said), f"read {said!r:.300}, and strictly {theirs!r:.300}"
    return bool(found)


def _same(theirs: Any, ours: Any) -> bool:
    """Equal; where `msgspec` has no room for an integer it makes a float."""
    if isinstance(theirs, dict) and isinstance(ours, Mapping):
        return theirs.keys() == ours.keys() and all(_same(value, ours[key]) for key, value in theirs.items())
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(map(_same, theirs, ours))
    return bool(theirs == ours) or (isinstance(theirs, int) and isinstance(ours, float) and float(theirs) == ours)


def _form(data: bytes) -> bool:
    """The parameters of a form, or a refusal where a strict reading refuses."""
    ours = theirs = None
    with suppress(InvalidRequest):
        ours = {name: list(values) for name, values in read_form(data).values.items()}
    with suppress(strict.Refused):
        theirs = strict.form(data, REPEATABLE, MAX_PARAMETERS)
    assert ours == theirs, f"read {ours!r:.300}, and strictly {theirs!r:.300}"
    return ours is not None


def _tokens() -> Iterator[bytes]:
    for header in (b'{"alg":"ES256","kid":"a","typ":"at+jwt"}', b'{"alg":"none"}', b'{"alg":"PS256","crit":["x"]}'):
        for said in (
            b'{"iss":"https://a.example","exp":1e9,"cnf":{"x5t#S256":"a"}}',
            b"[1]",
            b'{"a":"\\ud83d\\ude00"}',
        ):
            yield header + b"\n" + said + b"\n"
            yield b".".join(map(_segment, (header, said, b"signature")))


def _segment(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


_ABSENT = b"~"
_NAMES = Names()
_DERS = of_forwarded._DERS
_FORMS = (
    b"grant_type=client_credentials&client_id=a&scope=a+b", b"resource=https%3A%2F%2Fa&resource=b&audience=%C4%8D",
    b"a=%zz&b=%&c=\xc4\x8d&d=",
)  # fmt: skip

_CONTRACTS = {name: _forwarded(name) for name in CONTRACTS}

TARGETS: Mapping[str, Target] = {
    **_CONTRACTS,
    "caddy-fingerprint": _forwarded("caddy", fingerprint="x-fingerprint"),
    "xfcc": Target(_elements, _CONTRACTS["envoy"].seeds, of_forwarded._PARTS),
    "pem": Target(_pem, _CONTRACTS["aws-alb"].seeds, of_forwarded._PARTS),
    "der": Target(_der, lambda: _DERS[::3], [bytes((tag,)) for tag in b"\x02\x03\x04\x05\x06\x0c\x13\x30\x31\xa0\xa3"]),
    "dn": Target(
        _dn,
        lambda: [*(each.encode() for each in _TEXTS), *(each.encoded for each in SUBJECTS if len(each.encoded) < 500)],
        [each.encode() for each in (",", "+", ";", "=", "#", '"', "\\", "\\5C", "\\zz", "#0c", "CN=", "2.5.4.3=")],
        MAX_TEXT,
    ),
    "jwt": Target(
        _jwt,
        lambda: list(_tokens()),
        (b".", b"eyJ", b"-", b"_", b"=", b'"crit":', b'"alg":"', b'"kid":"', b"\\u", b"1e9", b"null", b"{", b"["),
        MAX_TOKEN,
    ),
    "form": Target(_form, lambda: _FORMS, (b"&", b"=", b"%", b"+", b"%2B", b"resource=", b"\xff"), 4096),
}
