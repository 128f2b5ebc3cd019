"""`certbound openapi`: the document of a deployment."""

import json
from pathlib import Path

import pytest

from .conftest import Certbound


@pytest.mark.usefixtures("deployment")
def test_it_prints_the_document(certbound: Certbound) -> None:
    """JSON and nothing else, made without a store, of the settings."""
    made = certbound("openapi")
    document = json.loads(made.out)
    assert (made.status, made.err) == (0, "")
    assert document["openapi"].startswith("3.1.")
    assert document["servers"][0]["url"] == "https://as.example"
    assert not Path("certbound.sqlite").exists()


@pytest.mark.usefixtures("deployment")
def test_it_writes_a_file(certbound: Certbound) -> None:
    """With --output the same goes into the file, and standard output is empty."""
    printed = certbound("openapi").out
    made = certbound("openapi", "--output", "openapi.json")
    assert (made.status, made.out, made.err) == (0, "", "certbound: wrote openapi.json: 8 paths\n")
    assert Path("openapi.json").read_text() == printed
    assert (
        certbound("openapi", "--output", "no/openapi.json").err
        == "certbound: no/openapi.json: No such file or directory\n"
    )


def test_registration_is_in_it_where_it_is_on(certbound: Certbound, deployment: Path) -> None:
    """What the settings open is told with what may be asked for there."""
    with (deployment / "certbound.toml").open("a") as settings:
        settings.write(
            '[[registration.ways]]\nname = "a"\nneeds = []\nmethods = ["tls_client_auth"]\nscopes = ["read"]\n'
        )
    document = json.loads(certbound("openapi").out)
    assert document["paths"]["/register"]["post"]["security"] == [{}]
    (variant,) = document["components"]["schemas"]["RegistrationRequest"]["oneOf"]
    assert variant["title"] == "tls_client_auth"
    assert variant["properties"]["scope"]["pattern"] == "^((read)( (read))*)?$"
