"""The options that say who calls: a certificate and whose it is, or nothing, which is whoever logged in here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from certbound.cli._commands import WrongUse

Issuer = Annotated[
    str | None, typer.Option("--issuer", metavar="URL", help="The issuer URL; else where you logged in.")
]
ClientId = Annotated[str | None, typer.Option(metavar="ID", help="Who asks, with --cert.")]
Cert = Annotated[
    Path | None,
    typer.Option(
        metavar="PEM", help="The client's certificate, then its issuers; or PKCS #12, or pkcs11:. Else your login's."
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(metavar="PEM", help="Its private key, if it is in a file of its own, or in a token (pkcs11:…)."),
]
PasswordFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The password of the key or the PKCS #12, or a PIN.")
]
Ca = Annotated[
    Path | None, typer.Option(metavar="PEM", help="Who vouches for the servers; else your login's, or the system's.")
]
Scope = Annotated[str | None, typer.Option(help="Scopes, one space between; all the client may have if absent.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the options say.  `WrongUse` if they do not make sense together."""

    issuer: str | None
    client_id: str | None
    cert: Path | None
    key: Path | None
    password_file: Path | None
    ca: Path | None

    def __post_init__(self) -> None:
        if self.cert is not None and self.client_id is None:
            raise WrongUse("give --client-id with --cert")
        if self.cert is None and any((self.client_id, self.key, self.password_file)):
            raise WrongUse("--client-id, --key and --password-file go with --cert; without it, your login is used")
