"""Certificates that proxies forward, for `mutation.py`: a file, a step, what is found and what it becomes."""

PROXIES = "tls/proxies.py"
NAMES = "tls/header_names.py"
VALUES = "tls/forwarded/_values.py"
CONTRACT = "tls/forwarded/contract.py"
READING = "tls/forwarded/reading.py"
ASGI = "tls/forwarded/asgi.py"
WSGI = "tls/forwarded/wsgi.py"
NGINX = "tls/forwarded/nginx.py"
HAPROXY = "tls/forwarded/haproxy.py"
APACHE = "tls/forwarded/apache.py"
ENVOY = "tls/forwarded/envoy.py"
TRAEFIK = "tls/forwarded/traefik.py"
CADDY = "tls/forwarded/caddy.py"
GCP = "tls/forwarded/gcp.py"
RFC9440 = "tls/forwarded/rfc9440.py"
AWS_ALB = "tls/forwarded/aws_alb.py"

_CONTRACTS = ["tls/forwarded/test_contracts.py"]
_WHO = ["tls/test_proxies.py"]
_READING = ["tls/forwarded/test_reading.py"]

SUITES = {
    PROXIES: _WHO,
    NAMES: [*_READING, *_CONTRACTS],
    VALUES: _CONTRACTS,
    CONTRACT: _CONTRACTS,
    READING: [*_READING, "tls/forwarded/test_wsgi.py"],
    ASGI: ["tls/forwarded/test_asgi.py", "tls/forwarded/test_upgrade_with_a_body.py"],
    WSGI: ["tls/forwarded/test_wsgi.py", "tls/forwarded/test_asgi.py"],
    NGINX: _CONTRACTS,
    HAPROXY: _CONTRACTS,
    APACHE: _CONTRACTS,
    ENVOY: ["tls/forwarded/test_envoy.py", "tls/forwarded/test_wsgi.py"],
    TRAEFIK: _CONTRACTS,
    CADDY: _CONTRACTS,
    GCP: _CONTRACTS,
    RFC9440: _CONTRACTS,
    AWS_ALB: _CONTRACTS,
}

MUTATIONS = [
    (PROXIES, "1", "way = self._way(hop, claimed_address)", 'way = "any"'),
    (
        PROXIES,
        "1",
        "address = hop.address if hop is not None else claimed_address",
        "address = claimed_address or hop and hop.address",
    ),
    (
        PROXIES,
        "1",
        "if hop is not None and hop.is_unix and self.unix_socket:",
        "if (hop is None or hop.is_unix) and self.unix_socket:",
    ),
    (PROXIES, "1", "hop.certificate.leaf.thumbprint in self._thumbprints", "True"),
    (PROXIES, "1", "        found = found.ipv4_mapped\n", "        pass\n"),
    (PROXIES, "2", "if len(secrets) != 1:", "if not secrets:"),
    (PROXIES, "2", "if not _is_one_of(secrets[0], self._secrets):", "if False:"),
    (PROXIES, "2", "hmac.compare_digest(value, each)", "value == each"),
    (
        PROXIES,
        "2",
        "any([hmac.compare_digest(value, each) for each in secrets])",
        "any(hmac.compare_digest(value, each) for each in secrets)",
    ),
    (PROXIES, "3", "elif hop is None:", "elif False:"),
    (PROXIES, "rule 3", "if each.prefixlen == 0]", "if False]"),
    (PROXIES, "rule", "if len(text) < MIN_SECRET or", "if"),
    (PROXIES, "rule", "if self.without_secret == bool(self.secrets):", "if False:"),
    (NAMES, "rule", "if not _NAME.fullmatch(name):", "if False:"),
    (NAMES, "rule", 'b"-", name.lower()).strip(b"-")', 'b"-", name.lower())'),
    (NAMES, "rule", 'rb"[^a-z0-9]+"', 'rb"[^a-z0-9.]+"'),
    (READING, "1", "self.proxies.believe(hop, claimed_address, secrets)", "pass"),
    (READING, "1", "if not is_owned[name]:", "if name not in self._names:"),
    (READING, "1", "found = folded(name) in self._folded", "found = name in self._folded"),
    (READING, "2", "if len(secrets) > 1:", "if False:"),
    (READING, "2", "if name is None:", "if False:"),
    (READING, "2", "if name in values:", "if False:"),
    (READING, "2", "        if self._joins:\n", "        if False:\n"),
    (READING, "3", "if sum(map(len, values.values())) > MAX_BYTES:", "if False:"),
    (READING, "4", "self._certificate(said), is_believed=True", "None, is_believed=True"),
    (READING, "4", "if len(self._memory) > MEMORY:", "if False:"),
    (READING, "4", "key = tuple(said)", "key = tuple((name, value[:8]) for name, value in said)"),
    (ASGI, "rule 1", 'extensions.pop("tls", None)', 'extensions.get("tls", None)'),
    (ASGI, "rule 2", '"headers": reading.headers', '"headers": scope["headers"]'),
    (ASGI, "rule 4", 'return b"upgrade" in names and ', "return False and "),
    (ASGI, "rule 4", '(b"connection", b"close"),', ""),
    (ASGI, "rule 3", '{"http", "websocket"}', '{"http"}'),
    (ASGI, "hosts", "if len(named) == 1 else None", "if named else None"),
    (ASGI, "hosts", "return host is not None and covers(hosts, host)", "return True"),
    (WSGI, "rule 1", "if without_secret or not secrets:", "if False:"),
    (WSGI, "rule 2", ", joins=True)", ")"),
    (WSGI, "stripped", "if key not in owned}", "}"),
    (VALUES, "rule 1", "    if escape[1] is None:", "    if False:"),
    (
        VALUES,
        "rule 1",
        "return _ESCAPE.sub(_unescape, value)",
        'return _ESCAPE.sub(_unescape, value.replace(b"+", b" "))',
    ),
    (VALUES, "rule 2", "if not found or b64encode(found) != value:", "if not found:"),
    (VALUES, "rule 3", "_der.expect(_der.read(each), _der.SEQUENCE)", "pass"),
    (VALUES, "rule 3", "if text[at : block.start()].strip():", "if False:"),
    (VALUES, "rule 3", "if text[at:].strip() or not found:", "if not found:"),
    (VALUES, "rule 3", "if len(ders) != 1:", "if not ders:"),
    (VALUES, "status", "    if not said:", "    if not said and False:"),
    (VALUES, "status", "if any(certificates):", "if False:"),
    (VALUES, "status", "if not is_status(said):", "if False:"),
    (VALUES, "bound", "tuple(chain[:MAX_CHAIN])", "tuple(chain)"),
    (CONTRACT, "rule", "if other != role:", "if False:"),
    (NGINX, "1", "if not is_there(values, self.verify_header, _is_status, certificate):", "if not certificate:"),
    (NGINX, "2", "only(pem_blocks(percent_decoded(certificate)))", "pem_blocks(percent_decoded(certificate))[0]"),
    (HAPROXY, "1", "if not is_there(values, self.verify_header, _is_code, certificate, chain):", "if not certificate:"),
    (HAPROXY, "1", "_is_code, certificate, chain)", "_is_code, certificate)"),
    (HAPROXY, "2", "concatenated(base64_decoded(chain)) if chain else ()", "()"),
    (APACHE, "1", "if not is_there(values, self.verify_header, _is_status, certificate):", "if not certificate:"),
    (APACHE, "2", "only(pem_blocks(base64_decoded(certificate)))", "pem_blocks(base64_decoded(certificate))[0]"),
    (ENVOY, "1", "*others, last = elements(value)", "last, *others = elements(value)"),
    (ENVOY, "1", "if any(key not in _SAFE for element in others for key, _ in element):", "if False:"),
    (ENVOY, "2", "if certificate is None:", "if False:"),
    (ENVOY, "2", "if len(values) > 1:", "if False:"),
    (ENVOY, "3", "if stated is not None and stated.lower() != ", "if False and stated != "),
    (ENVOY, "4", "if ders[0] != leaf:", "if False:"),
    (ENVOY, "joined", "return bool(value) and len(elements(value)) > 1", "return False"),
    (ENVOY, "quotes", '"((?:[^"\\\\]|\\\\.)*)"', '"([^"]*)"'),
    (TRAEFIK, "rule", "leaf, *chain = map", "*chain, leaf = map"),
    (CADDY, "1", 'if stated.lower() != sha256(der).hexdigest().encode("ascii"):', "if False:"),
    (GCP, "1", "if present not in _PRESENT:", 'if present not in _PRESENT and (present := b"true") is None:'),
    (GCP, "2", "if leaf or chain:", "if False:"),
    (GCP, "2", "if leaf or chain:", "if leaf:"),
    (GCP, "3", "byte_sequences(chain) if chain else ()", "()"),
    (GCP, "joined", 'return b"," in value and header != self.chain_header', "return False"),
    (RFC9440, "1", "if chain:", "if False:"),
    (RFC9440, "2", "byte_sequences(chain) if chain else ()", "()"),
    (RFC9440, "2", 'inner[:1] != b":" or inner[-1:] != b":"', "False"),
    (AWS_ALB, "rule 2", "leaf, *chain = pem_blocks", "*chain, leaf = pem_blocks"),
    (
        AWS_ALB,
        "rule 2",
        "peer_of(only(pem_blocks(percent_decoded(value)))) if",
        "peer_of(pem_blocks(percent_decoded(value))[0]) if",
    ),
    (ASGI, "rule", "        require_first(connection_facts(scope), is_decided=DECIDED in scope)\n", ""),
    (ASGI, "rule", "if not found or None in found.values():", "if False:"),
    (WSGI, "rule", "declared_hosts(hosts)", "None if hosts is None else frozenset(hosts)"),
]
