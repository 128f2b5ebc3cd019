"""What a proxy would send: the headers of a contract for a certificate.

Rule 1: byte for byte what the proxy of that name writes with the configuration of `certbound proxy-config`.
Rule 2: no secret is among them: whoever sends them must bring it, or show that without it nothing is believed.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.core.certificate import Certificate
from certbound.tls.forwarded.contract import Contract
from certbound.tls.forwarded.contracts import contract_of

AnyCertificate = Certificate | x509.Certificate | bytes
"""Bytes are DER."""


def forwarded_headers(
    contract: str, certificate: AnyCertificate | None, chain: Sequence[AnyCertificate] = (), /, **headers: str
) -> dict[str, str]:
    """The headers of `contract` for a client with `certificate`, or with none; `chain` is what it sent behind that.

    `headers` rename them as in `contract_of`.  `ConfigurationError` for a contract that there is not.
    """
    made = contract_of(contract, **headers)
    ders = [_der(certificate), *map(_der, chain)] if certificate is not None else []
    said = _ENCODERS[contract](ders)
    return {_name(made, role): value for role, value in said.items() if _name(made, role)}


def _der(certificate: AnyCertificate) -> bytes:
    if isinstance(certificate, x509.Certificate):
        return certificate.public_bytes(Encoding.DER)
    return certificate.der if isinstance(certificate, Certificate) else certificate


def _name(contract: Contract, role: str) -> str:
    return str(getattr(contract, f"{role}_header"))


def _base64(der: bytes) -> str:
    return b64encode(der).decode("ascii")


def _pem(der: bytes) -> str:
    text = _base64(der)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""))


def _escaped(ders: Sequence[bytes], safe: str = "") -> str:
    return quote("".join(map(_pem, ders)), safe=safe)


def _sequence(der: bytes) -> str:
    return f":{_base64(der)}:"


def _rfc9440(ders: Sequence[bytes]) -> dict[str, str]:
    found = {"certificate": _sequence(ders[0])} if ders else {}
    return found | ({"chain": ", ".join(map(_sequence, ders[1:]))} if ders[1:] else {})


def _nginx(ders: Sequence[bytes]) -> dict[str, str]:
    return {"certificate": _escaped(ders[:1]), "verify": "SUCCESS"} if ders else {"verify": "NONE"}


def _haproxy(ders: Sequence[bytes]) -> dict[str, str]:
    if not ders:
        return {"verify": "NONE"}
    chain = {"chain": _base64(b"".join(ders[1:]))} if ders[1:] else {}
    return {"certificate": _base64(ders[0]), "verify": "0", **chain}


def _envoy(ders: Sequence[bytes]) -> dict[str, str]:
    if not ders:
        return {}
    digest = sha256(ders[0]).hexdigest()
    return {"certificate": f'Hash={digest};Cert="{_escaped(ders[:1])}";Chain="{_escaped(ders)}";Subject="";URI='}


def _apache(ders: Sequence[bytes]) -> dict[str, str]:
    if not ders:
        return {"certificate": "", "verify": "NONE"}
    return {"certificate": _base64(_pem(ders[0]).encode("ascii")), "verify": "SUCCESS"}


def _traefik(ders: Sequence[bytes]) -> dict[str, str]:
    return {"certificate": ",".join(map(_base64, ders))} if ders else {}


def _caddy(ders: Sequence[bytes]) -> dict[str, str]:
    der = ders[0] if ders else b""
    return {"certificate": _base64(der), "fingerprint": sha256(der).hexdigest()}


def _aws_alb(ders: Sequence[bytes]) -> dict[str, str]:
    return {"certificate": _escaped(ders, "+=/")} if ders else {}


def _aws_alb_verify(ders: Sequence[bytes]) -> dict[str, str]:
    return _aws_alb(ders[:1])


def _der_alone(ders: Sequence[bytes]) -> dict[str, str]:
    return {"certificate": _base64(ders[0])} if ders else {}


def _gcp(ders: Sequence[bytes]) -> dict[str, str]:
    there = {"certificate": "", "chain": "", "present": "true" if ders else "false", "error": ""}
    return there | _rfc9440(ders)


def _kong(ders: Sequence[bytes]) -> dict[str, str]:
    return {"certificate": _escaped(ders[:1])} if ders else {}


_ENCODERS: Mapping[str, Callable[[Sequence[bytes]], dict[str, str]]] = {
    "rfc9440": _rfc9440,
    "nginx": _nginx,
    "haproxy": _haproxy,
    "envoy": _envoy,
    "apache": _apache,
    "traefik": _traefik,
    "caddy": _caddy,
    "aws-alb": _aws_alb,
    "aws-alb-verify": _aws_alb_verify,
    "azure-app-service": _der_alone,
    "gcp": _gcp,
    "cloudflare": _rfc9440,
    "cloudflare-der": _der_alone,
    "kong": _kong,
}
