"""`certbound ca`: a small private certificate authority in a directory."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import idna
import typer
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from certbound.cli._authority import changing, load, read_ledger, write, write_file
from certbound.cli._certificates import read_file
from certbound.cli._commands import WrongUse, group
from certbound.cli._output import date, note, say
from certbound.core.certificate import thumbprint
from certbound.core.errors import ConfigurationError
from certbound.trust.authority import Authority, Issued, published_at
from certbound.trust.ledger import Reason, read_serial, sign_crl, write_serial

KeyKind = Literal[
    "P-256", "P-384", "P-521", "RSA-2048", "RSA-3072", "RSA-4096", "Ed25519", "Ed448",
    "ML-DSA-44", "ML-DSA-65", "ML-DSA-87",
]  # fmt: skip

app = group(
    "Keep a small private certificate authority.\n\n"
    "For development and small deployments: its key is a file, and it forgets what it issued."
)

Directory = Annotated[Path, typer.Option("--dir", help="Where the authority is kept.")]
Key = Annotated[KeyKind, typer.Option("--key", help="The kind of key to make.")]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]


@app.command()
def init(
    directory: Directory = Path("ca"),
    name: Annotated[str, typer.Option("--name", help="Its common name.")] = "certbound private CA",
    days: Annotated[int, typer.Option("--days", min=1, max=36500, help="Days it is valid.")] = 3650,
    key: Key = "P-256",
    force: Force = False,
) -> None:
    """Make a certificate authority: ca.pem, and ca.key for your eyes only.

    Example: certbound ca init --dir ca --name "Example CA"
    """
    try:
        authority = Authority.create(name, days=days, key=key)
    except ValueError as error:
        raise ConfigurationError(f"--name or --days: {error}") from error
    certificate = directory / "ca.pem"
    write({certificate: authority.certificate_pem}, {directory / "ca.key": authority.key_pem}, force=force)
    say(
        f"made {certificate} (valid until {_end(authority.certificate)}) and {directory / 'ca.key'} (keep it secret)",
        "this is a small private CA: whoever has its key can become any client",
        f'next: trust it in certbound.toml, [trust] anchors = ["{certificate}"], and issue a certificate:',
        f"      certbound ca issue --dir {directory} client.example --dns client.example",
    )


@app.command()
def issue(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the files are called: NAME.pem and NAME.key.")],
    directory: Directory = Path("ca"),
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="DN", help="Subject, as RFC 4514 writes it; CN=NAME if absent.")
    ] = None,
    dns: Annotated[list[str] | None, typer.Option("--dns", metavar="NAME", help="A DNS name; repeatable.")] = None,
    uri: Annotated[list[str] | None, typer.Option("--uri", metavar="URI", help="A URI; repeatable.")] = None,
    ip: Annotated[list[str] | None, typer.Option("--ip", metavar="ADDRESS", help="An IP address; repeatable.")] = None,
    email: Annotated[
        list[str] | None, typer.Option("--email", metavar="MAILBOX", help="A mailbox; repeatable.")
    ] = None,
    usage: Annotated[Literal["client", "server", "both"], typer.Option("--usage", help="What it is for.")] = "client",
    key: Key = "P-256",
    days: Annotated[int, typer.Option("--days", min=1, max=36500, help="Days it is valid.")] = 90,
    crl_url: Annotated[
        list[str] | None,
        typer.Option("--crl-url", metavar="URL", help="Where its CRL is had; the certificate says so."),
    ] = None,
    ocsp_url: Annotated[
        list[str] | None, typer.Option("--ocsp-url", metavar="URL", help="Who answers OCSP for it; likewise.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where the files go; --dir if absent.")
    ] = None,
    force: Force = False,
) -> None:
    """Issue a certificate and make its key.

    Example: certbound ca issue billing --dns billing.example

    Example, for a server: certbound ca issue as --dns as.example --usage server
    """
    _require_file_name(name)
    authority = load(directory)
    _require_outlived(authority, days)
    wanted = _name(subject, name)
    published = published_at(crls=crl_url or (), ocsp=ocsp_url or ())
    try:
        issued = authority.issue(
            wanted, dns=map(_ascii, dns or ()), uris=uri or (), ips=ip or (), emails=email or (), usage=usage,
            days=days, key=key, extensions=published,
        )  # fmt: skip
    except ValueError as error:
        raise ConfigurationError(f"no certificate can say that: {error}") from error
    certificate, private = _write_issued(issued, out or directory, name, force=force)
    say(
        f"made {certificate} (valid until {_end(issued.certificate)}) and {private} (keep it secret)",
        f"its x5t#S256 is {thumbprint(issued.der)}",
        _NEXT[usage].format(certificate=certificate, key=private),
    )


@app.command()
def revoke(
    certificate: Annotated[
        str, typer.Argument(metavar="CERT|SERIAL", help="The certificate's file, or its serial number in hexadecimal.")
    ],
    directory: Directory = Path("ca"),
    reason: Annotated[Reason, typer.Option("--reason", help="Why.")] = "unspecified",
) -> None:
    """Take a certificate back, for ever: CRLs and OCSP answers made from now on say so.

    Example: certbound ca revoke ca/billing.pem --reason keyCompromise
    """
    authority = load(directory)
    serial, is_known = _serial(certificate, authority, directory)
    with changing(directory) as ledgers:
        before = ledgers[0]
        ledgers.append(before.revoke(serial, reason, datetime.now(UTC)))
    if serial in before.revoked:
        entry = before.revoked[serial]
        say(f"{write_serial(serial)} was revoked already, {date(entry.at)}, {entry.reason}; that stays")
        return
    say(f"revoked {write_serial(serial)} ({reason})")
    if not is_known:
        note("nobody here can tell whether this authority issued that serial number")
    say(f"next: write the list that servers read, with: certbound ca crl --dir {directory}")


@app.command()
def crl(
    directory: Directory = Path("ca"),
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="Days until the next one is due.")] = 7,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The file; --dir/ca.crl if absent.")] = None,
    pem: Annotated[bool, typer.Option("--pem/--der", help="PEM, or DER as RFC 5280 wants it published.")] = False,
) -> None:
    """Write a new CRL over the last one: all that was revoked, signed, with a number of its own.

    Example: certbound ca crl --days 1

    Example, where a web server publishes it: certbound ca crl --out /srv/www/ca.crl
    """
    authority = load(directory)
    file = out or directory / "ca.crl"
    with changing(directory) as ledgers:
        list_, ledger = sign_crl(authority, ledgers[0], datetime.now(UTC), days)
        ledgers.append(ledger)
        write_file(file, list_.public_bytes(_PEM if pem else serialization.Encoding.DER), mode=0o644)
    count = len(ledger.revoked)
    say(
        f"wrote {file}: number {ledger.crl_number}, {count} certificate{'' if count == 1 else 's'}, "
        f"the next one is due {date(list_.next_update_utc.timestamp() if list_.next_update_utc else 0)}",
        f'next: name it in certbound.toml, [revocation] mode = "hard" and crls = ["{file}"]',
    )


@app.command()
def ocsp(
    directory: Directory = Path("ca"),
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8889,
) -> None:
    """Answer OCSP questions on 127.0.0.1 until Ctrl-C, signed by the authority itself; a revocation counts at once.

    It also gives the CRL that `certbound ca crl` wrote, at /ca.crl.  For development: nothing is encrypted here, and
    the authority's key is in the memory of a server.

    Example: certbound ca ocsp --port 8889
    """
    from certbound.cli._responder import respond

    authority = load(directory)
    read_ledger(directory)

    def ready(url: str) -> None:
        say(
            f"answering OCSP at {url} and the CRL at {url}/ca.crl; Ctrl-C ends it",
            f'next: name it in certbound.toml, [revocation] mode = "hard" and ocsp = ["{url}"], and '
            "[fetch] private_addresses = true",
        )

    respond(authority, lambda: read_ledger(directory), directory / "ca.crl", port=port, on_ready=ready)


def _serial(given: str, authority: Authority, directory: Path) -> tuple[int, bool]:
    """The serial number, and whether it is known to be this authority's."""
    if not Path(given).exists():
        try:
            return read_serial(given), False
        except ValueError as error:
            raise WrongUse(f"there is no file {given!r}, and {error}") from error
    certificate = read_file(Path(given)).parsed
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except Exception as error:
        raise ConfigurationError(f"{given} was not issued by {directory}/ca.pem; nothing was revoked") from error
    return certificate.serial_number, True


def _name(subject: str | None, common_name: str) -> x509.Name:
    try:
        if subject is not None:
            return x509.Name.from_rfc4514_string(subject)
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    except ValueError as error:
        raise ConfigurationError(
            f"{subject or common_name!r} cannot be a subject{f': {error}' if str(error) else ''}; write RFC 4514 with "
            "--subject, for example CN=client,O=Example,C=CZ"
        ) from error


def _ascii(name: str) -> str:
    """A DNS name as certificates carry it (RFC 5280 section 7.2)."""
    return name if name.isascii() else idna.encode(name, uts46=True).decode("ascii")


def _require_outlived(authority: Authority, days: int) -> None:
    """A certificate that ends after its authority is refused by everybody from that day on."""
    left = authority.certificate.not_valid_after_utc - datetime.now(UTC)
    if left < timedelta(days=days):
        raise ConfigurationError(
            f"the authority is valid until {_end(authority.certificate)} only; give --days {max(left.days, 0)} or "
            "fewer, or make a new authority"
        )


def _require_file_name(name: str) -> None:
    if name in {"", "ca"} or name.startswith(".") or "/" in name or not name.isprintable():
        raise WrongUse(f"{name!r} cannot be the name of the files; try another")


def _write_issued(issued: Issued, folder: Path, name: str, *, force: bool) -> tuple[Path, Path]:
    """The files that hold it: the certificate with those between it and the anchor, and its key."""
    certificate, private = folder / f"{name}.pem", folder / f"{name}.key"
    # The anchor itself is never sent: who does not have it already cannot trust it.
    between = [each for each in issued.issuers if each.issuer != each.subject]
    pem = issued.certificate_pem + b"".join(each.public_bytes(_PEM) for each in between)
    write({certificate: pem}, {private: issued.key_pem}, force=force)
    return certificate, private


def _end(certificate: x509.Certificate) -> str:
    return date(certificate.not_valid_after_utc.timestamp())


_PEM = serialization.Encoding.PEM
_CLIENT = "next: register the client; what it can be known by says: certbound client add --from-cert {certificate}"
_SERVER = 'next: name them in certbound.toml, [server] certificate = "{certificate}" and key = "{key}"'
_NEXT: Mapping[str, str] = {"client": _CLIENT, "server": _SERVER, "both": _CLIENT}
