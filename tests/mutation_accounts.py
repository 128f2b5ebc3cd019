"""The steps of accounts and login applications for `mutation.py`: a file, a step, what is found, what it becomes."""

PEOPLE = "core/people.py"
GUESSES = "server/guesses.py"
PASSWORDS = "server/passwords.py"
ACCOUNTS = "server/accounts.py"
ACCOUNT = "server/account.py"
LOGIN_APPLICATION = "server/login_application.py"

SUITES = {
    PEOPLE: ["core/test_people.py"],
    GUESSES: ["server/test_guesses.py"],
    PASSWORDS: ["server/test_accounts.py"],
    ACCOUNTS: ["server/test_accounts.py", "cli/test_user.py"],
    ACCOUNT: ["e2e/test_account.py"],
    LOGIN_APPLICATION: ["e2e/test_login_application.py"],
}

MUTATIONS = [
    (PEOPLE, "rule", "narrow.lower()", "narrow"),
    (PEOPLE, "rule", 'return "!" <= character <= "~"', 'return " " <= character <= "~"'),
    (PEOPLE, "rule", "        idna.check_bidi(text)\n", ""),
    (PEOPLE, "rule", "        idna.check_initial_combiner(text)\n", ""),
    (PEOPLE, "rule", "_keeps(rule, text, position)\n    return False", "True\n    return False"),
    (PEOPLE, "rule", "if len(prepared) < MIN_PASSWORD:", "if False:"),
    (GUESSES, "rule", "(network, what[:256])", "what[:256]"),
    (
        PASSWORDS,
        "rule",
        "self._hasher.verify(kept or self._nothing_fits, password) and bool(kept)",
        "bool(kept) and self._hasher.verify(kept, password)",
    ),
    (PASSWORDS, "rule", "if self._inside >= self._at_once * LONGEST_LINE:", "if False:"),
    (ACCOUNTS, "1", "self.guesses.begin(remote, name or username) if self.guesses else None", "None"),
    (ACCOUNTS, "1", "self.guesses.begin(remote, name or username)", "self.guesses.begin(remote, username)"),
    (ACCOUNTS, "2", 'account.password if account and typed else ""', "account.password"),
    (
        ACCOUNTS,
        "3",
        "if account is None or not is_right or not account.enabled:",
        "if account is None or not is_right:",
    ),
    (
        ACCOUNTS,
        "3",
        "if account is None or not is_right or not account.enabled:",
        "if account is None or not account.enabled:",
    ),
    (ACCOUNTS, "rule", "            await self.store.accounts.end_all(stored.subject)\n", "            pass\n"),
    (ACCOUNTS, "rule", "        await self.store.sessions.end_all(stored.subject)\n", ""),
    (ACCOUNTS, "rule", "self.store.accounts.put_out(subject)", "self.store.accounts.end_all(subject)"),
    (ACCOUNTS, "rule", "        if guess is not None:\n            guess.was_right()\n        login", "        login"),
    (
        ACCOUNT,
        "1",
        "call.notes.subject = session.subject",
        "session = __import__('dataclasses').replace(session, subject='')",
    ),
    (ACCOUNT, "2", "    require_own_form(call, service, _purpose(session))\n", ""),
    (ACCOUNT, "2", 'f"account {session.sid}"', '"account"'),
    (ACCOUNT, "rule", "        service.statuses.forget()\n", "        pass\n"),
    (ACCOUNT, "rule", "with_headers(page, await end_session(call, service))", "page"),
    (
        LOGIN_APPLICATION,
        "1",
        "    await _login_application(call, service)\n    # (2) Something waits.",
        "    # (2) Something waits.",
    ),
    (
        LOGIN_APPLICATION,
        "1",
        "    await _login_application(call, service)\n    # (2) It says one",
        "    # (2) It says one",
    ),
    (LOGIN_APPLICATION, "2", "if (said.accept is None) == (said.reject is None):", "if False:"),
    (LOGIN_APPLICATION, "2", "if said.reject is not None and said.reject.error not in REJECTIONS:", "if False:"),
    (LOGIN_APPLICATION, "3", "ticket is None or ticket.taken_at is not None", "ticket is None"),
    (
        LOGIN_APPLICATION,
        "4",
        "await _login(said.accept, ticket, waiting, call, service)",
        "Login(subject=said.accept.subject, auth_time=call.now)",
    ),
    (LOGIN_APPLICATION, "5", "proof=digest_of(proof)", 'proof=digest_of("")'),
    (LOGIN_APPLICATION, "a", "if not is_subject(said.subject):", "if False:"),
    (LOGIN_APPLICATION, "a", "if await service.clients.find(said.subject) is not None:", "if False:"),
    (LOGIN_APPLICATION, "a", "not in (None, said.subject)", "is said"),
    (LOGIN_APPLICATION, "b", "if not 0 <= auth_time <= call.now + LEEWAY:", "if False:"),
    (LOGIN_APPLICATION, "b", "call.now - auth_time > request.max_age + LEEWAY", "False"),
    (LOGIN_APPLICATION, "b", "auth_time < ticket.created_at - LEEWAY", "False"),
    (LOGIN_APPLICATION, "rule", "is_new = waiting.anew or (", "is_new = ("),
    (LOGIN_APPLICATION, "c", "if len(said.amr) > MAX_METHODS or any(", "if any("),
    (LOGIN_APPLICATION, "c", "or not each.isprintable()", ""),
]
