"""What keeps a request for a person and its redirect URI in their bounds, for `mutation.py`: a file, a step, what is
found and what it becomes.
"""

REQUEST = "core/authorization.py"
INTERACTION = "core/interaction.py"
REDIRECTS = "core/redirects.py"
PKCE = "core/pkce.py"
REGISTERED = "core/client_authorization.py"
UNSPOKEN = "core/client_unspoken.py"

SUITES = {
    REQUEST: ["core/test_authorization.py"],
    INTERACTION: ["core/test_interaction.py"],
    REDIRECTS: ["core/test_redirects.py"],
    PKCE: ["core/test_pkce.py"],
    REGISTERED: ["core/test_client_authorization.py"],
    UNSPOKEN: ["core/test_client_authorization.py"],
}

MUTATIONS = [
    (REQUEST, "1", "    if GRANT_TYPE not in client.grant_types:\n", "    if False:\n"),
    (REQUEST, "2", "if not match_redirect_uri(asked, client.redirect_uris):", "if asked[:5] not in str(client):"),
    (REQUEST, "2", "    if len(values) > 1:\n", "    if False:\n"),
    (REQUEST, "3", "if state is not None and len(state) > MAX_STATE:", "if False:"),
    (
        REQUEST,
        "3",
        "if mode not in set(ResponseMode):",
        'mode = mode if mode in set(ResponseMode) else "query"\n    if False:',
    ),
    (REQUEST, "4", "        if name in parameters:\n", "        if False:\n"),
    (REQUEST, "4", "if len(values) > 1 and name != ", "if False and name != "),
    (REQUEST, "4", 'if response_type != "code":', 'if "code" not in response_type:'),
    (REQUEST, "5", "    if challenge is None:\n", "    challenge = challenge or 43 * 'a'\n    if False:\n"),
    (REQUEST, "5", '_one(parameters, "code_challenge_method") != S256 or ', ""),
    (REQUEST, "5", " or not is_challenge(challenge)", ""),
    (REQUEST, "6", "Scope(client.scope & policy.scope))", "policy.scope)"),
    (REQUEST, "6", "Scope(client.scope & policy.scope))", "client.scope)"),
    (
        REQUEST,
        "6",
        'grant_audience(parameters.get("resource", ())',
        'grant_audience((), parameters.get("resource") or ()) or (()',
    ),
    (REQUEST, "7", "if nonce is not None and len(nonce) > MAX_NONCE:", "if False:"),
    (REQUEST, "7", "if len(hint) > MAX_TOKEN:", "if False:"),
    (REQUEST, "7", "if Prompt.NONE in prompt and len(prompt) > 1:", "if False:"),
    (REQUEST, "7", "        return default\n", "        return None\n"),
    (REQUEST, "8", "if request.client_id != client.client_id:", "if False:"),
    (REQUEST, "8", "if not client.enabled or GRANT_TYPE not in client.grant_types:", "if not client.enabled:"),
    (REQUEST, "8", "if not client.enabled or GRANT_TYPE", "if GRANT_TYPE"),
    (REQUEST, "8", "if not match_redirect_uri(request.to.redirect_uri, client.redirect_uris):", "if False:"),
    (REQUEST, "9", "- (client.scope & policy.scope):", "- policy.scope:"),
    (REQUEST, "9", "- (client.scope & policy.scope):", "- client.scope:"),
    (REQUEST, "9", "if lost := set(request.resources) - set(policy.resources):", "if lost := set():"),
    (
        INTERACTION,
        "1",
        "if session is None:",
        'session = session or SessionRecord(digest="", subject="", sid="", auth_time=now)\n    if False:',
    ),
    (INTERACTION, "1", "if hinted and session.subject != hinted:", "if False:"),
    (INTERACTION, "1", "{Prompt.LOGIN, Prompt.SELECT_ACCOUNT}", "{Prompt.LOGIN}"),
    (INTERACTION, "1", "now - session.auth_time > request.max_age", "now - session.auth_time > request.max_age + 60"),
    (INTERACTION, "2", "if subject and waiting.consented == subject:", "if waiting.consented:"),
    (INTERACTION, "2", "if Prompt.CONSENT in request.prompt:", "if False:"),
    (
        INTERACTION,
        "2",
        "if consent is None or (consent.subject, consent.client_id) != (subject, request.client_id):",
        "if consent is None:",
    ),
    (INTERACTION, "2", "if not covers(consent, request):", "if False:"),
    (INTERACTION, "2", "set(request.scope) <= set(consent.scope) and ", ""),
    (INTERACTION, "2", " and set(request.resources) <= set(consent.resources)", ""),
    (INTERACTION, "2", "if client.method is Method.NONE and is_native(request.to.redirect_uri):", "if False:"),
    (INTERACTION, "rule", "if Prompt.NONE in request.prompt:", "if False:"),
    (REDIRECTS, "rule", "len(text) > MAX_URI or ", ""),
    (REDIRECTS, "rule", "[a-z][a-z0-9+.-]*:[!\\x24-\\x5B\\x5D-\\x7E]+", "[a-z][a-z0-9+.-]*:[!\\x24-\\x7E]+"),
    (REDIRECTS, "rule", "[a-z][a-z0-9+.-]*:[!\\x24-\\x5B\\x5D-\\x7E]+", "[a-z][a-z0-9+.-]*:[!-\\x5B\\x5D-\\x7E]+"),
    (REDIRECTS, "rule", " and not _USER.search(text)", ""),
    (REDIRECTS, "rule", 'return "." in text.partition(":")[0]', "return True"),
    (REDIRECTS, "rule", "if int(port or 1) > _LAST_PORT:", "if False:"),
    (REDIRECTS, "rule", 'if scheme == "https" else host in _LOOPBACK', 'if scheme == "https" else True'),
    (REDIRECTS, "rule", "IPv4Address if _ENDS_IN_NUMBER.search(text) else None", "None"),
    (REDIRECTS, "rule", 'IPv6Address if text.startswith("[") else', ""),
    (REDIRECTS, "rule", 'web[1] != "http" or ', ""),
    (REDIRECTS, "rule", "web[2] not in _LOOPBACK_ADDRESSES or", "web[2] not in _LOOPBACK or"),
    (REDIRECTS, "rule", "return (web[2], web[4])", "return (web[2],)"),
    (REDIRECTS, "rule", "return (web[2], web[4])", "return (web[4],)"),
    (REDIRECTS, "rule", '"" if redirect_uri.endswith(("?", "&")) else "&"', '""'),
    (PKCE, "rule", "    if not _VERIFIER.fullmatch(verifier):\n        return False\n", ""),
    (PKCE, "rule", "hmac.compare_digest(made, challenge.encode())", "True"),
    (REGISTERED, "rule", "if uses_code and not redirect_uris:", "if False:"),
    (REGISTERED, "rule", "if own and choice(", "if False and choice("),
    (REGISTERED, "rule", "or not is_redirect_uri(each):", ":"),
    (REGISTERED, "rule", "len(value) > MAX_URIS:", "False:"),
    (REGISTERED, "rule", "if len(hosts) != 1 or any(map(is_native, redirect_uris)):", "if len(hosts) != 1:"),
    (REGISTERED, "rule", "if len(hosts) != 1 or any(map(is_native, redirect_uris)):", "if not hosts:"),
    (REGISTERED, "rule", "host.endswith(each)", "host.endswith(each[1:])"),
    (
        REGISTERED,
        "rule",
        "((REDIRECT_URIS, redirect_uris), (LOGOUT_URIS, logout_uris))",
        "((REDIRECT_URIS, redirect_uris),)",
    ),
    (UNSPOKEN, "rule", "if value is not False and value != []:", "if value is True:"),
]
