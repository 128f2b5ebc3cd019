"""certbound.tls.forwarded.reading: what leaves a request, what is believed of it, and what is remembered."""

import sys
from collections.abc import Sequence
from threading import Thread

import pytest

from certbound.core.errors import ConfigurationError
from certbound.testing.forwarded import forwarded_headers
from certbound.tls.facts import Hop
from certbound.tls.forwarded import CONTRACTS, BadForwarded, ForwardedReader, contract_of
from certbound.tls.forwarded.contract import MAX_BYTES
from certbound.tls.forwarded.reading import MEMORY, Reading
from certbound.tls.proxies import Proxies
from certbound.trust.authority import self_signed
from certificates import peer, read
from speed import least

SECRET = "s" * 40
HERE, THERE = Hop("127.0.0.1"), Hop("203.0.113.9")
CLIENT, VICTIM = self_signed("CN=client"), self_signed("CN=victim")
Headers = Sequence[tuple[bytes, bytes]]
OTHERS: Headers = [(b"host", b"a.example"), (b"accept", b"*/*"), (b"authorization", b"Bearer x"), (b"x-ssl", b"1")]


def reader(contract: str = "nginx") -> ForwardedReader:
    return ForwardedReader(contract_of(contract), Proxies(secrets=[SECRET], networks=["127.0.0.1"]))


def sent(contract: str, certificate: object = CLIENT, secret: str = SECRET) -> list[tuple[bytes, bytes]]:
    said = forwarded_headers(contract, certificate.der if certificate else None)  # type: ignore[attr-defined]
    return [
        *OTHERS,
        *((name.encode(), value.encode()) for name, value in said.items()),
        (b"certbound-proxy-secret", secret.encode()),
    ]


@pytest.mark.parametrize("contract", CONTRACTS)
def test_what_belongs_to_the_contract_leaves_the_request(contract: str) -> None:
    """Whoever sent it; the rest goes on as it came, in a list of its own."""
    headers = sent(contract)
    everything = [*headers, *((name.encode(), b"1") for name in contract_of(contract).headers)]
    known = reader(contract).read(headers, HERE, None)
    assert known == Reading(list(OTHERS), peer(CLIENT), is_believed=True)
    for hop, given in ((THERE, everything), (None, everything), (HERE, sent(contract, secret="wrong"))):
        unknown = reader(contract).read(given, hop, None)
        assert (unknown.headers, unknown.peer, unknown.is_believed) == (list(OTHERS), None, False)
        assert set(unknown.stripped) >= {"certbound-proxy-secret", contract_of(contract).headers[0]}
    assert known.headers is not headers
    assert reader(contract).read(OTHERS, THERE, None).stripped == ()


def test_a_proxy_that_speaks_another_contract_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is believed of it; whoever declared the wrong one would look for long."""
    declared = reader("envoy")
    for _ in range(3):
        assert declared.read(sent("nginx"), HERE, None).peer is None
    (line,) = caplog.messages
    assert "sent x-ssl-client-cert and no header of the declared contract envoy" in line
    assert "if the proxy speaks nginx or haproxy or apache or caddy, declare that" in line
    assert declared.read(sent("envoy"), HERE, None).peer == peer(CLIENT)


def test_who_says_nothing_or_is_a_stranger_is_not_taken_for_another_proxy(caplog: pytest.LogCaptureFixture) -> None:
    declared = reader("envoy")
    declared.read(sent("nginx"), THERE, None)
    declared.read([*OTHERS, (b"certbound-proxy-secret", SECRET.encode())], HERE, None)
    reader("nginx").read([*sent("nginx", None), (b"x-forwarded-client-cert", b"")], HERE, None)
    assert caplog.messages == []


TWINS = [
    b"x_ssl_client_cert", b"X-SSL_Client-Cert", b"x-ssl.client.cert", b"x+ssl+client+cert", b"x-ssl-client-cert-",
    b"-x-ssl-client-cert", b"_x_ssl_client_cert", b"x--ssl-client-cert", b"x-ssl-client-cert ", b"x-ssl-client-cert\t",
    b"x-ssl~client~cert", b"x-ssl-client-cert.", b"x ssl client cert", b"x-ssl-client\xe9cert", b"x-ssl-client-cert\0",
    b"x_ssl_client_verify", b"certbound_proxy_secret", b"certbound-proxy-secret-",
]  # fmt: skip


@pytest.mark.parametrize("twin", TWINS, ids=range(len(TWINS)))
def test_what_some_server_takes_for_the_header_belongs_to_it(twin: bytes) -> None:
    """CVE-2025-64484 and its kin: from a believed proxy a refusal, from others removed and told."""
    forged = forwarded_headers("nginx", VICTIM.der)["x-ssl-client-cert"].encode()
    for headers in ([*sent("nginx"), (twin, forged)], [(twin, b""), *sent("nginx", None)]):
        with pytest.raises(BadForwarded, match="spelling"):
            reader().read(headers, HERE, None)
        stranger = reader().read(headers, THERE, None)
        assert (stranger.headers, stranger.peer) == (list(OTHERS), None)
        assert twin.lower().decode("latin-1") in stranger.stripped


@pytest.mark.parametrize("name", [b"x-ssl-client-cert", b"X-SSL-Client-Cert", b"x-ssl-client-verify"])
def test_a_second_value_is_a_refusal(name: bytes) -> None:
    """Before or behind the first, and the same or another."""
    honest = sent("nginx")
    for second in (b"", b"SUCCESS", dict(honest)[name.lower()]):
        for headers in ([*honest, (name, second)], [(name, second), *honest]):
            with pytest.raises(BadForwarded, match="twice"):
                reader().read(headers, HERE, None)
    double = reader().read([*honest, (b"Certbound-Proxy-Secret", SECRET.encode())], HERE, None)
    assert (double.peer, double.is_believed) == (None, False)


def test_names_are_in_any_case() -> None:
    """A server that keeps their case changes nothing."""
    headers = [(name.title(), value) for name, value in sent("nginx")]
    assert reader().read(headers, HERE, None).peer == peer(CLIENT)


def test_a_second_value_of_the_secret_is_a_refusal_where_none_is_compared() -> None:
    """It leaves the request all the same, and from a believed proxy it is one header."""
    trusting = ForwardedReader(contract_of("nginx"), Proxies(networks=["127.0.0.1"], without_secret=True))
    headers = sent("nginx")
    assert trusting.read(headers, HERE, None).headers == OTHERS
    with pytest.raises(BadForwarded, match="secret is there twice"):
        trusting.read([*headers, headers[-1]], HERE, None)


def test_pairs_may_be_lists() -> None:
    """ASGI says that they are iterables of two, and some servers have lists."""
    headers = [[name, value] for name, value in sent("nginx")]
    assert reader().read(headers, HERE, None).peer == peer(CLIENT)  # type: ignore[arg-type]


def test_other_headers_are_not_mistaken_for_it() -> None:
    """Of other vendors, which are never looked at, and of other names that begin alike."""
    other = [
        (b"x-ssl-client-cert2", b"1"),
        (b"client-cert", b":AAAA:"),
        (b"ssl-client-cert", b"1"),
        (b"", b""),
        (b"-", b""),
    ]
    found = reader().read([*sent("nginx", None), *other], HERE, None)
    assert (found.headers, found.peer) == ([*OTHERS, *other], None)


def test_all_headers_together_have_a_bound() -> None:
    """64 kB in one, or in several."""
    for extra in (MAX_BYTES, 65536):
        headers = dict(sent("haproxy")) | {b"x-ssl-client-chain": b"A" * extra}
        with pytest.raises(BadForwarded, match="more than"):
            reader("haproxy").read(list(headers.items()), HERE, None)


def test_a_secret_in_a_header_of_the_contract_stops_the_start() -> None:
    """One name, one meaning."""
    with pytest.raises(ConfigurationError, match="share"):
        ForwardedReader(contract_of("nginx"), Proxies(secrets=[SECRET], secret_header="x-ssl-client-verify"))


def test_memory_is_bounded_and_a_function_of_the_value() -> None:
    """What was read once is the same object; strangers fill nothing, refusals are not kept, the oldest goes first."""
    reading = reader("cloudflare-der")
    first = reading.read(sent("cloudflare-der"), HERE, None).peer
    assert reading.read(sent("cloudflare-der"), HERE, None).peer is first
    assert reading.read(sent("cloudflare-der", VICTIM), HERE, None).peer == peer(VICTIM)
    assert reading.read(sent("cloudflare-der", VICTIM), THERE, None).peer is None
    assert reading.read(sent("cloudflare-der", None), HERE, None).peer is None
    names = forwarded_headers("nginx", CLIENT.der)
    many = reader()
    for number in range(MEMORY + 50):
        varied = names | {"x-ssl-client-verify": f"FAILED:{number}"}
        headers = [(n.encode(), v.encode()) for n, v in varied.items()]
        assert many.read([*headers, (b"certbound-proxy-secret", SECRET.encode())], HERE, None).peer == peer(CLIENT)
        many.read([*headers, (b"certbound-proxy-secret", b"x")], HERE, None)
        assert len(many._memory) <= MEMORY
    for _ in range(3):
        with pytest.raises(BadForwarded):
            many.read([*sent("nginx", None), (b"x-ssl-client-cert", b"x")], HERE, None)
    assert len(many._memory) == MEMORY


def test_threads_share_a_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """WSGI: what one evicts, another may be looking for."""
    monkeypatch.setattr("certbound.tls.forwarded.reading.MEMORY", 2)
    shared, wrong = reader("cloudflare-der"), list[object]()
    clients = [self_signed(f"CN={number}") for number in range(4)]
    given = [(sent("cloudflare-der", each), peer(each)) for each in clients]

    def ask() -> None:
        for number in range(400):
            headers, expected = given[number % 4]
            try:
                if (found := shared.read(headers, HERE, None).peer) != expected:
                    wrong.append(found)
            except Exception as error:  # noqa: BLE001 - whatever it is
                wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [Thread(target=ask) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


def test_a_reading_costs_nothing_that_is_felt() -> None:
    """5 µs where the value was seen before, and 40 where not; a bound says twice what it means."""
    reading, headers = reader(), [*sent("nginx")]

    def warm() -> None:
        for _ in range(500):
            reading.read(headers, HERE, None)

    warm()
    assert least(warm) < 500 * 12e-6


def test_it_is_the_certificate_as_the_core_reads_it() -> None:
    """So nothing behind it knows whether TLS ended here."""
    found = reader().read(sent("nginx"), HERE, None).peer
    assert found is not None
    assert found.leaf == read(CLIENT)
    assert found.leaf.thumbprint == read(CLIENT).thumbprint
