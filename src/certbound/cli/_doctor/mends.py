"""What mends what a check found: the lines for the proxy that was named, else a sentence.

Rule 1: the lines are those of `certbound proxy-config`, so that whoever writes them has what the tests run.
Rule 2: lines of contracts that were believed come from the table of contracts.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from certbound.cli._doctor.target import Target
from certbound.tls.forwarded import CONTRACTS
from certbound.tls.proxies import SECRET_HEADER

Lines = tuple[str, ...]


def mend(check: str, proxy: str, seen: str, target: Target) -> Lines:
    """What to do about what `check` has `seen`."""
    group = "forged" if check.startswith("forged") else check
    if _UNKNOWN_NAME in seen.lower().replace("_", " "):
        return (f"let the proxy know the host {target.place.host}, with a certificate for that name",)
    lines = _LINES.get((group, proxy)) or _LINES.get((check, proxy))
    if lines is not None:
        made = lines(seen, target) if callable(lines) else lines
        if made:
            return made
    sentence = _SENTENCES[group]
    if proxy and group not in _NOT_OF_PROXIES:
        return (f"{sentence}; compare with: certbound proxy-config {proxy} --for {_purpose(target)}",)
    return (sentence,)


def _purpose(target: Target) -> str:
    return "api" if target.kind == "API" else "server"


def _believed(seen: str) -> Sequence[str]:
    """The contracts that a finding names."""
    return [name for name in re.split(r"[:, ]+", seen) if name in CONTRACTS]


def _removed(line: str) -> Callable[[str, Target], Lines]:
    """A line for each header of the contracts that were believed; the proxy's own are the next function's."""

    def lines(seen: str, target: Target) -> Lines:
        del target
        names = dict.fromkeys(header for name in _believed(seen) for header in CONTRACTS[name]().headers)
        own = {header: said for header, said in _OWN[line].items() if header in names}
        return (*own.values(), *(line.format(name) for name in names if name not in own))

    return lines


def _nginx_forged(seen: str, target: Target) -> Lines:
    return ("underscores_in_headers off;", "ignore_invalid_headers on;", *_removed(_NGINX)(seen, target))


_NGINX, _APACHE, _CADDY = 'proxy_set_header {} "";', "RequestHeader unset {}", "request_header -{}"
_TRAEFIK, _ENVOY = '{}: ""', "- remove: {}"
_HAPROXY = "http-request del-header {}"
_OWN: Mapping[str, Mapping[str, str]] = {
    _NGINX: {
        "x-ssl-client-cert": "proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;",
        "x-ssl-client-verify": "proxy_set_header X-SSL-Client-Verify $ssl_client_verify;",
    },
    _APACHE: {
        "x-ssl-client-cert": 'RequestHeader set X-SSL-Client-Cert "expr=%{base64:%{SSL_CLIENT_CERT}}"',
        "x-ssl-client-verify": 'RequestHeader set X-SSL-Client-Verify "expr=%{SSL_CLIENT_VERIFY}"',
    },
    _CADDY: {
        "x-ssl-client-cert": "header_up X-SSL-Client-Cert {http.request.tls.client.certificate_der_base64}",
    },
    _TRAEFIK: {},
    _ENVOY: {"x-forwarded-client-cert": "forward_client_cert_details: SANITIZE_SET"},
    _HAPROXY: {},
}
"""What puts the proxy's own word in the place of a client's."""

_UNKNOWN_NAME = "unrecognized name"
"""How TLS says that it knows no such host, which no other line mends."""
_LOG = "what certbound itself logs about that request says why: a stranger's headers, or who is not registered"

_SENTENCES: Mapping[str, str] = {
    "certificate": "send the certificate with its issuers, for the name that clients use",
    "asked": "let the proxy ask every client for a certificate and verify none",
    "not-asked": "ask for certificates under the name for mutual TLS alone: browsers show people a question",
    "authorities": "name no authorities in the handshake: Go, Java and browsers send only what those have issued",
    "mixed-case": "compare server names without regard to case, and give unknown ones no handshake",
    "small-records": "update the proxy: it reads the server name of the first record alone",
    "self-signed": "let the proxy ask for certificates and verify none: who may come is the application's to say",
    "versions": "switch off TLS 1.0 and 1.1 (RFC 8996)",
    "resumption": "switch off session tickets and the session cache",
    "resumption-elsewhere": "switch off session tickets and the session cache, or give each host its own",
    "host": "answer 421 where the host of the request is not the server name of the handshake",
    "owner": f"let the proxy forward the certificate and its secret, in the contract that is declared; {_LOG}",
    "nobody": "require bound tokens (require_bound=True), and register the client for a certificate method",
    "another": "compare the certificate with the token's cnf, as certbound.resource.Guard does",
    "forged": f"remove these headers from what clients send, and believe none without {SECRET_HEADER}",
    "plain": "let it listen on a Unix socket or 127.0.0.1, and believe the proxy by its secret",
    "early-data": "switch off early data in the proxy; certbound answers 425 where one says Early-Data: 1",
    "metadata": "serve the metadata of RFC 8414 or RFC 9728 under this URL, and give this URL as it says itself",
    "metadata-bound": "bind tokens: use certbound, or require_bound=True in the protected resource",
    "aliases": "send what mtls_endpoint_aliases names to the server, under the host name that stands there",
    "hsts": "let the proxy pass on Strict-Transport-Security",
}
"""By check; those of the same kind share one."""

_NOT_OF_PROXIES = frozenset({"nobody", "another", "plain", "metadata", "metadata-bound"})
"""What no configuration of a proxy mends."""

_LINES: Mapping[tuple[str, str], Lines | Callable[[str, Target], Lines]] = {
    ("asked", "nginx"): ("ssl_verify_client optional_no_ca;",),
    ("asked", "haproxy"): (
        "bind … ssl crt … verify optional ca-verify-file … crt-ignore-err all ca-ignore-err all",
    ),
    ("asked", "apache"): ("SSLVerifyClient optional_no_ca",),
    ("asked", "envoy"): ("validation_context: {trust_chain_verification: ACCEPT_UNTRUSTED}",),
    ("asked", "traefik"): (
        "clientAuth: {clientAuthType: RequestClientCert}",
        "the router's rule needs Host(`…`), or its TLS options are not used",
    ),
    ("asked", "caddy"): ("client_auth { mode request }",),
    ("not-asked", "nginx"): ("ssl_verify_client off;",),
    ("not-asked", "apache"): ("SSLVerifyClient none",),
    ("authorities", "nginx"): ("remove ssl_client_certificate",),
    ("authorities", "apache"): ("remove SSLCACertificateFile",),
    ("authorities", "envoy"): ("validation_context: {trust_chain_verification: ACCEPT_UNTRUSTED}", "no trusted_ca"),
    ("authorities", "caddy"): ("client_auth { mode request }", "no trust_pool"),
    ("self-signed", "nginx"): ("ssl_verify_client optional_no_ca;",),
    ("self-signed", "apache"): ("SSLVerifyClient optional_no_ca",),
    ("self-signed", "haproxy"): ("bind … verify optional crt-ignore-err all ca-ignore-err all",),
    ("self-signed", "envoy"): ("validation_context: {trust_chain_verification: ACCEPT_UNTRUSTED}",),
    ("self-signed", "traefik"): ("clientAuth: {clientAuthType: RequestClientCert}",),
    ("self-signed", "caddy"): ("client_auth { mode request }",),
    ("versions", "nginx"): ("ssl_protocols TLSv1.2 TLSv1.3;",),
    ("versions", "haproxy"): ("bind … ssl-min-ver TLSv1.2",),
    ("versions", "apache"): ("SSLProtocol -all +TLSv1.2 +TLSv1.3",),
    ("versions", "envoy"): ("tls_params: {tls_minimum_protocol_version: TLSv1_2}",),
    ("versions", "traefik"): ("minVersion: VersionTLS12",),
    ("versions", "caddy"): ("protocols tls1.2 tls1.3",),
    ("resumption", "nginx"): ("ssl_session_tickets off;", "ssl_session_cache off;"),
    ("resumption", "haproxy"): ("tune.ssl.cachesize 0", "bind … no-tls-tickets"),
    ("resumption", "apache"): ("SSLSessionTickets off", "SSLSessionCache none"),
    ("resumption", "envoy"): (
        "disable_stateless_session_resumption: true", "disable_stateful_session_resumption: true",
    ),
    ("resumption", "traefik"): ("disableSessionTickets: true",),
    ("resumption-elsewhere", "nginx"): ("ssl_session_tickets off;", "ssl_session_cache off;"),
    ("resumption-elsewhere", "apache"): ("SSLSessionTickets off", "SSLSessionCache none"),
    ("host", "nginx"): ("server { listen … ssl default_server; ssl_reject_handshake on; }",),
    ("host", "apache"): (
        "SSLStrictSNIVHostCheck on", "Require expr \"tolower(%{SSL_TLS_SNI}) == '…'\"",
    ),
    ("host", "traefik"): ("sniStrict: true",),
    ("host", "caddy"): ("servers { strict_sni_host on }",),
    ("owner", "nginx"): (
        "proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;",
        "proxy_set_header X-SSL-Client-Verify $ssl_client_verify;",
        f'proxy_set_header {SECRET_HEADER} "…";',
        f"# {_LOG}",
    ),
    ("forged", "nginx"): _nginx_forged,
    ("forged", "haproxy"): _removed(_HAPROXY),
    ("forged", "apache"): _removed(_APACHE),
    ("forged", "envoy"): _removed(_ENVOY),
    ("forged", "traefik"): _removed(_TRAEFIK),
    ("forged", "caddy"): _removed(_CADDY),
    ("early-data", "nginx"): ("ssl_early_data off;",),
}  # fmt: skip
"""By check and proxy."""
