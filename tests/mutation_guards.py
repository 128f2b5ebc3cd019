"""What a guard remembers, asks and tells, and its asynchronous faces, for `mutation.py`: a file, a step, what is found
and what it becomes."""

INTROSPECTION = "resource/introspection.py"
MEMORY = "resource/memory.py"
FORWARD_AUTH = "resource/forward_auth.py"
ROUTES = "resource/routes.py"
ORDER = "resource/_order.py"
CACHING = "resource/caching.py"
ASGI = "resource/asgi.py"
STARLETTE = "resource/starlette.py"
FASTAPI = "resource/fastapi.py"
GRPC = "resource/grpc.py"
METADATA = "resource/metadata.py"
DJANGO = "resource/django.py"
BEHIND = "tls/forwarded/behind.py"

SUITES = {
    INTROSPECTION: ["resource/test_introspection.py"],
    MEMORY: ["resource/test_memory.py"],
    FORWARD_AUTH: ["resource/test_forward_auth.py"],
    ROUTES: ["resource/test_forward_auth.py"],
    ORDER: ["resource/test_order.py"],
    CACHING: ["resource/test_caching.py"],
    ASGI: ["resource/test_guard.py", "resource/test_order.py", "resource/faces/test_starlette.py"],
    STARLETTE: ["resource/faces/test_starlette.py"],
    FASTAPI: ["resource/faces/test_fastapi.py", "resource/test_caching.py"],
    GRPC: ["resource/faces/test_grpc.py"],
    METADATA: ["resource/test_metadata.py"],
    BEHIND: ["e2e/test_behind_proxy.py"],
}

MUTATIONS = [
    (INTROSPECTION, "1", "if len(token) > MAX_TOKEN:", "if False:"),
    (INTROSPECTION, "2", "said is not None and said.counts(self._now()) else None", "said is not None else None"),
    (INTROSPECTION, "3", "if self._away.counts(self._now()):", "if False:"),
    (INTROSPECTION, "4", "task = self._questions.get(digest)\n", "task = None\n"),
    (INTROSPECTION, "4", "await asyncio.shield(self._question(token, digest))", "await self._question(token, digest)"),
    (INTROSPECTION, "a", "if not isinstance(active, bool):", "if active is None:"),
    (INTROSPECTION, "a", "        if not active:\n", "        if False:\n"),
    (INTROSPECTION, "b", 'or token_type.lower() != "bearer"', "or False"),
    (INTROSPECTION, "c", "min(until, expires_at) if is_time(expires_at) else until", "until"),
    (INTROSPECTION, "c", ' if name != "status"}', "}"),
    (INTROSPECTION, "rule 1", "follow_redirects=False", "follow_redirects=True"),
    (INTROSPECTION, "rule 3", "self._active if said.claims is not None else self._other", "self._active"),
    (INTROSPECTION, "rule 3", "    while len(memory) > CAPACITY:\n", "    while False:\n"),
    (INTROSPECTION, "rule 3", "return self.begun_at <= now < self.until", "return now < self.until"),
    (INTROSPECTION, "rule 5", 'raise IntrospectionUnavailable(f"{MAX_QUESTIONS}', 'str(f"{MAX_QUESTIONS}'),
    (INTROSPECTION, "rule", 'if "aud" in claims or self._asked.require_audience:', 'if "aud" in claims:'),
    (INTROSPECTION, "rule", 'if "token_type" not in claims:', "if False:"),
    (MEMORY, "rule 1", "found.issuer.keys.known(None) is found.keys", "found.issuer.keys.known(None) is not None"),
    (MEMORY, "rule 3", "if len(self._kept) > self._capacity:", "if False:"),
    (MEMORY, "rule 3", 'sha256(token.encode("ascii")).digest()', 'token.encode("ascii")[:600]'),
    (FORWARD_AUTH, "1", "        if facts.forwarded_by is None:", "        if False:"),
    (FORWARD_AUTH, "2", "if len(targets) != 1:", "if not targets:"),
    (FORWARD_AUTH, "2", "self._method_header is not None and len(methods) != 1", "False"),
    (FORWARD_AUTH, "3", "if self._routes is None else self._routes.scopes_of(path, *methods or _NO_METHOD)", ""),
    (
        ROUTES,
        "rule 1",
        "        if found is None:\n            found = at.get(_ANY)",
        "        found = found or at.get(_ANY)",
    ),
    (
        ROUTES,
        "rule 1",
        '            raise PathRefused(f"{method} is no',
        '            return frozenset()\n            str(f"{method} is no',
    ),
    (
        ROUTES,
        "rule 2",
        "        if not _METHOD.fullmatch(method):\n            raise",
        "        if False:\n            raise",
    ),
    (
        ORDER,
        "rule 1",
        "if isinstance(each, CertificateSource) or",
        "if False and isinstance(each, CertificateSource) or",
    ),
    (ORDER, "rule 2", "if facts is None and not", "if False and not"),
    (CACHING, "rule 1", "        headers.append(_PRIVATE)", "        pass"),
    (CACHING, "rule 2", 'if name.lower() == b"cache-control":', "if False:"),
    (ASGI, "rule", "METADATA: metadata_url, DECIDED: True", "METADATA: metadata_url"),
    (FASTAPI, "rule 3", "app.router.routes.insert(0, ", "app.router.routes.append("),
    (FASTAPI, "rule 4", "if admitted else message", "if True else message"),
    (
        ROUTES,
        "rule 2",
        "        if not is_plain(path):\n            raise PathRefused",
        "        if False:\n            raise PathRefused",
    ),
    (ROUTES, "rule 2", 'self._lower[_longest(path.lower(), self._lower) or ""] != below', "False"),
    (ROUTES, "rule 2", '("/." in path and _DOTS.search(path))', "False"),
    (ROUTES, "rule 2", "unquote_to_bytes(each)[0] in _NEED_ESCAPE", "True"),
    (
        FORWARD_AUTH,
        "4",
        "peer=facts.peer_certificate, query=query, scopes=scopes",
        "peer=facts.peer_certificate, scopes=scopes",
    ),
    (FORWARD_AUTH, "4", "query=query, scopes=scopes", "query=query"),
    (FORWARD_AUTH, "5", "    if not _VALUE.fullmatch(value):\n", "    if False:\n"),
    (FORWARD_AUTH, "rule 3", '(SUBJECT, principal.subject or ""),', ""),
    (FORWARD_AUTH, "rule 4", "replace(answer, status=401) if answer.status == 400 else answer", "answer"),
    (
        ASGI,
        "rule 1",
        'elif scope["type"] not in {"http", "websocket"}:',
        'elif scope["type"] != "http":\n            await self._app(scope, receive, send)\n        elif False:',
    ),
    (ASGI, "rule 3", "self._metadata_path in _paths(scope)", 'scope["path"].startswith(self._metadata_path or "/")'),
    (ASGI, "rule 4", '"headers": list(scope["headers"])', '"headers": scope["headers"]'),
    (ASGI, "rule 5", 'begun in {"websocket.accept", "websocket.send"}', "False"),
    (
        ASGI,
        "rule",
        '{**scope.get("state", {}), PRINCIPAL: principal}',
        'scope.setdefault("state", {})\n    state[PRINCIPAL] = principal',
    ),
    (STARLETTE, "rule 1", "principal_of(found[0].scope).require(*scopes)", "found[0]"),
    (STARLETTE, "rule 1", "            principal_of(self.scope).require(*scopes)\n", ""),
    (FASTAPI, "rule 2", "if ProtectedResourceError not in connection.app.exception_handlers:", "if False:"),
    (FASTAPI, "rule", "asked_of(scope, frozenset(security_scopes.scopes))", "asked_of(scope)"),
    (GRPC, "rule 1", "if self._forwarded is None:\n            peer =", "if True:\n            peer ="),
    (
        GRPC,
        "rule 4",
        "if handler is None or method in self._open:\n            return handler\n        return self",
        "if handler is None or method.startswith(tuple(self._open)):\n            return handler\n        return self",
    ),
    (GRPC, "rule", "scopes=self._scopes.get(method, _NONE) | self._scopes.get", "scopes=self._scopes.get"),
    (METADATA, "rule 1", "    if api.require_bound:\n", "    if True:\n"),
    (DJANGO, "rule 4", "request._cache_update_cache = False", "pass"),
    (DJANGO, "rule 3", 'or getattr(of_class, "view_is_async", False) is True', ""),
    (DJANGO, "rule 3", "return iscoroutinefunction(view) or", "return inspect.iscoroutinefunction(view) or"),
    (BEHIND, "rule 1", "if said and facts is not None and facts.forwarded_by is not None", "if said"),
    (BEHIND, "rule 2", 'value.rpartition(b",")[2]', 'value.partition(b",")[0]'),
    (BEHIND, "rule 4", 'if is_early and scope.get("method") not in _SAFE:', "if False:"),
]
