"""The steps that lead people to a page and clients to a code, for `mutation.py`: a file, a step, what is found and what
it becomes.
"""

AUTHORIZATION = "server/authorization.py"
PUSHED = "server/pushed.py"
INTERACTIONS = "server/interactions.py"
SESSIONS = "server/sessions.py"

SUITES = {
    AUTHORIZATION: ["server/test_authorization.py", "e2e/test_pushed.py", "e2e/test_store_away.py"],
    PUSHED: ["server/test_authorization.py", "e2e/test_pushed.py"],
    INTERACTIONS: ["server/test_authorization.py", "e2e/test_device.py"],
    SESSIONS: ["server/test_sessions.py", "server/test_authorization.py"],
}

MUTATIONS = [
    (AUTHORIZATION, "1", "if client is None or not client.enabled:", "if client is None:"),
    (AUTHORIZATION, "2", "pushed=digest_of(reference))", 'pushed="")'),
    (
        AUTHORIZATION,
        "3",
        "to = find_return(call.query.values, client)",
        'to = ReturnTo(call.query.one("redirect_uri") or "")',
    ),
    (AUTHORIZATION, "3", "if service.offer.must_push or client.must_push:", "if service.offer.must_push:"),
    (AUTHORIZATION, "3", "if service.offer.must_push or client.must_push:", "if client.must_push:"),
    (
        AUTHORIZATION,
        "4",
        "        cleared = await missing(call, service, client, request, waiting, session)\n",
        "        cleared = Cleared(request, session) if session else Step.LOGIN\n",
    ),
    (AUTHORIZATION, "1", "if await service.clients.find(session.subject) is not None:", "if False:"),
    (AUTHORIZATION, "2", "    await _close(service, waiting, interaction, call.now)\n    # (3)", "    # (3)"),
    (AUTHORIZATION, "2", "if interaction and not await", "if interaction and False and not await"),
    (AUTHORIZATION, "2", "if waiting.pushed and not await", "if waiting.pushed and False and not await"),
    (AUTHORIZATION, "3", " + authorization_code.REMEMBERED", ""),
    (AUTHORIZATION, "rule", "    if waiting is not None:\n        await _close", "    if False:\n        await _close"),
    (AUTHORIZATION, "rule", "    except Exception:  # noqa: BLE001", "    except ZeroDivisionError:  # noqa: BLE001"),
    (AUTHORIZATION, "rule", "    except StoreUnavailable as error:", "    except ZeroDivisionError as error:"),
    (AUTHORIZATION, "rule", '"iss": service.offer.issuer}', '"via": service.offer.issuer}'),
    (
        AUTHORIZATION,
        "rule",
        "if found is None:\n            raise AuthorizationError",
        "if False:\n            raise AuthorizationError",
    ),
    (AUTHORIZATION, "rule", "has_acr=people_of(service).login_url is not None,", "has_acr=False,"),
    (INTERACTIONS, "rule", "        require_current(request, client, service.policy)\n", "        pass\n"),
    (INTERACTIONS, "rule", "    except Exception:\n", "    except ZeroDivisionError:\n"),
    (
        PUSHED,
        "1",
        "client = authenticated.client",
        'client = await service.clients.find(call.form.require("client_id"))\n    assert client is not None',
    ),
    (
        PUSHED,
        "2",
        "to = find_return(call.form.values, client)",
        (
            'to = __import__("certbound.core.authorization").core.authorization.'
            'ReturnTo(call.form.one("redirect_uri") or "")'
        ),
    ),
    (PUSHED, "3", "admit(authenticated, call, service)", "pass"),
    (PUSHED, "4", "digest=digest_of(reference)", "digest=reference"),
    (PUSHED, "1", " or request.client_id != client.client_id:", ":"),
    (PUSHED, "2", "if now > record.created_at + people_of(service).pushed_lifetime:", "if False:"),
    (PUSHED, "2", "if record.taken_at is not None:", "if False:"),
    (AUTHORIZATION, "4", "require_current(request, client, service.policy)", "pass"),
    (INTERACTIONS, "1", "if ticket is None or waiting is None:", "if ticket is None:"),
    (INTERACTIONS, "2", "if not hmac.compare_digest(waiting.visit, visit.digest):", "if False:"),
    (INTERACTIONS, "2", "if ticket.taken_at is not None:", "if False:"),
    (
        INTERACTIONS,
        "rule",
        "if found.waiting.proof and hmac.compare_digest(",
        "if found.waiting.proof or hmac.compare_digest(",
    ),
    (INTERACTIONS, "rule", "(not found.waiting.anew or _logged_in_for_it(found))", "True"),
    (INTERACTIONS, "rule", 'login=None, proof="", logged_in=sid', "logged_in=sid"),
    (INTERACTIONS, "rule", 'f"consent {found.call.rest} {session.sid}"', 'f"consent {found.call.rest}"'),
    (INTERACTIONS, "1", "    require_own_form(call, service, _login_purpose(found))\n", ""),
    (INTERACTIONS, "1", "    if people.accounts is None:\n", "    if False:\n"),
    (INTERACTIONS, "2", "client = await _client(found, request) if request else None", "client = None"),
    (INTERACTIONS, "3", "    if account is None:\n", "    if account is None and not username:\n"),
    (INTERACTIONS, "4", "msgspec.structs.replace(found.waiting, logged_in=sid)", "found.waiting"),
    (INTERACTIONS, "1", "    require_own_form(call, service, _consent_purpose(found, session))\n", ""),
    (INTERACTIONS, "2", "is Step.LOGIN:\n            return redirect", "is None:\n            return redirect"),
    (INTERACTIONS, "2", 'if call.form.one("action") == "deny":', "if False:"),
    (INTERACTIONS, "3", "await service.store.consents.join(consent_to(request, session, call.now))", "pass"),
    (INTERACTIONS, "3", "consented=session.subject", 'consented=""'),
    (SESSIONS, "1", "if call.browser.site not in _OWN_SITE:", "if False:"),
    (SESSIONS, "1", "if call.browser.origin not in (None, _origin(service.offer.issuer)):", "if False:"),
    (SESSIONS, "2", "if not hmac.compare_digest(shown.encode()", "if False and not hmac.compare_digest(shown.encode()"),
    (SESSIONS, "1", "if await service.clients.find(login.subject) is not None:", "if False:"),
    (SESSIONS, "2", "await service.store.sessions.end(digest_of(before))", "pass"),
    (
        SESSIONS,
        "3",
        "value = service.new_secret()\n    session =",
        "value = before or service.new_secret()\n    session =",
    ),
    (SESSIONS, "rule", "if account is None or not account.enabled or", "if account is None or"),
    (SESSIONS, "rule", " or account.password_at > session.auth_time:", ":"),
    (SESSIONS, "rule", "if account is None or not", "if account is not None and not"),
    (SESSIONS, "rule", "return value if _VALUE.fullmatch(value) else", "return value if value else"),
]
