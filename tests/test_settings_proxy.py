"""The table [proxy]: what contradicts itself stops the start, and says which key and what to do."""

from pathlib import Path
from typing import get_args

import pytest

from certbound.core.errors import ConfigurationError
from certbound.settings import Settings, load
from certbound.settings.proxy import ContractName
from certbound.tls.forwarded import CONTRACTS

SERVER = {"issuer": '"https://as.example"', "mtls_url": '"https://mtls.as.example"'}
PROXY = {"contract": '"nginx"', "networks": '["127.0.0.1"]', "secret": f'"{"s" * 32}"'}
TLS = {"certificate": '"as.pem"', "key": '"as.key"'}


def settings(directory: Path, server: dict[str, str], proxy: dict[str, str], more: str = "") -> Settings:
    tables = {"server": server, "proxy": proxy, "tokens": {"resources": '["https://api.example"]'}}
    file = directory / "certbound.toml"
    lines = [f"[{table}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()) for table, keys in tables.items()]
    file.write_text("".join(lines) + more)
    return load(file, {})


def test_every_contract_can_be_named() -> None:
    """The words of the settings are those of the table of contracts."""
    assert get_args(ContractName) == tuple(CONTRACTS)


def test_behind_a_proxy_no_certificate_is_needed(tmp_path: Path) -> None:
    found = settings(tmp_path, SERVER, {**PROXY, "headers": '["certificate=ssl-client-cert"]'})
    assert (found.server.certificate, found.proxy.renamed) == (None, {"certificate": "ssl-client-cert"})


WRONG: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "no proxy and no certificate": (SERVER, {}, "server.certificate is missing; write under [server]"),
    "no proxy and no key": ({**SERVER, "certificate": '"a"'}, {}, "server.key is missing"),
    "keys without a contract": ({**SERVER, **TLS}, {"networks": '["10.0.0.1"]'},
        "proxy.networks is set but proxy.contract is not"),
    "a contract of nobody": (SERVER, {**PROXY, "contract": '"any"'}, "proxy.contract must be "),
    "two contracts": (SERVER, {**PROXY, "contract": '["nginx", "envoy"]'}, "proxy.contract must be "),
    "a secret that is too short": (SERVER, {**PROXY, "secret": '"short"'}, "proxy.secret must be 32 ASCII characters"),
    "no secret": (SERVER, {k: v for k, v in PROXY.items() if k != "secret"}, "proxy.secret is missing, and without"),
    "a secret and none": (SERVER, {**PROXY, "without_secret": "true"}, "proxy.without_secret is set and proxy.secret"),
    "nobody in particular": (SERVER, {k: v for k, v in PROXY.items() if k != "networks"}, "proxy.networks is missing"),
    "everybody": (SERVER, {**PROXY, "networks": '["0.0.0.0/0"]'}, "proxy.networks cannot be: 0.0.0.0/0 is everybody"),
    "everybody in halves": (SERVER, {**PROXY, "networks": '["0.0.0.0/1", "128.0.0.0/1"]'}, "is everybody"),
    "no network": (SERVER, {**PROXY, "networks": '["proxy.example"]'}, "proxy.networks cannot be: 'proxy.example'"),
    "a header of nothing": (SERVER, {**PROXY, "headers": '["leaf=x"]'}, "proxy.headers cannot be: the contract nginx"),
    "a header without what it says": (SERVER, {**PROXY, "headers": '["x-cert"]'}, "write each as what=name"),
    "the secret in a header of the contract": (SERVER, {**PROXY, "secret_header": '"x-ssl-client-cert"'},
        "proxy.secret_header cannot be: the secret and the contract nginx share"),
    "an address in a header of the contract": (SERVER, {**PROXY, "client_address_header": '"x-ssl-client-cert"'},
        "proxy.client_address_header must be a header of its own"),
    "one name for both hosts": ({**SERVER, "mtls_url": '"https://AS.example:9443"'}, PROXY,
        "server.mtls_url has the issuer's host 'as.example'; behind a proxy"),
    "a port for mutual TLS": ({**SERVER, "mtls_port": "9443"}, PROXY, "server.mtls_port is set and proxy.contract"),
    "half of a certificate": ({**SERVER, "key": '"k"'}, PROXY, "server.key is set but server.certificate is not"),
    "in the clear for all": ({**SERVER, "host": '"10.0.0.1"'}, PROXY, "server.host '10.0.0.1' is reached by others"),
    "in the clear for nobody": (SERVER, {**PROXY, "plaintext": "true"}, "proxy.plaintext is set, but nothing"),
    "TLS on a Unix socket": ({**SERVER, **TLS}, {**PROXY, "socket": '"s"'}, "proxy.socket is set and server.cert"),
    "certificates without TLS": (SERVER, {**PROXY, "certificates": '["p.pem"]'}, "proxy.certificates is set but"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_contradiction_stops_the_start(tmp_path: Path, wrong: str) -> None:
    """It names the file, the key, and what to do; a secret it never shows."""
    server, proxy, said = WRONG[wrong]
    with pytest.raises(ConfigurationError) as caught:
        settings(tmp_path, server, proxy)
    text = str(caught.value)
    assert said in text
    assert text.startswith(str(tmp_path / "certbound.toml"))
    assert "'short'" not in text


def test_tls_for_those_who_run_it_needs_the_certificate(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"admin\.tls is set but server\.certificate is not"):
        settings(tmp_path, SERVER, PROXY, "[admin]\nport = 9090\ntls = true\n")


def test_plain_http_for_others_where_somebody_said_so(tmp_path: Path) -> None:
    server = {**SERVER, "host": '"10.0.0.1"'}
    assert settings(tmp_path, server, {**PROXY, "plaintext": "true"}).proxy.plaintext
    assert settings(tmp_path, {**server, **TLS}, PROXY).server.certificate is not None


def test_the_secret_comes_from_the_environment_or_its_file(tmp_path: Path) -> None:
    """`CERTBOUND_PROXY__SECRET_FILE` names the file of the one; `secret_files` keeps several."""
    (tmp_path / "secret").write_text("t" * 32 + "\n")
    file = tmp_path / "certbound.toml"
    settings(tmp_path, SERVER, PROXY)
    found = load(file, {"CERTBOUND_PROXY__SECRET_FILE": str(tmp_path / "secret")})
    assert found.proxy.secret == "t" * 32
