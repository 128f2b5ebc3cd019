"""`certbound run`: an application of somebody else's on our listener."""

import re
import subprocess
import sys

import pytest

from tls.wire import CLIENT, Client, virtual_host

SHOP = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def whoami(request):
    tls = request.scope["extensions"]["tls"]
    return JSONResponse({"name": tls["client_cert_name"], "note": tls["client_cert_error"]})

app = Starlette(routes=[Route("/whoami", whoami)])
nothing = None

def wsgi(environ, start_response): ...

class Old:
    __call__ = staticmethod(wsgi)
    def __init__(self, environ=None, start_response=None): ...

class Older:
    def __call__(self, environ, start_response): ...

old = Older()
"""


@pytest.fixture
def folder(tmp_path):
    virtual_host(tmp_path, None)
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def certbound(folder, *arguments):
    command = [sys.executable, "-m", "certbound.cli", "run", *arguments]
    command += ["--cert", "localhost.crt", "--key", "localhost.key", "--port", "0"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("options", "name"), [((), "CN=client"), (("--no-mtls",), None), (("--workers", "2"), "CN=client")]
)
def test_a_starlette_application_sees_the_certificate(folder, options, name):
    """One line says where it serves; the application reads the ASGI TLS extension."""
    with certbound(folder, "shop:app", *options) as process:
        try:
            line = process.stdout.readline()
            found = re.fullmatch(r"https://127\.0\.0\.1:(\d+)/ serves shop:app.*\n", line)
            assert found, (line, process.stderr.read())
            with Client(("127.0.0.1", int(found[1])), certificate=CLIENT) as client:
                answer = client.shake().ask("/whoami")
            assert answer.json["name"] == name
            assert (answer.json["note"] is None) is (name is None)
        finally:
            process.terminate()
        assert process.wait(15) == 0


@pytest.mark.parametrize(
    ("application", "sentence"),
    [("shop", "module:attribute"), ("nowhere:app", "no module 'nowhere'"), ("shop:nothing", "no application 'nothing'"),
     ("shop:absent", "no application 'absent'"), ("shop:wsgi", "shop:wsgi is a WSGI application"),
     ("shop:Old", "shop:Old is a WSGI application"), ("shop:old", "shop:old is a WSGI application")],
)  # fmt: skip
def test_what_cannot_be_run_is_said_in_a_sentence(folder, application, sentence):
    """No traceback, exit status 1."""
    with certbound(folder, application) as process:
        assert process.wait(15) == 1
        text = process.stderr.read()
    assert sentence in text
    assert "Traceback" not in text
