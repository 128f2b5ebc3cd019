"""What a proxy would send: the headers of a contract for a certificate, so that tests need no proxy.

    client.get("/", headers=forwarded_headers("nginx", certificate) | {"certbound-proxy-secret": SECRET})

Rule: no secret is among them: whoever tests must say whom the application believes.
"""

from certbound.tls.forwarded.writing import AnyCertificate, forwarded_headers

__all__ = ["AnyCertificate", "forwarded_headers"]
