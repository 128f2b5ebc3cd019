"""`certbound doctor`: all is well at our own servers; at a careless one every fault is found, and a mend is named."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from certbound.cli import main
from certbound.cli._development import Development, make_folder, now_utc
from certbound.cli._doctor.documents import DOCUMENTS
from certbound.cli._doctor.handshakes import HANDSHAKES
from certbound.cli._doctor.mends import _LINES, mend
from certbound.cli._doctor.reach import Identity, Place, Reach
from certbound.cli._doctor.reach import place_of as place_of_url
from certbound.cli._doctor.requests import REQUESTS
from certbound.cli._doctor.target import Target
from certbound.cli._sample import sample_api
from certbound.cli._servers import in_background, open_ports, place_of, serving
from certbound.cli.proxies import KINDS
from certbound.resource import Guard, ProtectedResource
from certbound.tls import Port, VirtualHost, peer_certificate
from certbound.tls.forwarded import ForwardedCertificates
from certbound.trust.authority import Authority
from cli.careless import careless
from proxies.frame import served
from proxies.frame import serving as listening

CHECKS = (*HANDSHAKES, *REQUESTS, *DOCUMENTS)
AT_THE_CARELESS = {
    "mixed-case", "small-records", "self-signed", "versions", "resumption", "host", "forged",
    "forged-alone", "forged-twice", "forged-underscores", "forged-dots", "forged-pluses",
    "forged-longer", "forged-connection", "forged-trailer", "metadata", "metadata-bound",
}  # fmt: skip


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Development, str]]:
    """And the URL of a port of the API that forgot to ask."""
    sockets = open_ports("127.0.0.1", (0, 0, 0, 0))
    ready = make_folder(tmp_path_factory.mktemp("dev"), place_of("127.0.0.1", sockets), now=now_utc())
    forgotten = f"https://localhost:{sockets[3].getsockname()[1]}/"
    with in_background(lambda: serving(ready, sockets)):
        yield ready, forgotten


def options(development: Development, member: int = 0) -> list[str]:
    chosen = development.members[member]
    return ["--cert", str(chosen.certificate), "--key", str(chosen.key), "--ca", str(development.ca)]


def token(development: Development, capsys: pytest.CaptureFixture[str]) -> str:
    member = development.members[0]
    asked = ["--issuer", development.place.issuer, "--client-id", member.client_id, "--raw"]
    assert main(["token", *asked, *options(development)]) == 0
    return capsys.readouterr().out.strip()


def examine(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and what was found by the names of the checks."""
    status = main(["doctor", *arguments, "--json"])
    said = capsys.readouterr()
    assert said.out, said.err
    return status, {each["check"]: each for each in json.loads(said.out)["checks"]}


def only(*names: str) -> list[str]:
    """The options that leave all other checks out."""
    return [word for each in CHECKS if each.name not in names for word in ("--skip", each.name)]


def of(found: dict[str, Any], verdict: str) -> set[str]:
    return {name for name, each in found.items() if each["verdict"] == verdict}


@pytest.mark.parametrize("member", [0, 1], ids=["from a CA", "self-signed"])
def test_all_is_well_at_our_own_server(
    development: tuple[Development, str], member: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever way the client is registered; two things cannot be seen from here."""
    ready, _ = development
    client = ["--client-id", ready.members[member].client_id]
    status, found = examine(capsys, ready.place.issuer, *client, *options(ready, member))
    assert (set(), {"plain", "early-data"}) == (of(found, "wrong"), of(found, "cannot tell"))
    assert 0 == status
    assert [each.name for each in CHECKS] == list(found)


def test_all_is_well_at_our_own_api(development: tuple[Development, str], capsys: pytest.CaptureFixture[str]) -> None:
    """With the token that is bound to the certificate."""
    ready, _ = development
    bound = token(ready, capsys)
    status, found = examine(capsys, ready.place.resource_url, "--token", bound, *options(ready))
    assert (0, set(), {"plain"}) == (status, of(found, "wrong"), of(found, "cannot tell"))


def test_a_port_that_forgot_to_ask_is_found(
    development: tuple[Development, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """And since its owner is not let in there, nothing is said of forgeries."""
    ready, forgotten = development
    bound = token(ready, capsys)
    checked = only("asked", "mixed-case", "small-records", "owner", "forged")
    arguments = [forgotten, "--token", bound, "--proxy", "nginx", *options(ready)]
    status, found = examine(capsys, *arguments, *checked)
    assert 1 == status
    assert {"asked", "mixed-case", "small-records", "owner"} == of(found, "wrong")
    assert ["ssl_verify_client optional_no_ca;"] == found["asked"]["mend"]
    assert {each for each in found if each.startswith("forged")} <= of(found, "cannot tell")
    assert "the certificate's owner is not let in either" in found["forged"]["seen"]


def test_without_a_token_it_says_what_it_needs(
    development: tuple[Development, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Once for all that need the same; the handshakes are looked at all the same."""
    ready, _ = development
    assert main(["doctor", ready.place.resource_url, *options(ready)]) == 0
    out = capsys.readouterr().out
    assert "ok     clients are asked for a certificate" in out
    assert "?      the certificate's owner is let in\n?      without" in out
    assert out.count("       give --token") == 1
    assert "0 wrong" in out.splitlines()[-1]


@pytest.fixture(scope="module")
def found_at_the_careless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    folder, authority = tmp_path_factory.mktemp("careless"), Authority.create("Test CA")
    server = authority.issue("CN=localhost", dns=["localhost"], usage="server")
    client = authority.issue("CN=client", dns=["client.example"])
    for name, content in (
        ("ca.pem", authority.certificate_pem), ("server.pem", server.chain_pem), ("server.key", server.key_pem),
        ("client.pem", client.chain_pem), ("client.key", client.key_pem),
    ):  # fmt: skip
        (folder / name).write_bytes(content)
    with careless(folder / "server.pem", folder / "server.key", folder / "ca.pem") as port:
        names = {"cert": "client.pem", "key": "client.key", "ca": "ca.pem"}
        given = [word for name, file in names.items() for word in (f"--{name}", str(folder / file))]
        yield folder, [f"https://localhost:{port}/", "--connect", "127.0.0.1", "--token", "any", *given]


def test_at_a_careless_one_every_fault_is_found(
    found_at_the_careless: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """And for each something is said that mends it, in the words of the proxy where it has some."""
    status, found = examine(capsys, *found_at_the_careless[1], "--proxy", "nginx")
    assert 1 == status
    assert AT_THE_CARELESS == of(found, "wrong")
    assert [] == [name for name in of(found, "wrong") if not found[name]["mend"]]


def test_a_port_without_tls_that_believes_whoever_comes_is_found(
    development: tuple[Development, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """While one that wants the secret is not."""
    ready, _ = development
    place = ready.place
    api = Guard(sample_api, ProtectedResource(place.resource_url, issuer=place.issuer, issuer_ca=str(ready.ca)))
    arguments = [place.resource_url, "--token", token(ready, capsys), *options(ready)]
    for more, verdict in (({"without_secret": True}, "wrong"), ({"secrets": ["5e" * 32]}, "ok")):
        believing: Any = ForwardedCertificates(api, contract="nginx", networks=["127.0.0.1"], **more)
        with served(believing) as port:
            _, found = examine(capsys, *arguments, "--plain-url", f"http://127.0.0.1:{port}", *only("plain"))
        assert verdict == found["plain"]["verdict"]
    assert list(found) == ["plain"]


@pytest.mark.parametrize(
    ("check", "place", "conventional"),
    [
        ("certificate", "other.example", None),
        ("not-asked", "localhost", "other.localhost"),
        ("resumption-elsewhere", "localhost", "other.localhost"),
    ],
)
def test_two_hosts_that_are_one_are_found(
    check: str, place: str, conventional: str | None, found_at_the_careless: tuple[Path, list[str]]
) -> None:
    """One certificate, one policy and one memory of sessions for both."""
    folder, (url, *_) = found_at_the_careless
    port = place_of_url(url).port
    own = Identity(folder / "client-both.pem", b"")
    own.file.write_bytes((folder / "client.key").read_bytes() + (folder / "client.pem").read_bytes())
    other = None if conventional is None else Place(conventional, port)
    reach = Reach(folder / "ca.pem", ("127.0.0.1", None), own)
    [run] = [each.run for each in CHECKS if each.name == check]
    assert "wrong" == run(Target("API", reach, url, Place(place, port), other, token="any")).verdict


async def lax(scope: Any, receive: Any, send: Any) -> None:
    """An authorization server that says wrong things of itself, and gives everybody a token."""
    told = {
        "issuer": "https://other.example", "token_endpoint": "https://as.example/token",
        "authorization_endpoint": "https://as.example/authorize",
        "mtls_endpoint_aliases": {
            "token_endpoint": "https://as.example/token", "revocation_endpoint": "https://as.example/gone",
        },
    }  # fmt: skip
    body = {"/.well-known/oauth-authorization-server": told, "/token": {"access_token": "x"}, "/authorize": {}}
    found = json.dumps(body.get(scope["path"], {})).encode()
    status = 200 if scope["path"] in body else 404
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(found))]})
    await send({"type": "http.response.body", "body": found})


def at_as_example(folder: Path, stack: contextlib.ExitStack, app: Any) -> list[str]:
    """The arguments for an authorization server that is `app`, with TLS as it should be."""
    authority = Authority.create("Test CA")
    server = authority.issue("CN=as.example", dns=["as.example"], usage="server")
    client = authority.issue("CN=client", dns=["client.example"])
    for name, content in (
        ("ca.pem", authority.certificate_pem), ("server.pem", server.chain_pem), ("server.key", server.key_pem),
        ("client.pem", client.chain_pem), ("client.key", client.key_pem),
    ):  # fmt: skip
        (folder / name).write_bytes(content)
    host = VirtualHost(certificate=folder / "server.pem", key=folder / "server.key", app=app, asks_for_certificate=True)
    [(_, port)] = stack.enter_context(listening([Port(host="127.0.0.1", port=0, virtual_hosts=(host,))]))
    files = {"cert": "client.pem", "key": "client.key", "ca": "ca.pem"}
    given = [word for name, file in files.items() for word in (f"--{name}", str(folder / file))]
    return ["https://as.example", "--connect", f"127.0.0.1:{port}", "--client-id", "client", *given]


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as opened:
        yield opened


def test_a_lax_authorization_server_is_found(
    tmp_path: Path, stack: contextlib.ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of forgeries nothing can be said where nobody needs a certificate."""
    status, found = examine(capsys, *at_as_example(tmp_path, stack, lax))
    assert 1 == status
    assert {"nobody", "another", "metadata", "metadata-bound", "aliases", "hsts"} == of(found, "wrong")
    assert "nobody needs a certificate here (HTTP 200)" == found["forged"]["seen"]


def test_where_the_owner_is_limited_too_nothing_is_said_of_forgeries(
    tmp_path: Path, stack: contextlib.ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refusal by a limit is no judgement."""
    requests = 0

    async def limiting(scope: Any, receive: Any, send: Any) -> None:
        nonlocal requests
        requests += scope["path"] == "/token"
        if requests > 12:
            await send({"type": "http.response.start", "status": 429, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        elif scope["path"] == "/token" and peer_certificate(scope) is None:
            await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await lax(scope, receive, send)

    checked = only("owner", "forged", "forged-twice")
    _, found = examine(capsys, *at_as_example(tmp_path, stack, limiting), *checked)
    assert "ok" == found["owner"]["verdict"]
    assert {each for each in found if each.startswith("forged")} <= of(found, "cannot tell")
    assert "429" in found["forged"]["seen"]


def test_what_was_believed_is_named_with_its_lines(
    found_at_the_careless: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The proxy's own headers are set, those of others are removed."""
    assert main(["doctor", *found_at_the_careless[1], "--proxy", "nginx", *only("forged", "forged-alone")]) == 1
    out = capsys.readouterr().out
    assert "believed: rfc9440, nginx, haproxy, envoy" in out
    assert "-> proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;" in out
    assert '-> proxy_set_header client-cert "";' in out


def test_every_check_has_a_mend_for_every_proxy() -> None:
    """None is without a next step, and none is for a proxy that there is not."""
    assert {proxy for _, proxy in _LINES} <= set(KINDS)
    names = {"forged" if each.name.startswith("forged") else each.name for each in CHECKS}
    assert {check for check, _ in _LINES} <= names
    target: Any = type("Target", (), {"kind": "API"})
    for check in CHECKS:
        for proxy in ("", *KINDS):
            assert mend(check.name, proxy, "believed: nginx", target), (check.name, proxy)


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["https://localhost:1/"], 1, "does not answer"),
        (["http://localhost/"], 1, "--plain-url"),
        (["https://localhost/", "--proxy", "iis"], 2, "choose one of nginx"),
        (["https://localhost/", "--skip", "all"], 2, "there are certificate, asked"),
        (["https://localhost/", "--cert", "x.pem"], 2, "--cert and --key together"),
        (["https://localhost/", "--connect", "a:b"], 2, "no address:port"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: list[str], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the next step."""
    assert status == main(["doctor", *arguments])
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_who_vouches_is_asked_for(development: tuple[Development, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is sent to a server that nobody vouches for."""
    assert main(["doctor", development[0].place.issuer]) == 1
    assert "--ca FILE" in capsys.readouterr().err


@pytest.mark.parametrize("check", ["certificate", "asked", "owner", "aliases"])
def test_a_host_that_nobody_knows_there_is_mended_by_that_host(check: str) -> None:
    """Whatever check met it: no line about certificates of clients would help."""
    place = Place("mtls.as.example", 443)
    target: Any = SimpleNamespace(place=place, kind="authorization server")
    assert mend(check, "nginx", "TLSV1_UNRECOGNIZED_NAME", target) == (
        "let the proxy know the host mtls.as.example, with a certificate for that name",
    )
