"""certbound.tls.forwarded.envoy: of `x-forwarded-client-cert` only what the proxy in front of us wrote counts."""

from hashlib import sha256
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded import BadForwarded
from certbound.tls.forwarded.envoy import Envoy, elements
from certbound.trust.authority import Authority, Issued, self_signed
from certificates import der, peer
from speed import least

ROOT = Authority.create("Root")
CLIENT, VICTIM = ROOT.issue("CN=client"), ROOT.issue("CN=victim")
HEADER = "x-forwarded-client-cert"


def escaped(*issued: Issued | Authority) -> str:
    return quote(b"".join(each.certificate.public_bytes(Encoding.PEM) for each in issued).decode(), safe="")


def digest(issued: Issued) -> str:
    return sha256(issued.der).hexdigest()


def element(issued: Issued, rest: str = "") -> str:
    return f'Hash={digest(issued)};Cert="{escaped(issued)}"{rest}'


def read(value: str) -> PeerCertificate | None:
    return Envoy().read({HEADER: value.encode("latin-1")})


@pytest.mark.parametrize(
    "before",
    [
        "Hash=" + "0" * 64,
        element(VICTIM),
        f"By=spiffe://a/b;{element(VICTIM)}",
        element(VICTIM, ';Subject="CN=x,O=\\"y\\""'),
    ],
)
def test_of_several_elements_the_last_counts(before: str) -> None:
    """The others are what a client, or a proxy before, said."""
    assert read(f"{before},{element(CLIENT)}") == peer(CLIENT)
    assert read(f"{element(CLIENT)}, {before},{element(CLIENT)}") == peer(CLIENT)


@pytest.mark.parametrize("name", ["DNS=a.example", "URI=", "URI=spiffe://a/b", 'DNS="a.example"', "dns=a", "new=a"])
def test_an_element_inside_a_name_of_a_certificate_is_no_element(name: str) -> None:
    """Envoy writes alternative names as they are: a self-signed certificate can hold a comma and a victim's element."""
    evil = f"a.example,{element(VICTIM)}"
    assert read(element(CLIENT, f";{name}")) == peer(CLIENT)
    with pytest.raises(BadForwarded, match="SANITIZE_SET"):
        read(element(CLIENT, f";{name},{element(VICTIM)}"))
    with pytest.raises(BadForwarded):
        read(element(CLIENT, f";DNS={evil}"))
    for inside in (
        f'x;Cert="{escaped(VICTIM)}"',
        f"x;Hash={digest(VICTIM)}",
        f'x;Hash={digest(VICTIM)};Cert="{escaped(VICTIM)}"',
    ):
        with pytest.raises(BadForwarded):
            read(element(CLIENT, f";DNS={inside}"))
    with pytest.raises(BadForwarded):  # where cert is not forwarded, a name cannot bring one
        read(f'Hash={digest(CLIENT)};DNS=x;Cert="{escaped(VICTIM)}"')


@pytest.mark.parametrize("subject", ['CN=\\",Hash=1', "CN=a\\\\", "CN=a\\,b;c=d,e=f", "", '\\"'])
def test_a_quoted_value_ends_at_its_quote(subject: str) -> None:
    """A subject in the spelling of RFC 2253, which escapes quotes and backslashes, is one value."""
    assert read(element(CLIENT, f';Subject="{subject}";URI=;DNS=a.example')) == peer(CLIENT)
    [found] = elements(f'Subject="{subject}"'.encode())
    assert found[0][0] == "subject"


def test_keys_are_in_any_case_and_any_order() -> None:
    """As Envoy's documentation has it."""
    assert read(f'cert="{escaped(CLIENT)}";HASH={digest(CLIENT).upper()};By=spiffe://a') == peer(CLIENT)


def test_the_chain_begins_with_the_certificate() -> None:
    """And what is behind it is the chain."""
    good = element(CLIENT, f';Chain="{escaped(CLIENT, ROOT)}"')
    assert read(good) == PeerCertificate(peer(CLIENT).leaf, (der(ROOT),))
    for chain in (escaped(ROOT), escaped(VICTIM, CLIENT), escaped(ROOT, CLIENT), "A", "%00"):
        with pytest.raises(BadForwarded):
            read(element(CLIENT, f';Chain="{chain}"'))


@pytest.mark.parametrize(
    "value",
    [
        f"Hash={digest(CLIENT)}",
        f'Hash={digest(CLIENT)};Subject="CN=client"',
        f"{element(CLIENT)},Hash={digest(CLIENT)}",
        f'Hash={digest(VICTIM)};Cert="{escaped(CLIENT)}"',
        f'Hash=;Cert="{escaped(CLIENT)}"',
        f'{element(CLIENT)};Cert="{escaped(VICTIM)}"',
        f'{element(CLIENT)};cert="{escaped(CLIENT)}"',
        f"{element(CLIENT)};Hash={digest(CLIENT)}",
        f'Chain="{escaped(CLIENT)}";Hash={digest(CLIENT)}',
        f'Cert="{escaped(CLIENT, VICTIM)}"',
        f"{element(CLIENT)},",
        f",{element(CLIENT)}",
        f"{element(CLIENT)};",
        f"{element(CLIENT)};;DNS=a",
        f"{element(CLIENT)};DNS",
        f'{element(CLIENT)};DNS="a',
        f'{element(CLIENT)};DNS=a"b',
        f'{element(CLIENT)};DNS="a"b',
        f'{element(CLIENT)};DNS="a\\"',
        f"{element(CLIENT)};=a",
        f"{element(CLIENT)};D\0S=a",
        f"{element(CLIENT)} x",
        "Cert=",
        'Cert=""',
        "SPOOF",
    ],
    ids=range(25),
)
def test_what_is_no_element_of_its_proxy(value: str) -> None:
    """A hash alone is no proof, nothing stands twice, and the grammar is kept to the end."""
    with pytest.raises(BadForwarded):
        read(value)


@pytest.mark.parametrize(
    "hostile", ['a="' + '\\"' * 16000, "a=b;" * 8000, "a=b," * 8000, '"' * 32000, "a" * 32000, 'a="";' * 6000]
)
def test_no_value_is_costly(hostile: str) -> None:
    """One pass, nothing tried twice."""

    def refuse() -> None:
        with pytest.raises(BadForwarded):
            read(hostile)

    assert least(refuse, tries=3) < 0.05


def test_names_that_somebody_certified_himself() -> None:
    """The attack as it comes: an honest Envoy with `dns: true`, and a client whose own certificate names a victim."""
    client = self_signed("CN=mallory")
    honest = f'Hash={digest(client)};Cert="{escaped(client)}";Subject="CN=mallory";URI=;DNS=x,{element(VICTIM)}'
    with pytest.raises(BadForwarded):
        read(honest)


def test_where_servers_join_headers_one_element_is_all_that_counts() -> None:
    """Under WSGI the second may be a client's `X_Forwarded_Client_Cert`; commas inside quotes are none."""
    alone = element(CLIENT, ';Subject="CN=a,O=b"')
    assert not Envoy().may_be_joined(HEADER, alone.encode())
    assert not Envoy().may_be_joined(HEADER, b"")
    assert Envoy().may_be_joined(HEADER, f"{element(CLIENT)},{element(VICTIM)}".encode())
