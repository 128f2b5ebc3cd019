"""The steps of OpenID Connect for `mutation.py`: the same form, a file, a step, what is found and what it becomes."""

CORE_OPENID = "core/openid.py"
OPENID = "server/openid.py"
USERINFO = "server/userinfo.py"
LOGOUT = "server/logout.py"

SUITES = {
    CORE_OPENID: ["core/test_openid.py"],
    OPENID: ["e2e/test_openid.py"],
    USERINFO: ["e2e/test_userinfo.py", "e2e/test_openid.py"],
    LOGOUT: ["e2e/test_logout.py"],
}

MUTATIONS = [
    (CORE_OPENID, "1", "types=_TYPES", 'types={"jwt", "at+jwt"}'),
    (
        CORE_OPENID,
        "2",
        "claims = verified_claims(token, header, keys)",
        'claims = __import__("certbound.core.jws").core.jws.unverified_claims(token)',
    ),
    (CORE_OPENID, "3", 'claims.get("iss") != issuer or ', ""),
    (CORE_OPENID, "rule", 'f"sector {client.sector}" if client.sector else ', ""),
    (
        CORE_OPENID,
        "rule",
        'f"sector {client.sector}" if client.sector else f"client {client.client_id}"',
        "client.sector or client.client_id",
    ),
    (CORE_OPENID, "rule", "    if not sid:\n", "    if False:\n"),
    (OPENID, "rule", "openid.sid_for(client, agreed.sid)", "agreed.sid"),
    (OPENID, "rule", "if await service.clients.find(subject) is not None:", "if False:"),
    (OPENID, "rule", "if not client.sector:", "if True:"),
    (OPENID, "rule", "if found is None or found.client_id != client.client_id:", "if found is None:"),
    (
        USERINFO,
        "1",
        "read_bearer(call.authorization)",
        'b" ".join(call.authorization).partition(b" ")[2].decode("latin-1")',
    ),
    (
        USERINFO,
        "2",
        "raise InvalidToken(str(why)) from why",
        'live = type("", (), {"claims": __import__("certbound.core.jws").core.jws.unverified_claims(token)})',
    ),
    (USERINFO, "3", "    _require_binding(claims, client, call, service)\n", ""),
    (USERINFO, "3", "if is_bound(client, service.bind):", "if False:"),
    (USERINFO, "4", "if OPENID not in scope:", "if False:"),
    (USERINFO, "4", 'if claims["sub"] == client.client_id:', "if False:"),
    (USERINFO, "4", 'if "act" in claims:', "if False:"),
    (USERINFO, "5", "if account is None or not account.enabled:", "if account is None:"),
    (LOGOUT, "1", "if call.form.one(FORM_TOKEN) is None or visit_of(call, service).is_new:", "if False:"),
    (LOGOUT, "1", " or visit_of(call, service).is_new", ""),
    (LOGOUT, "1", "[*call.query.values.items(), *call.form.values.items()]", "call.form.values.items()"),
    (LOGOUT, "2", "leaving = await read_leaving(call.query, service)", "leaving = Leaving()"),
    (LOGOUT, "3", "require_own_form(call, service, _purpose(session))", "pass"),
    (LOGOUT, "3", "elif not _is_of(leaving, session):", "elif False:"),
    (LOGOUT, "3", "leaving.hint.sid == sid_for(leaving.client, session.sid)", "leaving.hint.sid"),
    (LOGOUT, "3", 'f"logout {session.sid}"', '"logout"'),
    (LOGOUT, "4", "await end_session(call, service)", '(b"x-a", b"b")'),
    (LOGOUT, "a", "if hint and client_id and hint.client_id != client_id:", "if False:"),
    (LOGOUT, "a", "if client is not None and not client.enabled:", "if False:"),
    (LOGOUT, "a", "if client_id and client is None:", "if False:"),
    (LOGOUT, "b", "if uri is not None and client is None:", "if False:"),
    (LOGOUT, "b", "if uri is not None and client is not None and uri not in client.logout_uris:", "if False:"),
    (LOGOUT, "b", "if state is not None and len(state) > MAX_STATE:", "if False:"),
]
