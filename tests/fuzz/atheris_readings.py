"""What strangers' bytes say, read a second time, strictly and in other ways than the product reads them.

Rule 1: nothing here is imported from what is tested but the verdict on the leaf itself, which has a target of its own.
Rule 2: characters are walked one by one: no regular expression, no `base64`, no `urllib` decides anything.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

Values = Mapping[str, bytes]
Ders = list[bytes]
"""The leaf, and what stands behind it."""


class Refused(ValueError):
    """It says nothing that may be believed."""


# --- encodings


def unescaped(value: bytes) -> bytes:
    """Behind `%XX`; a plus stays a plus."""
    found, at = bytearray(), 0
    while at < len(value):
        if value[at] != ord("%"):
            found.append(value[at])
            at += 1
            continue
        high, low = (_HEX.find(value[at + step : at + step + 1].upper() or b"?") for step in (1, 2))
        if high < 0 or low < 0:
            raise Refused("a percent sign that escapes nothing")
        found.append(16 * high + low)
        at += 3
    return bytes(found)


def unbased(value: bytes, alphabet: bytes = b"+/", *, padded: bool = True) -> bytes:
    """Behind base64 with these two last signs, padded or never, not a bit left over."""
    letters = _LETTERS + alphabet
    body = value.rstrip(b"=") if padded else value
    if (padded and (len(value) % 4 or len(value) - len(body) > 2)) or len(body) % 4 == 1:
        raise Refused("of no length that base64 has")
    number = 0
    for sign in body:
        digit = letters.find(bytes((sign,)))
        if digit < 0:
            raise Refused("no sign of base64")
        number = number << 6 | digit
    left = 6 * len(body) % 8
    if number & (1 << left) - 1:
        raise Refused("bits are left over")
    return (number >> left).to_bytes(6 * len(body) // 8, "big")


def der_of(value: bytes) -> bytes:
    """Base64 that is not empty."""
    found = unbased(value)
    if not found:
        raise Refused("nothing")
    return found


def pem(text: bytes) -> Ders:
    """Blocks with white space around them, one at least."""
    found, rest = [], text.strip()
    while rest:
        if not rest.startswith(_BEGIN):
            raise Refused("no beginning")
        body, end, rest = rest[len(_BEGIN) :].partition(_END)
        if not end:
            raise Refused("no end")
        found.append(der_of(bytes(sign for sign in body if sign not in b" \t\n\r\v\f")))
        rest = rest.lstrip()
    if not found:
        raise Refused("no block")
    return found


def one(ders: Ders) -> Ders:
    if len(ders) != 1:
        raise Refused("not one")
    return ders


def in_a_row(data: bytes) -> Ders:
    """DER values behind each other."""
    found = []
    while data:
        size = _size(data)
        found.append(data[:size])
        data = data[size:]
    return found


def is_sequence(der: bytes) -> bool:
    """One SEQUENCE, whole."""
    try:
        return der[:1] == b"\x30" and _size(der) == len(der)
    except Refused:
        return False


def _size(data: bytes) -> int:
    """How many bytes the first value takes."""
    if len(data) < 2 or data[0] & 0x1F == 0x1F:
        raise Refused("no tag and length")
    if data[1] < 0x80:
        length, header = data[1], 2
    else:
        octets = data[2 : 2 + (data[1] & 0x7F)]
        length, header = int.from_bytes(octets, "big"), 2 + len(octets)
        shortest = length.to_bytes((length.bit_length() + 7) // 8, "big")
        if length < 0x80 or len(octets) > 4 or octets != shortest or len(octets) != data[1] & 0x7F:
            raise Refused("no minimal length")
    if header + length > len(data):
        raise Refused("cut off")
    return header + length


# --- contracts


def sequence(value: bytes) -> bytes:
    """A byte sequence of structured fields."""
    value = value.strip(b" ")
    if len(value) < 2 or value[0] != ord(":") or value[-1] != ord(":"):
        raise Refused("no colons")
    return der_of(value[1:-1])


def _sequences(value: bytes) -> Ders:
    return [sequence(each.strip(b" \t")) for each in value.split(b",")] if value else []


def elements(value: bytes) -> list[list[tuple[bytes, bytes]]]:
    """Of XFCC."""
    found: list[list[tuple[bytes, bytes]]] = [[]]
    rest = value
    while True:
        key, equals, rest = rest.lstrip(b" \t").partition(b"=")
        if not equals or len(key) > 32 or not key[:1].isalpha() or not key.translate(None, b"_-").isalnum():
            raise Refused("no key")
        said, rest = _quoted(rest[1:]) if rest.startswith(b'"') else _bare(rest)
        found[-1].append((key.lower(), said))
        if not rest:
            return found
        if rest[0] not in b",;":
            raise Refused("something behind a value")
        if rest[0] == ord(","):
            found.append([])
        rest = rest[1:]


def _quoted(text: bytes) -> tuple[bytes, bytes]:
    """What stands in front of the quote, and behind it."""
    found, at = bytearray(), 0
    while text[at : at + 1] != b'"':
        at += text[at : at + 1] == b"\\"
        if at >= len(text):
            raise Refused("no quote at the end")
        found.append(text[at])
        at += 1
    return bytes(found), text[at + 1 :]


def _bare(text: bytes) -> tuple[bytes, bytes]:
    end = min((at for at in map(text.find, (b",", b";")) if at >= 0), default=len(text))
    if b'"' in text[:end]:
        raise Refused("a quote inside")
    return text[:end], text[end:]


def _envoy(values: Sequence[bytes]) -> Ders | None:
    if not values[0]:
        return None
    *others, last = elements(values[0])
    if {key for each in others for key, _ in each} - {b"by", b"hash", b"cert", b"chain", b"subject"}:
        raise Refused("names in front")
    said = {key: [value for other, value in last if other == key] for key in (b"cert", b"hash", b"chain")}
    if any(len(each) > 1 for each in said.values()) or not said[b"cert"]:
        raise Refused("not one certificate")
    [leaf] = one(pem(unescaped(said[b"cert"][0])))
    if said[b"hash"] and said[b"hash"][0].lower().decode("latin-1") != sha256(leaf).hexdigest():
        raise Refused("another hash")
    ders = pem(unescaped(said[b"chain"][0])) if any(said[b"chain"]) else [leaf]
    if ders[0] != leaf:
        raise Refused("another chain")
    return ders


def _there(verify: bytes, certificate: bytes, *more: bytes, words: Callable[[bytes], bool]) -> bool:
    if verify == b"NONE" and not certificate and not any(more):
        return False
    if verify == b"NONE" or not words(verify) or not certificate:
        raise Refused("the status says otherwise")
    return True


def _nginx(values: Sequence[bytes]) -> Ders | None:
    certificate, verify = values
    words = lambda said: said == b"SUCCESS" or said[:7] == b"FAILED:"  # noqa: E731
    return one(pem(unescaped(certificate))) if _there(verify, certificate, words=words) else None


def _apache(values: Sequence[bytes]) -> Ders | None:
    certificate, verify = b"" if values[0] == b"(null)" else values[0], values[1]
    words = lambda said: said in (b"SUCCESS", b"GENEROUS") or said[:7] == b"FAILED:"  # noqa: E731
    return one(pem(der_of(certificate))) if _there(verify, certificate, words=words) else None


def _haproxy(values: Sequence[bytes]) -> Ders | None:
    certificate, verify, chain = values
    words = lambda said: 0 < len(said) < 4 and all(48 <= each < 58 for each in said)  # noqa: E731
    if not _there(verify, certificate, chain, words=words):
        return None
    return [der_of(certificate), *(in_a_row(der_of(chain)) if chain else [])]


def _rfc9440(values: Sequence[bytes]) -> Ders | None:
    leaf, chain = values
    if not leaf and not chain:
        return None
    if not leaf:
        raise Refused("a chain of nobody")
    return [sequence(leaf), *_sequences(chain)]


def _gcp(values: Sequence[bytes]) -> Ders | None:
    leaf, chain, present, _ = values
    if (present, leaf, chain) == (b"false", b"", b""):
        return None
    if present != b"true" or not leaf:
        raise Refused("present, and not there")
    return _rfc9440((leaf, chain))


def _caddy(values: Sequence[bytes]) -> Ders | None:
    der = der_of(values[0]) if values[0] else b""
    if len(values) > 1 and values[1].lower().decode("latin-1") != sha256(der).hexdigest():
        raise Refused("another fingerprint")
    return [der] if der else None


def _der_alone(values: Sequence[bytes]) -> Ders | None:
    return [der_of(values[0])] if values[0] else None


def _escaped_one(values: Sequence[bytes]) -> Ders | None:
    return one(pem(unescaped(values[0]))) if values[0] else None


def _escaped_all(values: Sequence[bytes]) -> Ders | None:
    return pem(unescaped(values[0])) if values[0] else None


def _traefik(values: Sequence[bytes]) -> Ders | None:
    return [der_of(each) for each in values[0].split(b",")] if values[0] else None


READINGS: Mapping[str, Callable[[Sequence[bytes]], Ders | None]] = {
    "rfc9440": _rfc9440,
    "nginx": _nginx,
    "haproxy": _haproxy,
    "envoy": _envoy,
    "apache": _apache,
    "traefik": _traefik,
    "caddy": _caddy,
    "aws-alb": _escaped_all,
    "aws-alb-verify": _escaped_one,
    "azure-app-service": _der_alone,
    "gcp": _gcp,
    "cloudflare": _rfc9440,
    "cloudflare-der": _der_alone,
    "kong": _escaped_one,
}
"""By contract: what the headers that it reads say, in the order of its roles; empty ones were not sent."""


def forwarded(contract: str, values: Sequence[bytes]) -> Ders | None:
    """The leaf and its chain; None for no certificate.  `Refused` for all else but what is wrong with the leaf."""
    ders = READINGS[contract](values)
    if ders and not all(is_sequence(each) for each in ders[1:]):
        raise Refused("the chain holds what is no certificate")
    return ders


# --- forms and tokens


def form(body: bytes, repeatable: frozenset[str], most: int) -> dict[str, list[str]]:
    """The parameters of a form, empty ones left out."""
    found: dict[str, list[str]] = {}
    pairs = body.split(b"&") if body else []
    if len(pairs) > most or not all(b"=" in each for each in pairs):
        raise Refused("too many, or no pair")
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        if value:
            found.setdefault(_form_text(name), []).append(_form_text(value))
    if any(len(values) > 1 and name not in repeatable for name, values in found.items()):
        raise Refused("twice")
    return found


def _form_text(value: bytes) -> str:
    """A percent sign that escapes nothing is one."""
    found, at = bytearray(), 0
    value = value.replace(b"+", b" ")
    while at < len(value):
        try:
            found += unescaped(value[at : at + 3]) if value[at] == ord("%") else value[at : at + 1]
            at += 3 if value[at] == ord("%") else 1
        except Refused:
            found.append(value[at])
            at += 1
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        raise Refused("no UTF-8") from error


def claims(segment: str) -> object:
    """What a segment of a JWT holds."""
    try:
        return json.loads(unbased(segment.encode(), b"-_", padded=False))
    except (ValueError, RecursionError) as error:
        raise Refused(str(error)) from error


_HEX = b"0123456789ABCDEF"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
