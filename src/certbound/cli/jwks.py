"""`certbound jwks`: certificates as a JWK Set that registers a self-signed client (RFC 8705 section 2.2.2).

Rule: what a server would refuse is refused here; what is printed was read back as the server reads it.
"""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from certbound.cli._certificates import has_private_key, read_bytes, read_file
from certbound.cli._output import date, note
from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate, ConfigurationError
from certbound.core.jwks import make_jwks, read_jwks
from certbound.core.keys import require_strong_key


def jwks(
    certificates: Annotated[
        list[Path], typer.Argument(metavar="CERT...", help="Certificates, PEM or DER; of each file the first one.")
    ],
    pretty: Annotated[bool, typer.Option("--pretty", help="Indent it, for people.")] = False,
) -> None:
    """Print certificates as the JWK Set that registers a self-signed client, or that it publishes as its jwks_uri.

    Example: certbound jwks warehouse.pem > jwks.json

    Example, for a rotation, both until the old one is out of use: certbound jwks old.pem new.pem --pretty
    """
    found: dict[str, Certificate] = {}
    for file in certificates:
        certificate = _acceptable(file)
        if certificate.thumbprint in found:
            note(f"{file} holds a certificate that stands there already; it is left out")
        found[certificate.thumbprint] = certificate
    document = make_jwks(found.values())
    read_jwks(document)
    typer.echo(json.dumps(document, indent=2 if pretty else None, separators=None if pretty else (",", ":")))


def _acceptable(file: Path) -> Certificate:
    certificate = read_file(file)
    try:
        require_strong_key(certificate)
    except BadCertificate as error:
        raise ConfigurationError(f"{file}: its key is not accepted: {error}") from error
    now = time.time()
    if now > certificate.not_after:
        note(f"{file} expired {date(certificate.not_after)}; a server takes it only where the registration says so")
    if now < certificate.not_before:
        note(f"{file} is not valid before {date(certificate.not_before)}")
    if has_private_key(read_bytes(file)):
        note(f"{file} HOLDS A PRIVATE KEY too; it was not printed, but do not hand that file on")
    return certificate
