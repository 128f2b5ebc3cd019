"""The facts of a connection, as OpenSSL has them once its handshake is complete."""

from OpenSSL import SSL, crypto

from certbound.core.certificate import PeerCertificate, read_certificate
from certbound.core.errors import BadCertificate
from certbound.tls.facts import ConnectionFacts


def read_facts(
    connection: SSL.Connection, *, asks_for_certificate: bool, server_name: str | None, chain_certificates: int
) -> ConnectionFacts:
    """The facts of a connection; call it only when the handshake is complete.

    OpenSSL shows the peer's certificate as soon as it has arrived, which is before CertificateVerify proves anything.
    """
    peer, unusable, der = None, None, b""
    # A host that does not ask has no client certificate, whatever the TLS library holds.
    leaf = connection.get_peer_certificate() if asks_for_certificate else None
    if leaf is not None:
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, leaf)
        behind = (connection.get_peer_cert_chain() or ())[:chain_certificates]
        chain = tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in behind)
        try:
            peer = PeerCertificate(read_certificate(der), chain)
        except BadCertificate as error:
            unusable = str(error)
    return ConnectionFacts(
        peer_certificate=peer,
        unusable_certificate=unusable,
        tls_version=connection.get_protocol_version_name(),
        cipher=connection.get_cipher_name() or "",
        group=connection.get_group_name(),
        asks_for_certificate=asks_for_certificate,
        server_name=server_name,
        unusable_der=der if unusable else b"",
    )
