"""The steps by which codes become tokens, and devices get codes, for `mutation.py`: a file, a step, what is found and
what it becomes.
"""

CODES = "server/codes.py"
OPENING = "server/opening.py"
DEVICE = "server/device.py"
USES = "server/uses.py"
TOKEN = "server/token.py"
TURNS = "server/turns.py"
AUTHORIZATION_CODE = "core/grants/authorization_code.py"
DEVICE_CODE = "core/grants/device_code.py"

SUITES = {
    CODES: ["server/test_codes.py", "e2e/test_code.py", "e2e/test_device.py"],
    OPENING: ["server/test_codes.py", "e2e/test_code.py", "e2e/test_exchange.py", "e2e/test_login_off.py"],
    DEVICE: ["e2e/test_device.py", "e2e/test_pushed.py"],
    USES: ["server/test_codes.py"],
    TURNS: ["server/test_turns.py"],
    AUTHORIZATION_CODE: ["core/test_authorization_code.py"],
    DEVICE_CODE: ["core/test_device_code.py"],
}

MUTATIONS = [
    (TOKEN, "rule", 'form.one("code") or form.one("device_code")', "None"),
    (TURNS, "rule", "async with line.lock:", "if True:"),
    (TURNS, "rule", "if not line.length:", "if False:"),
    (TURNS, "rule", "self._lines.setdefault(code, _Line())", 'self._lines.setdefault("", _Line())'),
    (CODES, "1", "await store.tickets.find(TicketKind.CODE, digest, now=asked.call.now)", "None"),
    (
        CODES,
        "2",
        "authorization_code.redeem(found, asked.authenticated, redirect_uri=redirect_uri, code_verifier=verifier)",
        "authorization_code.read(found.content)",
    ),
    (CODES, "2", "device_code.redeem(found, asked.authenticated)", "device_code.read(found.content)"),
    (CODES, "3", "    await _require_untaken(found, code.grant_id, asked)\n", ""),
    (CODES, "3", "        await _require_untaken(found, request.grant_id, asked)\n", ""),
    (CODES, "3", "        await end_grant(asked, grant_id)\n", ""),
    (CODES, "4", "waiting, is_soon = device_code.polled(request, now=now)", "waiting, is_soon = request, False"),
    (CODES, "4", "        is_soon = True\n", "        is_soon = False\n"),
    (CODES, "rule", "            ticket=found,\n", ""),
    (CODES, "rule", "            person=agreed.subject,\n", ""),
    (CODES, "rule", "refreshes=refresh_token.GRANT_TYPE in client.grant_types", "refreshes=True"),
    (CODES, "rule", "narrowed(grant, asked.request.resources)", "grant"),
    (
        OPENING,
        "rule 1",
        "as error:\n            await end_grant(self.asked, self.grant.grant_id)\n",
        "as error:\n",
    ),
    (OPENING, "rule 2", "    if consent is None or not covers(", "    if False and covers("),
    (
        OPENING,
        "rule 2",
        "                await end_grant(self.asked, self.grant.grant_id)\n                raise InvalidGrant(reason)",
        "                raise InvalidGrant(reason)",
    ),
    (
        OPENING,
        "rule 2",
        "is_open = service.people.accounts is None or (account is not None and account.enabled)",
        "is_open = True",
    ),
    (OPENING, "off", 'return "nobody can log in here any more, so nothing acts for anybody"', 'return ""'),
    (OPENING, "rule 2", "subject=self.person,", "subject='',"),
    (OPENING, "rule 2", "covers(consent, grant.scope, grant.audience)", "covers(consent, (), grant.audience)"),
    (OPENING, "used", "used_by=name_in(certificate) if self.person else None", "used_by=None"),
    (OPENING, "sources", "sources=self.origin.sources if self.origin else ()", "sources=()"),
    (OPENING, "end", "    asked.service.statuses.forget()\n", ""),
    (USES, "rule 2", "if before is not None and abs(now - before) < EVERY:", "if False:"),
    (USES, "rule 3", "certificate=name_in(certificate)", "certificate=''"),
    (
        DEVICE,
        "1",
        "authenticated = await authenticated_client(call, service, DEVICE)\n    client = authenticated.client",
        (
            'authenticated = type("", (), {"proof": None})\n'
            '    client = await service.clients.find(form.require("client_id"))'
        ),
    ),
    (DEVICE, "2", "if device_code.GRANT_TYPE not in client.grant_types:", "if False:"),
    (DEVICE, "3", 'grant_scope(form.one("scope"), Scope(client.scope & service.policy.scope))', "service.policy.scope"),
    (DEVICE, "3", 'form.all("resource"), service.policy.resources,', "(), service.policy.resources,"),
    (DEVICE, "4", "    admit(authenticated, call, service)", "    pass"),
    (DEVICE, "5", "ends_at=request.ends_at + device_code.REMEMBERED", "ends_at=request.ends_at"),
    (
        DEVICE,
        "1",
        'await require_login(call, service, PAGE + (f"?user_code={shown}" if shown else ""))',
        'SessionRecord(digest="", subject="anna", sid="", auth_time=call.now)',
    ),
    (DEVICE, "2", "require_own_form(call, self.service, self._purpose)", "pass"),
    (DEVICE, "3", 'people_of(self.service).user_codes.begin(self.call.address, "user code")', "Guess(())"),
    (DEVICE, "3", "        guess.was_right()\n        user_code", "        user_code"),
    (DEVICE, "4", "or not client.enabled:", ":"),
    (DEVICE, "5", "require_own_form(call, self.service, self._purpose_of(user_code))", "pass"),
    (DEVICE, "5", 'return f"{self._purpose} {user_code}"', 'return f"{self._purpose} code"'),
    (
        DEVICE,
        "rule",
        "user_code = _shown(typed)\n        if not self._is_recent(found):",
        "user_code = _shown(typed)\n        if False:",
    ),
    (DEVICE, "rule", "            if not self._is_recent(found):\n    ", "            if False:\n    "),
    (DEVICE, "7", "waits = not request.is_decided and", "waits ="),
    (DEVICE, "7", "and request.ends_at >= now", ""),
    (
        DEVICE,
        "6",
        "that form for any code.\n        guess = self._guess()",
        "that form for any code.\n        guess = Guess(())",
    ),
    (DEVICE, "8", "await self.service.store.consents.join(consent_to(request, session, call.now))", "pass"),
    (AUTHORIZATION_CODE, "a", "read(found.content) if found is not None else None", "read(found.content)"),
    (AUTHORIZATION_CODE, "b", "if code.client_id != authenticated.client.client_id:", "if False:"),
    (AUTHORIZATION_CODE, "c", "if code.redirect_uri != redirect_uri:", "if False:"),
    (
        AUTHORIZATION_CODE,
        "c",
        "if code.redirect_uri != redirect_uri:",
        "if not redirect_uri.startswith(code.redirect_uri):",
    ),
    (AUTHORIZATION_CODE, "d", "    verify_challenge(code_verifier, code.code_challenge)\n", ""),
    (AUTHORIZATION_CODE, "rule 3", "frozenset(agreed.scope) & client.scope & policy.scope", "frozenset(agreed.scope)"),
    (
        AUTHORIZATION_CODE,
        "rule 3",
        "[each for each in agreed.resources if each in policy.resources]",
        "agreed.resources",
    ),
    (DEVICE_CODE, "a", "read(found.content) if found is not None else None", "read(found.content)"),
    (DEVICE_CODE, "b", "if request.client_id != authenticated.client.client_id:", "if False:"),
    (DEVICE_CODE, "rule 2", "request.interval + INTERVAL if is_soon else request.interval", "request.interval"),
    (DEVICE_CODE, "rule 3", "    if request.ends_at < now:", "    if False:"),
    (DEVICE_CODE, "rule 3", "    if request.is_denied:", "    if False:"),
    (DEVICE_CODE, "rule 4", ".upper()\n", "\n"),
]
