"""certbound.tls.forwarded: what a proxy sends is the certificate that our own listener would have seen, or refused."""

import json
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509

from certbound.core.certificate import PeerCertificate
from certbound.core.errors import ConfigurationError
from certbound.testing.forwarded import forwarded_headers
from certbound.tls.forwarded import CONTRACTS, BadForwarded, contract_of
from certbound.tls.forwarded.contract import MAX_CHAIN, Contract, OwnHeaders
from certbound.trust.authority import Authority, self_signed
from certificates import der, peer, tlv

ROOT = Authority.create("Root")
CLIENT = ROOT.issue("CN=client", dns=["client.example"])
OTHER = self_signed("CN=other")
PADDED = next(each.der for each in (self_signed(f"CN={'p' * n}") for n in range(1, 50)) if len(each.der) % 3)
DER, CHAIN = CLIENT.der, (der(ROOT), der(OTHER.certificate))
MEASURED = json.loads((Path(__file__).parents[2] / "vectors" / "forwarded.json").read_text())
KINDS = [(proxy, kind) for proxy, kinds in MEASURED.items() for kind in kinds]
WITH_CHAIN = {"rfc9440", "haproxy", "envoy", "traefik", "aws-alb", "gcp", "cloudflare"}
SAYS_NONE = {"nginx": "x-ssl-client-verify", "haproxy": "x-ssl-client-verify", "apache": "x-ssl-client-verify",
             "gcp": "x-client-cert-present"}  # fmt: skip


def read(contract: str | Contract, headers: dict[str, str]) -> PeerCertificate | None:
    """As it comes from the wire."""
    return contract_of(contract).read({name: value.encode("latin-1") for name, value in headers.items()})


def certificate_header(contract: str) -> str:
    return contract_of(contract).headers[0]


def pem(*ders: bytes) -> str:
    return "".join(
        f"-----BEGIN CERTIFICATE-----\n{b64encode(each).decode()}\n-----END CERTIFICATE-----\n" for each in ders
    )


WRAPPED: dict[str, Callable[[bytes], str]] = {
    "rfc9440": lambda der: f":{b64encode(der).decode()}:",
    "nginx": lambda der: quote(pem(der), safe=""),
    "haproxy": lambda der: b64encode(der).decode(),
    "envoy": lambda der: f'Cert="{quote(pem(der), safe="")}"',
    "apache": lambda der: b64encode(pem(der).encode()).decode(),
    "traefik": lambda der: b64encode(der).decode(),
    "caddy": lambda der: b64encode(der).decode(),
    "aws-alb": lambda der: quote(pem(der), safe="+=/"),
    "aws-alb-verify": lambda der: quote(pem(der), safe="+=/"),
    "azure-app-service": lambda der: b64encode(der).decode(),
    "gcp": lambda der: f":{b64encode(der).decode()}:",
    "cloudflare": lambda der: f":{b64encode(der).decode()}:",
    "cloudflare-der": lambda der: b64encode(der).decode(),
    "kong": lambda der: quote(pem(der), safe=""),
}
"""One certificate in the contract's own wrapping, written here a second time."""
OF_PEM = {"nginx", "envoy", "aws-alb", "aws-alb-verify", "kong"}


def with_value(contract: str, value: str) -> dict[str, str]:
    """An honest request but for the header that holds the certificate."""
    return forwarded_headers(contract, DER) | {certificate_header(contract): value}


@pytest.mark.parametrize("contract", CONTRACTS)
def test_it_is_what_our_own_listener_would_have_seen(contract: str) -> None:
    """The same leaf, and the same certificates behind it in the same order, where the proxy sends them."""
    assert read(contract, forwarded_headers(contract, DER)) == peer(CLIENT)
    expected = peer(CLIENT, *CHAIN) if contract in WITH_CHAIN else peer(CLIENT)
    assert read(contract, forwarded_headers(contract, CLIENT.certificate, CHAIN)) == expected
    assert read(contract, with_value(contract, WRAPPED[contract](DER))) == peer(CLIENT)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_no_certificate_is_none(contract: str) -> None:
    """As the proxy says it, and with an empty value."""
    nothing = forwarded_headers(contract, None)
    assert read(contract, nothing) is None
    assert read(contract, nothing | {certificate_header(contract): ""}) is None


@pytest.mark.parametrize(("proxy", "kind"), KINDS)
def test_what_real_proxies_sent(proxy: str, kind: str) -> None:
    """The values that nginx 1.31, HAProxy 2.6, Envoy 1.40, Caddy 2.11, Traefik 3.7 and Apache 2.4 really wrote."""
    sent = dict(MEASURED[proxy][kind])
    standard, fingerprint = sent.pop("client-cert", None), sent.pop("x-ssl-client-fingerprint", None)
    if proxy == "haproxy" and kind == "none":
        sent["x-ssl-client-verify"] = "NONE"  # by the line that `certbound proxy-config` adds
    found = read(proxy, sent)
    if kind == "none":
        assert found is None
        return
    assert found is not None
    # Envoy and Caddy computed the hash themselves.
    assert sha256(found.leaf.der).hexdigest() == MEASURED["caddy"][kind]["x-ssl-client-fingerprint"]
    if fingerprint is not None:
        checking = contract_of("caddy", fingerprint="x-ssl-client-fingerprint")
        assert read(checking, sent | {"x-ssl-client-fingerprint": fingerprint}) == found
    if standard is not None:
        assert read("rfc9440", {"client-cert": standard}) == PeerCertificate(found.leaf)
    behind = ["CN=Test CA"] if kind == "client" and proxy in WITH_CHAIN else []
    assert [subject(each) for each in found.chain] == behind


def subject(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


@pytest.mark.parametrize("kind", ["client", "self", "clientother"])
def test_the_folded_pem_of_apache_is_not_read(kind: str) -> None:
    """`%{SSL_CLIENT_CERT}s` in the place of its base64."""
    sent = MEASURED["apache"][kind]
    with pytest.raises(BadForwarded):
        read("apache", {**sent, "x-ssl-client-cert": sent["x-ssl-client-cert-raw"]})


NOT_CANONICAL = {
    "trailing DER": lambda wrap: wrap(DER + b"\0"),
    "two leaves in one": lambda wrap: wrap(DER + OTHER.der),
    "a thumbprint": lambda wrap: wrap(sha256(DER).digest()),
    "a hexadecimal thumbprint": lambda wrap: sha256(DER).hexdigest(),
    "a bare thumbprint in base64": lambda wrap: b64encode(sha256(DER).digest()).decode(),
    "BER": lambda wrap: wrap(b"\x30\x83\x00" + DER[2:]),
    "cut off": lambda wrap: wrap(DER[:-1]),
    "another structure": lambda wrap: wrap(tlv(0x30, b"")),
    "nothing wrapped": lambda wrap: wrap(b"") or " ",
    "text before": lambda wrap: "A" + wrap(DER),
    "text behind": lambda wrap: wrap(DER) + "A",
    "a NUL": lambda wrap: wrap(DER) + "\0",
    "a NUL inside": lambda wrap: wrap(DER)[:200] + "\0" + wrap(DER)[200:],
    "not ASCII": lambda wrap: wrap(DER)[:200] + "\xe9" + wrap(DER)[201:],
    "the other spelling of base64": lambda wrap: wrap(DER)[:200] + "-_" + wrap(DER)[202:],
    "64 kB": lambda wrap: wrap(DER) + "A" * 65536,
    "64 kB of commas": lambda wrap: "," * 65536,
    "64 kB of quotes": lambda wrap: '"' * 65536,
    "two values": lambda wrap: f"{wrap(DER)}, {wrap(DER)} ",
    "a parameter": lambda wrap: wrap(DER) + ";a",
    "(null)": lambda wrap: "(null)",
    "white space": lambda wrap: " ",
    "form encoding": lambda wrap: wrap(DER).replace("%20", "+").replace(" ", "+") + "+",
    "a percent sign": lambda wrap: wrap(DER) + "%",
    "half an escape": lambda wrap: wrap(DER) + "%4",
    "an escape of nothing": lambda wrap: wrap(DER) + "%zz",
}


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("bad", NOT_CANONICAL)
def test_a_value_is_read_one_way_or_refused(contract: str, bad: str) -> None:
    """Nothing is repaired, and nothing that is there is overlooked."""
    value = NOT_CANONICAL[bad](WRAPPED[contract])
    if contract == "apache" and bad == "(null)":
        value += "x"  # alone it is how Apache says "none"
    with pytest.raises(BadForwarded):
        read(contract, with_value(contract, value))


@pytest.mark.parametrize("contract", sorted(OF_PEM | {"apache"}))
@pytest.mark.parametrize(
    "text",
    [
        pem(DER) + "x", "x" + pem(DER), pem(DER).replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
        "Subject: CN=admin\n" + pem(DER), pem(DER)[:-10], pem(DER).replace("MII", "M=I", 1),
        pem(DER).replace("-----END", "\0-----END"), "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
        pem(DER) + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", pem(PADDED).replace("=", ""),
        pem(DER) + pem(OTHER.der)[:-20],
    ],
    ids=range(11),
)  # fmt: skip
def test_pem_is_whole_and_alone(contract: str, text: str) -> None:
    """Neither text around it, nor other kinds of blocks, nor base64 that is not canonical."""
    value = {
        "apache": b64encode(text.encode()).decode(), "envoy": f'Cert="{quote(text, safe="")}"',
    }.get(contract, quote(text, safe=""))  # fmt: skip
    with pytest.raises(BadForwarded):
        read(contract, with_value(contract, value))


@pytest.mark.parametrize("contract", ["rfc9440", "cloudflare", "gcp"])
def test_a_byte_sequence_stands_between_colons(contract: str) -> None:
    """Both; in the chain as well (RFC 8941 section 3.3.5)."""
    text, good = b64encode(DER).decode(), forwarded_headers(contract, DER, CHAIN)
    [chain] = [name for name in good if name.endswith("chain")]
    for wrong in (text, f":{text}", f"{text}:", f"*{text}*", f'"{text}"', f"::{text}::", ":", "::"):
        with pytest.raises(BadForwarded):
            read(contract, good | {certificate_header(contract): wrong})
        with pytest.raises(BadForwarded):
            read(contract, good | {chain: f"{good[chain]}, {wrong}"})


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_comma_is_suspicious_where_it_could_say_who_the_client_is(contract: str) -> None:
    """Everywhere but in a chain, and between quotes."""
    made = contract_of(contract)
    for name in made.headers:
        is_chain = name.endswith("chain") and contract in {"rfc9440", "cloudflare", "gcp"}
        assert made.may_be_joined(name, b"a=b,c=d") is not is_chain
        assert not made.may_be_joined(name, b"a=b")


@pytest.mark.parametrize("contract", CONTRACTS)
def test_base64_has_one_spelling(contract: str) -> None:
    """No bits left over, which would be a second value for the same certificate; and it is padded."""
    padded = next(each for each in (self_signed(f"CN={'x' * n}") for n in range(1, 50)) if len(each.der) % 3 == 2)
    good = b64encode(padded.der).decode()
    wrapped = WRAPPED[contract](padded.der)
    assert read(contract, with_value(contract, wrapped)) == peer(padded)
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    left_over = good[:-2] + last[last.index(good[-2]) + 1] + "="
    for other in (left_over, good[:-1]):
        text = f"-----BEGIN CERTIFICATE-----\n{other}\n-----END CERTIFICATE-----\n"
        if contract in OF_PEM:
            value = quote(text, safe="")
            value = f'Cert="{value}"' if contract == "envoy" else value
        else:
            value = b64encode(text.encode()).decode() if contract == "apache" else wrapped.replace(good, other)
        with pytest.raises(BadForwarded, match="base64"):
            read(contract, with_value(contract, value))


@pytest.mark.parametrize("contract", sorted(set(CONTRACTS) - {"aws-alb", "traefik"}))
def test_two_leaves_are_refused(contract: str) -> None:
    """Where one is due, in whatever order."""
    for ders in ((DER, OTHER.der), (OTHER.der, DER), (DER, DER)):
        if contract in OF_PEM:
            value = quote(pem(*ders), safe="")
            value = f'Cert="{value}"' if contract == "envoy" else value
        elif contract == "apache":
            value = b64encode(pem(*ders).encode()).decode()
        else:
            value = ", ".join(map(WRAPPED[contract], ders))
        with pytest.raises(BadForwarded):
            read(contract, with_value(contract, value))


@pytest.mark.parametrize("contract", sorted(OF_PEM))
def test_a_plus_is_base64_and_no_space(contract: str) -> None:
    """Percent-decoding only: with every other character escaped, and with none that need not be."""
    value = "".join(f"%{ord(each):02x}" if each != "+" else "+" for each in pem(DER))
    wrap = 'Cert="{}"' if contract == "envoy" else "{}"
    assert read(contract, with_value(contract, wrap.format(value))) == peer(CLIENT)
    spaced = wrap.format(quote(pem(DER), safe="+").replace("%20", "+"))
    with pytest.raises(BadForwarded):
        read(contract, with_value(contract, spaced))


@pytest.mark.parametrize("contract", SAYS_NONE)
def test_the_status_is_there_and_agrees(contract: str) -> None:
    """A client can make some proxies drop a header: what is missing never looks like "no certificate, all well"."""
    status, header = SAYS_NONE[contract], certificate_header(contract)
    good, nothing = forwarded_headers(contract, DER), forwarded_headers(contract, None)
    for wrong in (
        {name: value for name, value in good.items() if name != status},  # `Connection: <status>`
        {name: value for name, value in good.items() if name != header},  # `Connection: <certificate>`
        {},
        good | {header: ""},
        good | {status: nothing[status]},
        nothing | {header: good[header]},
        *(
            good | {status: said}
            for said in (
                "", " ", "none", "success", "SUCCESS ", "NONE,SUCCESS", "FAILED", "True", "TRUE", "1,0", "12345", "²",
            )
        ),
    ):  # fmt: skip
        with pytest.raises(BadForwarded):
            read(contract, wrong)


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        ("nginx", "FAILED:self-signed certificate"), ("nginx", "FAILED:certificate has expired"), ("haproxy", "18"),
        ("haproxy", "0"), ("apache", "GENEROUS"), ("apache", "FAILED:unable to verify the first certificate"),
    ],
)  # fmt: skip
def test_what_the_proxy_thinks_of_the_certificate_is_not_asked(contract: str, said: str) -> None:
    """It proves possession, and we judge."""
    assert read(contract, forwarded_headers(contract, DER) | {"x-ssl-client-verify": said}) == peer(CLIENT)


@pytest.mark.parametrize("contract", ["rfc9440", "cloudflare", "gcp", "haproxy"])
def test_a_chain_without_a_leaf_is_refused(contract: str) -> None:
    """Nobody's identity."""
    chain = {name: v for name, v in forwarded_headers(contract, DER, CHAIN).items() if name.endswith("chain")}
    assert chain
    with pytest.raises(BadForwarded):
        read(contract, forwarded_headers(contract, None) | chain)


@pytest.mark.parametrize("contract", sorted(WITH_CHAIN - {"haproxy"}))
@pytest.mark.parametrize("bad", [b"", b"\0", der(ROOT) + b"\0", der(ROOT)[:-1], b"\x04\x00", b"\x30\x81\x00"])
def test_a_chain_holds_der_and_nothing_else(contract: str, bad: bytes) -> None:
    """Each is one whole value."""
    with pytest.raises(BadForwarded):
        read(contract, forwarded_headers(contract, DER, (der(ROOT), bad)))


def test_concatenated_chains_are_whole() -> None:
    """HAProxy's: nothing before, between or behind."""
    for bad in (b"\0", der(ROOT) + b"\0", der(ROOT)[:-1], b"\0" + der(ROOT), b"\x04\x00" + der(ROOT)):
        with pytest.raises(BadForwarded):
            read("haproxy", forwarded_headers("haproxy", DER, (bad,)))


@pytest.mark.parametrize("contract", sorted(WITH_CHAIN))
def test_of_a_long_chain_as_much_is_kept_as_on_our_own_listener(contract: str) -> None:
    """The rest is ignored there too."""
    found = read(contract, forwarded_headers(contract, DER, [der(ROOT)] * (MAX_CHAIN + 3)))
    assert found == peer(CLIENT, *[ROOT] * MAX_CHAIN)


def test_a_load_balancer_that_had_no_room_says_so() -> None:
    """Google's sends an empty value for a large certificate, which is not "no certificate"."""
    sent = forwarded_headers("gcp", None) | {
        "x-client-cert-present": "true", "x-client-cert-error": "client_cert_chain_max_name_constraints_exceeded",
    }  # fmt: skip
    with pytest.raises(BadForwarded, match="max_name_constraints_exceeded"):
        read("gcp", sent)


def test_a_declared_fingerprint_must_agree() -> None:
    """Caddy's; the hash of nothing is "no certificate", and stands beside nothing only."""
    contract = contract_of("caddy", fingerprint="x-ssl-client-fingerprint")
    good = forwarded_headers("caddy", DER, fingerprint="x-ssl-client-fingerprint")
    nothing = forwarded_headers("caddy", None, fingerprint="x-ssl-client-fingerprint")
    assert nothing["x-ssl-client-fingerprint"].startswith("e3b0c442")
    assert (read(contract, good), read(contract, nothing)) == (peer(CLIENT), None)
    for wrong in (
        {**good, "x-ssl-client-fingerprint": nothing["x-ssl-client-fingerprint"]},
        {**nothing, "x-ssl-client-fingerprint": good["x-ssl-client-fingerprint"]},
        {"x-ssl-client-cert": good["x-ssl-client-cert"]},
        {"x-ssl-client-fingerprint": good["x-ssl-client-fingerprint"]},
        {},
    ):
        with pytest.raises(BadForwarded):
            read(contract, wrong)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_header_can_be_renamed(contract: str) -> None:
    """By what it says; the names of the default are nobody's then."""
    kind: type[OwnHeaders] = CONTRACTS[contract]
    renamed = {role: f"my-{role}" for role in kind.roles()}
    made = contract_of(contract, **renamed)
    assert set(renamed.values()) <= set(made.headers)
    headers = forwarded_headers(contract, DER, CHAIN, **renamed)
    assert all(name.startswith("my-") for name in headers)
    assert read(made, headers) == read(contract, forwarded_headers(contract, DER, CHAIN))
    assert contract_of(contract, certificate="My-Own").headers[0] == "my-own"


@pytest.mark.parametrize(
    "name", ["", "a b", "a_b", "é", "a:", "-a", "a-", "a--b", "host", "authorization", "a\n", "a.b"]
)
def test_a_name_that_is_none_stops_the_start(name: str) -> None:
    """Or one that has another meaning; the error says which."""
    if name:
        with pytest.raises(ConfigurationError, match="certificate"):
            contract_of("nginx", certificate=name)
    with pytest.raises(ConfigurationError, match="verify and certificate"):
        contract_of("nginx", verify="x-same", certificate="x-same")


def test_unknown_contracts_and_headers_are_told_with_those_there_are() -> None:
    """So that the next step is known."""
    with pytest.raises(ConfigurationError, match=r"no contract 'Nginx'; choose one of rfc9440, nginx, haproxy"):
        contract_of("Nginx")
    with pytest.raises(ConfigurationError, match=r"nginx has no header 'chain'; it has certificate, verify"):
        contract_of("nginx", chain="x-chain")
    with pytest.raises(ConfigurationError, match="given by its name"):
        contract_of(contract_of("nginx"), certificate="x")


def test_no_contract_is_without_its_certificate_header() -> None:
    """An empty name switches a header off, which one that decides cannot be."""
    for contract in CONTRACTS:
        for role in CONTRACTS[contract].roles():
            if role not in {"chain", "fingerprint", "error"}:
                with pytest.raises(ConfigurationError):
                    contract_of(contract, **{role: ""})


def test_what_load_balancers_of_amazon_say_besides_is_owned() -> None:
    """Their subject and serial number are removed as the certificate is."""
    for contract in ("aws-alb", "aws-alb-verify"):
        owned = contract_of(contract).headers
        assert len(set(owned)) == len(owned) == 6
        assert {"x-amzn-mtls-clientcert", "x-amzn-mtls-clientcert-leaf", "x-amzn-mtls-clientcert-subject"} <= {*owned}
