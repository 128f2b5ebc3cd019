"""`certbound proxy-config` prints what can be given to a proxy as it is; what proxies make of it: tests/proxies."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from certbound.cli._commands import command
from certbound.cli.proxies import (
    IDENTITY_HEADERS,
    KINDS,
    METHOD_HEADERS,
    NO_SECRET,
    PURPOSES,
    Deployment,
    config,
    foreign_headers,
    other_side,
)
from certbound.core.errors import ConfigurationError
from certbound.resource.forward_auth import PATH_HEADER
from certbound.settings import load
from certbound.tls.forwarded import CONTRACTS, ForwardedCertificates
from certbound.tls.proxies import SECRET_HEADER

SECRET = "5e" * 32


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command(), ["proxy-config", *map(str, arguments)])


@pytest.mark.parametrize("name", KINDS)
def test_every_contract_that_a_proxy_speaks_can_be_printed(name: str) -> None:
    """For each purpose that it serves, with no mark left in it and no line beyond an ordinary screen's."""
    for purpose in KINDS[name].purposes:
        issuer_host = "as.example" if purpose == "server" else ""
        text = config(name, Deployment(purpose=purpose, host="h.example", issuer_host=issuer_host))
        assert re.findall(r"@[A-Za-z_ ]+@", text) == []
        assert "h.example" in text
        assert KINDS[name].contract in text


def test_two_files_of_nginx_share_no_name() -> None:
    """The server's and an API's stand beside each other in one conf.d; an upstream's name is there once."""
    server = config("nginx", Deployment(purpose="server", host="mtls.as.example", issuer_host="as.example"))
    api, guard = (config("nginx", Deployment(purpose=each, host=f"{each}.example")) for each in ("api", "guard"))
    named = [name for text in (server, api, guard) for name in re.findall(r"^upstream (\S+)", text, re.MULTILINE)]
    assert len(set(named)) == len(named) == 4
    used = [re.findall(r"proxy_pass http://([^;/]+)", text) for text in (server, api, guard)]
    assert {name for each in used for name in each} == set(named)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.is_tested and kind.reaches_sockets])
def test_an_application_can_listen_on_a_socket(name: str) -> None:
    """Its path stands in the configuration, and no port."""
    text = config(name, Deployment(purpose="api", host="h.example", upstream="unix:/run/app.sock"))
    assert "/run/app.sock" in text
    assert "8080" not in text


@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name].is_tested])
def test_the_secret_and_what_others_say(name: str) -> None:
    """The secret is sent, and every header of every other contract removed, on each host."""
    text = config(name, Deployment(purpose="api", host="h.example", secret=SECRET)).lower()
    assert SECRET in text
    assert SECRET_HEADER in text
    assert [each for each in foreign_headers(KINDS[name].contract) if each not in text.replace("\\", "")] == []


@pytest.mark.parametrize("name", KINDS)
def test_what_it_says_of_the_other_side_is_taken_there(name: str, tmp_path: Path) -> None:
    """The settings are settings, the line of Python is one, the command has these options."""
    (tmp_path / "proxy.secret").write_text(SECRET)
    real = "10.0.0.0/8"
    for upstream in ("127.0.0.1:8080", "10.1.1.1:8080"):
        said = {
            purpose: re.sub(r"<[^>]*>", real, "\n".join(other_side(KINDS[name], Deployment(
                purpose=purpose, host="h.example", upstream=upstream)))) for purpose in KINDS[name].purposes
        }  # fmt: skip
        file = tmp_path / "certbound.toml"
        file.write_text(
            '[server]\nissuer = "https://as.example"\nmtls_url = "https://h.example"\n[tokens]\nresources = '
            f'["https://api.example"]\n{said["server"]}\n'
        )
        assert load(file, {}).proxy.contract == KINDS[name].contract
        names = {
            "ForwardedCertificates": ForwardedCertificates,
            "app": None,
            "os": SimpleNamespace(environ={"PROXY_SECRET": SECRET}),
        }
        made = eval(said["api"].removeprefix("app = "), names)
        assert isinstance(made, ForwardedCertificates)
    if "guard" in said:
        options = set(re.findall(r"--[a-z-]+", said["guard"]))
        assert options <= set(re.findall(r"--[a-z-]+", CliRunner().invoke(command(), ["guard", "--help"]).stdout))


def test_foreign_headers_are_those_of_all_others() -> None:
    """So a contract that is added is removed everywhere else."""
    for name in CONTRACTS:
        own = set(CONTRACTS[name]().headers)
        every = {header for kind in CONTRACTS.values() for header in kind().headers}
        assert every - own <= set(foreign_headers(name))
        assert not own & set(foreign_headers(name))


def test_the_secret_comes_from_a_file(tmp_path: Path) -> None:
    """Which is named, so that it stands in no list of processes; without one there is a place to put it."""
    file = tmp_path / "proxy.secret"
    missing = run("nginx", "--secret-file", file)
    assert isinstance(missing.exception, ConfigurationError)
    assert "openssl rand -hex 32" in str(missing.exception)
    file.write_text("short\n")
    assert isinstance(run("nginx", "--secret-file", file).exception, ConfigurationError)
    file.write_text(SECRET + "\n")
    assert SECRET in run("nginx", "--secret-file", file).stdout
    without = run("nginx")
    assert NO_SECRET in without.stdout
    assert "--secret-file" in without.stderr


def test_an_unknown_name_lists_the_names() -> None:
    """And a purpose that a proxy cannot serve says what can."""
    assert "haproxy" in str(run("nginks").exception)
    assert "let nginx, HAProxy" in str(run("apache", "--for", "guard").exception)
    assert all(set(kind.purposes) <= set(PURPOSES) for kind in KINDS.values())


@pytest.mark.parametrize(
    "options",
    [
        ("--host", "a.example;"), ("--host", "A.example"), ("--host", "a b"), ("--host", "a\nb"),
        ("--upstream", "8080"),
        ("--upstream", "127.0.0.1:80;"), ("--cert", "a b.pem"), ("--listen", "0"), ("--listen", "x"), ("--key", 'a"'),
        ("--guard", "unix:"), ("--lua-file", "a b.lua"),
        ("--for", "server", "--host", "a.example", "--issuer-host", "a.example"),
        ("--listen", "{:443"),
    ],
)  # fmt: skip
def test_words_that_could_end_a_line_are_refused(options: tuple[str, ...]) -> None:
    """And nothing is printed."""
    result = run("nginx", *options)
    assert isinstance(result.exception, ConfigurationError), result.output
    assert result.stdout == ""


@pytest.mark.parametrize("name", [name for name in KINDS if "guard" in KINDS[name].purposes])
def test_no_host_is_beside_the_guards(name: str) -> None:
    """At one where nobody is asked for a certificate the API would hear whatever a client says of itself."""
    result = run(name, "--for", "guard", "--issuer-host", "as.example")
    assert "no guard decides" in str(result.exception)
    assert result.stdout == ""


def test_the_script_of_haproxy_is_printed_by_the_same_command() -> None:
    """The configuration names the file, a note says what to put there; all deployments have the same one."""
    asks = run("haproxy", "--for", "guard", "--lua-file", "/srv/ask.lua")
    assert "lua-load-per-thread /srv/ask.lua" in asks.stdout
    assert "/srv/ask.lua is what certbound proxy-config haproxy --for guard --lua prints" in asks.stderr
    script = run("haproxy", "--for", "guard", "--lua").stdout
    assert script == run("haproxy", "--for", "guard", "--lua", "--host", "b.example", "--guard", "10.0.0.1:1").stdout
    assert [] == re.findall(r"@[A-Za-z_ ]+@", script)
    named = {*re.findall(r'"([a-z0-9-]+)"', script)}
    assert {*IDENTITY_HEADERS, *CONTRACTS["haproxy"]().headers, SECRET_HEADER, PATH_HEADER} <= named
    for arguments in (["haproxy", "--lua"], ["nginx", "--for", "guard", "--lua"]):
        assert "needs no script" in str(run(*arguments).exception)


def test_help_teaches() -> None:
    """It names the proxies and shows lines that work."""
    said = run("--help").stdout
    assert all(name in said for name in KINDS)
    assert "certbound proxy-config nginx --for api" in said


def test_grpc_is_printed_for_envoy_in_front_of_an_api_and_refused_otherwise() -> None:
    """HTTP/2 on both sides, no end to a stream that lives; and what to write behind it."""
    text = run("envoy", "--for", "api", "--grpc").stdout
    assert "alpn_protocols: [h2]\n" in text
    assert "http2_protocol_options" in text
    assert "timeout: 0s" in text
    assert "request_timeout" not in text
    assert 'guard = Guard(api, forwarded=Forwarded("envoy", networks=["127.0.0.1"]' in text
    for wrong in (("nginx", "--for", "api"), ("envoy", "--for", "server"), ("envoy", "--for", "guard")):
        result = run(*wrong, "--grpc")
        assert 0 != result.exit_code
        assert "certbound proxy-config envoy --for api --grpc" in str(result.exception) + result.output
    assert "http2_protocol_options" not in run("envoy", "--for", "api").stdout


def test_what_a_client_may_not_name_another_method_by_leaves_the_request_before_the_guard_is_asked() -> None:
    """An API that took its word would do what the guard was not asked about."""
    for name in KINDS:
        if "guard" in KINDS[name].purposes:
            asked = config(name, Deployment(purpose="guard", host="h.example")).lower()
            assert all(each in asked for each in METHOD_HEADERS), name
            assert METHOD_HEADERS[0] not in config(name, Deployment(purpose="api", host="h.example")).lower()


def test_traefik_says_what_does_not_work_behind_wsgi() -> None:
    """In the file and beside it, for an API; nobody else has to."""
    for name in KINDS:
        result = run(name, "--for", "api")
        assert ("as WSGI does" in result.stdout) is ("behind a WSGI server" in result.stderr) is (name == "traefik")
    assert "WSGI does" not in run("traefik", "--for", "server").output
