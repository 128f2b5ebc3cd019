"""Lines of the printed configurations that keep something out: without each, the table would say something else.

What certbound then makes of it is seen here too: less is believed; but the line that sets the certificate header is
what keeps the client's own out, and nothing behind it can.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from certbound.core.certificate import read_certificate
from proxies import variants
from proxies.frame import (
    Kinds,
    Observer,
    Program,
    Proxied,
    behind,
    running,
    served,
    wrapped,
)
from proxies.programs import APACHE, CADDY, ENVOY, HAPROXY, NGINX, TRAEFIK
from proxies.variants import Variant, cell

pytestmark = pytest.mark.proxies

LINES: tuple[tuple[str, Program, str, Variant, str, str], ...] = (
    ("nginx, tickets", NGINX, r"ssl_session_tickets off", variants.resumed, "its own", "RESUMED"),
    ("nginx, the secret", NGINX, r"certbound-proxy-secret", variants.own, "its own", "none"),
    ("nginx, the verify header", NGINX, r"X-SSL-Client-Verify", variants.certificate_alone, "its own", "certbound 400"),
    ("nginx, the certificate header", NGINX, r"X-SSL-Client-Cert ", variants.own, "its own", "FORGED"),
    ("haproxy, the cache", HAPROXY, r"tune\.ssl\.cachesize", variants.resumed, "its own", "RESUMED"),
    ("haproxy, names", HAPROXY, r"restrict-req-hdr|\[\^a-z0-9-\]", variants.underscores, "its own", "certbound 400"),
    ("haproxy, the secret", HAPROXY, r"set-header certbound-proxy-secret", variants.own, "its own", "none"),
    ("haproxy, the hosts", HAPROXY, r"deny_status 421", variants.host_is_not_sni, "proxy 421", "its own"),
    ("apache, tickets", APACHE, r"SSLSession", variants.resumed, "its own", "RESUMED"),
    ("apache, twins", APACHE, r"unset [a-z-]*_", variants.underscores, "its own", "certbound 400"),
    ("apache, Connection", APACHE, r"\bConnection\b", variants.connection_other, "its own", "certbound 400"),
    ("apache, Connection, the secret", APACHE, r"\bConnection\b", variants.connection_secret, "its own", "none"),
    ("envoy, tickets", ENVOY, r"session_resumption", variants.resumed, "its own", "RESUMED"),
    ("envoy, underscores", ENVOY, r"headers_with_underscores", variants.underscores, "proxy 400", "its own"),
    ("envoy, names", ENVOY, r"remove_on_match", variants.dots, "its own", "certbound 400"),
    ("envoy, the secret", ENVOY, r"certbound-proxy-secret", variants.own, "its own", "none"),
    ("envoy, the certificate", ENVOY, r"SANITIZE_SET|set_current", variants.own, "its own", "none"),
    ("traefik, the certificate", TRAEFIK, r"passTLSClientCert", variants.own, "its own", "proxy 404"),
    ("traefik, the secret", TRAEFIK, r"certbound-proxy-secret", variants.own, "its own", "none"),
    ("caddy, the certificate header", CADDY, r"header_up X-SSL-Client-Cert", variants.own, "its own", "FORGED"),
    ("caddy, the secret", CADDY, r"header_up certbound-proxy-secret", variants.own, "its own", "none"),
)
"""What it is called, the proxy, which lines go, what a client tries, and the cell with and without them."""


@contextmanager
def observed(program: Program, folder: Path, kinds: Kinds, without: str) -> Iterator[tuple[Proxied, Observer]]:
    """The proxy as printed, but for lines in which `without` is found."""
    observer = Observer(program.name)
    with served(wrapped(observer, program.name)) as port:
        with behind(program, f"127.0.0.1:{port}", folder, kinds) as proxy:
            text = proxy.printed
        if without:
            kept = [line for line in text.splitlines() if not re.search(without, line.partition("#")[0])]
            assert len(kept) < len(text.splitlines())
            text = "\n".join(kept) + "\n"
        with running(program, text, proxy.port, folder, kinds) as proxy:
            yield proxy, observer


@pytest.mark.parametrize(
    ("program", "line", "variant", "before", "after"), [row[1:] for row in LINES], ids=[row[0] for row in LINES]
)
def test_a_line_is_needed(
    program: Program, line: str, variant: Variant, before: str, after: str, kinds: Kinds, tmp_path: Path
) -> None:
    """With all lines it is as the table says; without these it is not."""
    identity = kinds["CA-signed"]
    assert identity is not None
    own = read_certificate(identity.der).thumbprint
    for without, expected in (("", before), (line, after)):
        with observed(program, tmp_path, kinds, without) as (proxy, observer):
            observer.seen.clear()
            seen = variant(proxy, identity)
            assert expected == cell(seen, observer.seen[-1:] if seen.status == 200 else [], own), (without, proxy.log)
