"""`certbound.testing.pytest_plugin`, as a project of somebody else uses it."""

import subprocess
import sys
import time

import pytest

from certbound.testing.deployment import running_server

pytest_plugins = ["pytester"]

OPTIONS = (
    "-p",
    "no:schemathesis",
    "-p",
    "no:cacheprovider",
    "-W",
    "error",
    "-o",
    "asyncio_default_fixture_loop_scope=function",
)

APPLICATION = """
import json

async def app(scope, receive, send):
    principal = scope["state"]["certbound.principal"]
    body = json.dumps({"who": principal.subject, "scope": sorted(principal.scope)}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
"""


def run(pytester: pytest.Pytester, content: str, *options: str, passed: int) -> None:
    """A project with that test file passes so many tests, and nothing else happens."""
    pytester.makepyfile(app=APPLICATION, test_mine=content)
    pytester.runpytest_inprocess(*OPTIONS, *options).assert_outcomes(passed=passed)


def test_what_an_api_does_with_tokens(pytester: pytest.Pytester) -> None:
    """Good, missing, stolen, expired, of too little scope, for somebody else, revoked."""
    run(pytester, """
        from app import app

        def test_tokens(authorization_server, protected_api, client_certificate):
            api = protected_api(app, scopes={"read"})
            client = authorization_server.register(client_certificate, scope="read")
            token = client.token(api)

            def status(token=token, certificate=client_certificate):
                return api.get("/", token=token, certificate=certificate).status_code

            assert status() == 200
            assert status(token=None) == 401
            assert status(certificate=None) == 401
            assert status(certificate=authorization_server.certificate("CN=thief")) == 401
            assert status(authorization_server.expired(token)) == 401
            assert status(authorization_server.altered(token, scope="write")) == 403
            assert status(authorization_server.altered(token, aud="https://other.example")) == 401
            assert status(authorization_server.altered(token, cnf=None)) == 401
            assert status(token[:-4] + "AAAA") == 401
            other = client.token(api)
            authorization_server.revoke(token)
            assert (status(), status(other)) == (401, 200)

        def test_somebody_else(authorization_server, protected_api, client_certificate):
            api = protected_api(app)
            client = authorization_server.register(client_certificate)
            token = authorization_server.altered(client.token(api, scope="read"), sub="alice")
            answer = api.get("/", token=token, certificate=client_certificate)
            assert answer.json() == {"who": "alice", "scope": ["read"]}
    """, passed=2)  # fmt: skip


def test_clients_of_ones_own(pytester: pytest.Pytester) -> None:
    """Code that gets its tokens itself, with a certificate of a CA; and one that takes an SSL context."""
    run(pytester, """
        import httpx
        from app import app

        def test_open(authorization_server, protected_api):
            certificate = authorization_server.certificate("CN=billing", trusted=True)
            client = authorization_server.register(certificate, "billing", scope="read write")
            api = protected_api(app, resource="https://other.example")
            with client.open(api, scope="read") as http:
                assert http.get("/").json() == {"who": "billing", "scope": ["read"]}

        def test_context(authorization_server, protected_api, client_certificate):
            client = authorization_server.register(client_certificate)
            api = protected_api(app)
            with httpx.Client(verify=client_certificate.context(authorization_server.ca), trust_env=False) as http:
                answer = http.get(api.url, headers={"Authorization": f"Bearer {client.token(api)}"})
            assert answer.status_code == 200
    """, passed=2)  # fmt: skip


def test_wsgi(pytester: pytest.Pytester) -> None:
    """A WSGI application is served as well, behind the guard for WSGI."""
    run(pytester, """
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield environ["certbound.principal"].client_id.encode() + b":"
            yield environ["wsgi.input"].read() + environ["PATH_INFO"].encode("latin-1")
            yield environ["QUERY_STRING"].encode() + environ["HTTP_X_MORE"].encode()

        def test_it(authorization_server, protected_api, client_certificate):
            client = authorization_server.register(client_certificate, "wsgi")
            api = protected_api(app, scopes={"read"})
            more = {"headers": {"X-More": "!"}, "certificate": client_certificate}
            answer = api.post("/ü?a=b", token=client.token(api), content=b"body", **more)
            assert answer.text == "wsgi:body/üa=b!"
            assert api.get("/", **more).status_code == 401
            assert api.get("/", token=client.token(api, scope="write"), **more).status_code == 403
    """, passed=1)  # fmt: skip


def test_an_application_with_a_guard_of_its_own(pytester: pytest.Pytester) -> None:
    """It is served as it is, and told the server's address; other guards are not put before it."""
    run(pytester, """
        from app import app
        from certbound.resource import Guard, ProtectedResource

        def test_it(authorization_server, protected_api, client_certificate):
            guarded = Guard(app, ProtectedResource(
                "https://api.example", issuer=authorization_server.issuer, issuer_ca=str(authorization_server.ca),
                scopes={"write"},
            ))
            api = protected_api(guarded, guard=False)
            client = authorization_server.register(client_certificate)
            for scope, status in (("read", 403), ("write", 200)):
                token = client.token(api, scope=scope)
                assert api.get("/", token=token, certificate=client_certificate).status_code == status

        def test_it_hears_at_once(authorization_server, protected_api, client_certificate):
            guarded = Guard(app, authorization_server.protected_resource(scopes={"read"}))
            api = protected_api(guarded, guard=False)
            client = authorization_server.register(client_certificate)
            token = client.token(api)
            assert api.get("/", token=token, certificate=client_certificate).status_code == 200
            authorization_server.revoke(token)
            assert api.get("/", token=token, certificate=client_certificate).status_code == 401
    """, passed=2)  # fmt: skip


@pytest.mark.parametrize(("scope", "servers"), [("session", 1), ("function", 2)])
def test_how_long_a_server_lives(pytester: pytest.Pytester, scope: str, servers: int) -> None:
    """`certbound_scope` says it; settings of a conftest.py are the server's in either case."""
    pytester.makeconftest(f"""
        import pytest

        @pytest.fixture(scope="{scope}")
        def authorization_server_settings():
            return {{"tokens": {{"scopes": ["fly"], "lifetime": 7}}}}
    """)  # fmt: skip
    run(pytester, f"""
        import pytest
        seen = set()

        @pytest.mark.parametrize("number", [1, 2])
        def test_it(authorization_server, client_certificate, number):
            seen.add(authorization_server.issuer)
            client = authorization_server.register(client_certificate)
            assert client.token(scope="fly")
            assert len(seen) == (1 if {servers} == 1 else number)
    """, "-o", f"certbound_scope={scope}", passed=2)  # fmt: skip


def test_projects_that_do_not_use_it_pay_nothing() -> None:
    """Of certbound, pytest imports at its start this module and the two empty ones above it; of others, nothing."""
    program = """
import sys, pytest
before = set(sys.modules)
import certbound.testing.pytest_plugin
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["certbound", "certbound.testing", "certbound.testing.pytest_plugin"]


@pytest.mark.wide
def test_without_the_server_it_says_what_is_missing(pytester: pytest.Pytester) -> None:
    """And that only to those who ask for a fixture."""
    pytester.makeconftest("""
        import sys

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name == "OpenSSL":
                    raise ModuleNotFoundError("No module named 'OpenSSL'", name=name)

        sys.meta_path.insert(0, Absent())
    """)  # fmt: skip
    pytester.makepyfile("""
        def test_without(): pass
        def test_with(authorization_server): pass
    """)  # fmt: skip
    done = pytester.runpytest_subprocess(*OPTIONS)
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*authorization_server needs certbound?server? to be installed: *OpenSSL*"])


def test_a_server_is_ready_within_a_second(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It took 0.15 s where this was written, after the first one.  The best of three counts."""
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        with running_server(tmp_path_factory.mktemp("ready")):
            took.append(time.perf_counter() - begun)
    assert min(took) < 1


@pytest.mark.wide
@pytest.mark.alone
def test_the_first_server_is_ready_within_a_second_of_cpu(tmp_path_factory: pytest.TempPathFactory) -> None:
    """In a new process, which imports all that a server needs: 0.8 s where this was written, of which 0.65 importing.

    The best of three counts; processor time, so that who else is at work matters less.
    """
    took = []
    for _ in range(3):
        folder = tmp_path_factory.mktemp("first")
        done = subprocess.run([sys.executable, "-c", COLD, str(folder)], capture_output=True, text=True, check=True)
        took.append(float(done.stdout))
    assert min(took) < 1, took


COLD = """
import sys, time
from pathlib import Path
from certbound.testing import pytest_plugin

begun = time.process_time()
with pytest_plugin.imported()(Path(sys.argv[1]), {}):
    print(time.process_time() - begun)
"""
