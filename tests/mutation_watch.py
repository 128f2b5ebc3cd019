"""What is told of refusals, and how much, for `mutation.py`: a file, a step, what is found and what it becomes."""

WATCH = "server/watch.py"
THROTTLE = "server/throttle.py"
RATES = "core/rates.py"
AUDIT = "server/audit.py"

SUITES = {
    WATCH: ["server/test_throttle.py", "server/test_audit.py"],
    THROTTLE: ["server/test_throttle.py", "server/test_guesses.py"],
    RATES: ["server/test_throttle.py", "server/test_guesses.py"],
    AUDIT: ["server/test_audit.py"],
}

MUTATIONS = [
    (WATCH, "rule", "if notes.outcome is not Outcome.DONE:", "if False:"),
    (WATCH, "rule", "verdict = _WRITTEN if free else self._count(call, is_authentication=False)", "verdict = _WRITTEN"),
    (WATCH, "rule", "free = notes.outcome is Outcome.FAILED or _has_proven(call)", "free = _has_proven(call)"),
    (WATCH, "rule", "self._count(call, is_authentication=False)", "self._count(call, is_authentication=True)"),
    (WATCH, "rule", "is_authentication=failed", "is_authentication=True"),
    (WATCH, "rule", 'call.notes.method not in {"", Method.NONE}', "bool(call.notes.method)"),
    (WATCH, "rule", 'call.notes.method not in {"", Method.NONE}', "False"),
    (WATCH, "rule", "free = is_ours or is_open or", "free = is_open or"),
    (WATCH, "rule", "free = is_ours or is_open or", "free = is_ours or"),
    (THROTTLE, "rule", "network = is_authentication, network_of(remote)", "network = True, network_of(remote)"),
    (RATES, "rule", "            bucket.level += 1\n", ""),
    (RATES, "rule", "(near, self._most * NEIGHBOURS)", "(near, self._most * 9999)"),
    (THROTTLE, "rule", '(is_authentication, "of", thumbprint)', '(True, "of", thumbprint)'),
    (AUDIT, "rule", "Outcome.THROTTLED if wait else Outcome.REFUSED, error", "Outcome.REFUSED, error"),
]
