"""Faces of the guard for threads, for `mutation.py`: a file, a step, what is found and what it becomes."""

BLOCKING = "resource/blocking.py"
WSGI = "resource/wsgi.py"
FLASK = "resource/flask.py"
DJANGO = "resource/django.py"
REST = "resource/rest_framework.py"
SOURCES = "resource/sources.py"

SUITES = {
    BLOCKING: ["resource/test_blocking.py"],
    WSGI: ["resource/test_wsgi.py"],
    FLASK: ["resource/faces/test_flask.py"],
    DJANGO: ["resource/test_django.py", "resource/faces/test_django.py"],
    REST: ["resource/faces/test_django.py"],
    SOURCES: ["resource/test_sources.py"],
}

MUTATIONS = [
    (BLOCKING, "rule 1", "        fetch = next(steps)", "        _fetching.loop()\n        fetch = next(steps)"),
    (BLOCKING, "rule 3", "        self._loop = None\n", "        pass\n"),
    (BLOCKING, "rule", "waiting.result(PATIENCE)", "waiting.result()"),
    (
        WSGI,
        "rule 1",
        "facts.peer_certificate if facts is not None else None",
        "environ['certbound.tls'].peer_certificate",
    ),
    (WSGI, "rule", "isinstance(found, Principal)", "found is not None"),
    (WSGI, "rule", "query=_bytes(environ.get", 'query=b"" and _bytes(environ.get'),
    (WSGI, "rule 3", "next(each for each in self._body if each)", "next(self._body)"),
    (
        WSGI,
        "rule 3",
        "        self._held = (status, privately(headers))\n",
        "        self._held = (status, privately(headers))\n        self.send_head()\n",
    ),
    (WSGI, "rule 3", "        if self._is_sent:\n            raise refusal\n", ""),
    (WSGI, "rule", "admit(self._api, asked_of(environ, self._scopes))", "admit(self._api, asked_of(environ))"),
    (FLASK, "rule 1", "app.wsgi_app = Guard(app.wsgi_app, api)", "Guard(app.wsgi_app, api)"),
    (FLASK, "rule 2", "for each in (view, guarded):", "for each in (guarded,):"),
    (
        DJANGO,
        "rule 1",
        "if unknown := sorted(str(each) for each in described if each not in _KEYS):",
        "if unknown := []:",
    ),
    (DJANGO, "rule 2", "principal_in(request).require(*scopes)", "principal_in(request)"),
    (DJANGO, "rule 2", "(await _principal_in(request)).require(*scopes)", "await _principal_in(request)"),
    (DJANGO, "rule 2", "return found if isinstance(found, Principal) else None", "return found"),
    (DJANGO, "rule 2", "request.path == self._metadata_path", "request.path.startswith(self._metadata_path or '')"),
    (REST, "rule 1", "if not self.required:", "if True:"),
    (REST, "rule 1", "    required = True", "    required = False"),
    (REST, "rule", "                request.auth.require(*scopes)", "                pass"),
    (
        REST,
        "rule",
        "if not isinstance(request.auth, Principal):\n                return False",
        "if request.auth is None:\n                return True",
    ),
    (SOURCES, "1", "{**environ, EXTENSION: facts}", "{EXTENSION: facts, **environ}"),
    (SOURCES, "2", "connection.getpeercert(binary_form=True)", "None"),
    (SOURCES, "3", "[] if error else [*map", "[*map"),
    (SOURCES, "3", ".split()), validate=True)", ".split()))"),
    (SOURCES, "rule 3", "if found.context.verify_mode == ssl.CERT_NONE:", "if False:"),
    (SOURCES, "rule 3", "if not isinstance(found, ssl.SSLSocket):", "if False:"),
]
