"""Switches off each numbered security step, one at a time, in a copy of the source; some test must turn red.

    make test-mutation            all of them
    python tests/mutation.py 7    the seventh alone

A step `# (n)` in the files below without a mutation here is an error, so a new step cannot go unproven.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
TRUST_SUITES = ["tests/trust/test_chains.py", "tests/trust/test_verifier.py"]
OTHER_SUITES = [
    "tests/core/test_authentication.py",
    "tests/core/test_status.py",
    "tests/resource",
    "tests/server",
    "tests/e2e/test_token.py",
    "tests/e2e/test_guard.py",
    "tests/e2e/test_lifetime.py",
    "tests/e2e/test_revoke.py",
]


class Mutation(NamedTuple):
    file: str
    step: str
    found: str
    becomes: str

    @property
    def suites(self) -> list[str]:
        return TRUST_SUITES if self.file.startswith("trust/") else OTHER_SUITES


TOKEN = "server/token.py"
AUTHENTICATION = "core/authentication.py"
GUARD = "resource/guard.py"
VERIFY = "resource/verify.py"
JWS = "core/jws.py"
STATUS = "core/status.py"
VERIFIER = "trust/verifier.py"
CHAINS = "trust/chains.py"

MUTATIONS = [
    Mutation(TOKEN, "1", 'form.require("client_id")', '(*form.all("client_id"), "")[0]'),
    Mutation(
        TOKEN,
        "2",
        "await authenticate(\n        client, call.peer, sources=service.sources, "
        "revoked=service.clients.revoked, now=call.now\n    )",
        '__import__("certbound.core.authentication").core.authentication.AuthenticatedClient('
        "client, call.peer.leaf if call.peer else None, None, None)",
    ),
    Mutation(TOKEN, "3", "if grant_type not in GRANTS:", "if False:"),
    Mutation(TOKEN, "3", "if grant_type not in authenticated.client.grant_types:", "if False:"),
    Mutation(TOKEN, "4", "choose_certificate(authenticated.client, call.peer, service.bind)", "None"),
    Mutation(TOKEN, "5", 'TokenRequest(scope=form.one("scope")', "TokenRequest(scope=None"),
    Mutation(TOKEN, "5", 'resources=form.all("resource")', "resources=()"),
    Mutation(TOKEN, "2", "revoked=service.clients.revoked", "revoked=type(service.clients.revoked)()"),
    Mutation(
        TOKEN,
        "6",
        "await service.statuses.reference(authenticated, now=call.now, lifetime=service.lifetime)",
        "None",
    ),
    Mutation(TOKEN, "7", "sign(claims, ", 'sign({k: v for k, v in claims.items() if k != "cnf"}, '),
    Mutation(AUTHENTICATION, "1", "if client is None:", "if False:"),
    Mutation(AUTHENTICATION, "1", "if not client.enabled:", "if False:"),
    Mutation(AUTHENTICATION, "2", "if peer is None:", "if False:"),
    Mutation(AUTHENTICATION, "3", "if not certificate.is_valid_at(now) and not client.ignores_validity:", "if False:"),
    Mutation(AUTHENTICATION, "3", " and not client.ignores_validity:", ":"),
    Mutation(AUTHENTICATION, "4", "key = require_strong_key(certificate)", 'StrongKey(certificate, "any")'),
    Mutation(AUTHENTICATION, "5", "if revoked.includes(certificate):", "if False:"),
    Mutation(
        AUTHENTICATION,
        "6",
        "await _METHODS[client.method].prove(client, peer, sources, revoked, now, asking)",
        "RegisteredCertificate(certificate)",
    ),
    Mutation(AUTHENTICATION, "6a", "match_subject(peer.leaf, client.subject)", "pass"),
    Mutation(
        AUTHENTICATION,
        "6b",
        "await sources.chains.verify_chain(peer, client, revoked, now)",
        "TrustedChain((peer.leaf,), now)",
    ),
    Mutation(AUTHENTICATION, "6c", "if authority.key_thumbprint in revoked.authorities:", "if False:"),
    Mutation(AUTHENTICATION, "6d", "return await sources.chains.require_unrevoked(chain, now)", "return chain"),
    Mutation(
        AUTHENTICATION,
        "6",
        "return match_registered(peer.leaf, registered)",
        "return RegisteredCertificate(peer.leaf)",
    ),
    Mutation(GUARD, "1", "if len(values) > 1:", "if False:"),
    Mutation(GUARD, "2", "if issuer not in self._policies:", "if False:"),
    Mutation(GUARD, "3", "header = read_header(token, policy)", "header = Header('ES256', None)"),
    Mutation(GUARD, "4", "verify(token, peer_certificate(scope), ", "verify(token, None, "),
    Mutation(GUARD, "5", "if principal.status is not None:", "if False:"),
    Mutation(GUARD, "5", "if not valid:", "if False:"),
    Mutation(JWS, "1", "if not isinstance(typ, str | None) or (typ and typ.lower()) not in types:", "if False:"),
    Mutation(JWS, "2", "if not isinstance(alg, str) or alg not in algorithms:", "if False:"),
    Mutation(VERIFY, "3", "claims = _verified(token, header, keys)", "claims = jws.unverified_claims(token)"),
    Mutation(VERIFY, "4", 'if claims.get("iss") != policy.issuer:', "if False:"),
    Mutation(VERIFY, "4", "if policy.audience not in (", "if False and policy.audience not in ("),
    Mutation(JWS, "3", "if not is_time(expires_at) or now >= expires_at:", "if False:"),
    Mutation(VERIFY, "6", "if not isinstance(subject, str) or not isinstance(client_id, str):", "if False:"),
    Mutation(VERIFY, "7", "confirmed = _confirm(claims, peer, policy)", "confirmed = None"),
    Mutation(VERIFY, "7", "if policy.require_bound:", "if False:"),
    Mutation(VERIFY, "8", "status = _status(claims, policy)", "status = None"),
    Mutation(VERIFY, "8", "if policy.require_status:", "if False:"),
    Mutation(VERIFY, "9", "if not policy.scopes <= scope:", "if False:"),
    Mutation(STATUS, "4a", 'if claims.get("sub") != uri:', "if False:"),
    Mutation(STATUS, "3b", 'if not _is_time(claims.get("iat")):', "if False:"),
    Mutation(STATUS, "4c", "or now >= expires_at", "or False"),
    Mutation(STATUS, "4d", "or ttl <= 0", "or False"),
    Mutation(CHAINS, "1", "if not anchors:", "if False:"),
    Mutation(CHAINS, "2", "    _require_bounded(peer.leaf)", "    pass"),
    Mutation(CHAINS, "3", "path = _find_path(peer, anchors, now, min(max_depth, MAX_DEPTH))", "path = [peer.leaf]"),
    Mutation(CHAINS, "4", "        _require_strong(authority)", "        pass"),
    Mutation(CHAINS, "5", "    require_well_formed(path)", "    pass"),
    Mutation(VERIFIER, "1", "if is_spiffe_id(subject):", "if False:"),
    Mutation(VERIFIER, "2", "anchors = self._anchors_of(client.anchors)", "anchors = self._anchors"),
    Mutation(VERIFIER, "3", "chain = verify_chain(peer, anchors, now)", "chain = TrustedChain((peer.leaf,), now)"),
    Mutation(VERIFIER, "4", "barred = self._barred(chain, subject, revoked)", "barred = None"),
    Mutation(STATUS, "5", "if not inflating.eof or inflating.unused_data:", "if False:"),
]


def main(chosen: list[str]) -> int:
    require_every_step()
    numbers = [int(each) for each in chosen] or range(1, len(MUTATIONS) + 1)
    if not chosen and not is_red(None):
        print("the suites are green without a mutation", flush=True)
    elif not chosen:
        print("the suites are red without any mutation; mend them first")
        return 1
    survivors = 0
    for number in numbers:
        mutation = MUTATIONS[number - 1]
        red = is_red(mutation)
        survivors += not red
        print(
            f"{number:2}/{len(MUTATIONS)} {'caught  ' if red else 'SURVIVED'} {mutation.file} step {mutation.step}: "
            f"{mutation.found} -> {mutation.becomes}"[:150],
            flush=True,
        )
    print(f"{len(list(numbers)) - survivors} passed, {survivors} failed")
    return 1 if survivors else 0


def require_every_step() -> None:
    for file in (TOKEN, AUTHENTICATION, GUARD, VERIFY, JWS, STATUS, VERIFIER, CHAINS):
        steps = set(re.findall(r"# \((\d+[a-z]?)\)", (ROOT / "src/certbound" / file).read_text()))
        if missing := steps - {each.step for each in MUTATIONS if each.file == file}:
            raise SystemExit(f"{file}: steps without a mutation: {sorted(missing)}")


def is_red(mutation: Mutation | None) -> bool:
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(ROOT / "src", copy, dirs_exist_ok=True)
        if mutation is not None:
            file = Path(copy, "certbound", mutation.file)
            source = file.read_text()
            if source.count(mutation.found) != 1:
                raise SystemExit(
                    f"{mutation.file}: {mutation.found!r} stands there {source.count(mutation.found)} times"
                )
            file.write_text(source.replace(mutation.found, mutation.becomes))
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "-n",
                "2",
                "-m",
                "not wide and not peers",
                "-p",
                "no:cacheprovider",
                *(TRUST_SUITES + OTHER_SUITES if mutation is None else mutation.suites),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": copy, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            check=False,
        )
        if done.returncode not in (0, 1, 2):  # 2: the first failure stopped the run
            raise SystemExit(done.stdout.decode() + done.stderr.decode())
        return done.returncode != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
