"""Switches off each numbered security step, one at a time, in a copy of the source; some test must turn red.

    make test-mutation            all of them
    python tests/mutation.py 7    the seventh alone
    python tests/mutation.py --every 6

A step `# (n)` in the files below without a mutation here is an error, so a new step cannot go unproven.
"""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent

TOKEN = "server/token.py"
SERVER_AUTHENTICATION = "server/authentication.py"
GRANTS = "server/grants.py"
INSPECTION = "server/inspection.py"
INTROSPECTION = "server/introspection.py"
TOKEN_REVOCATION = "server/token_revocation.py"
REGISTRATION = "server/registration.py"
REGISTRAR = "server/registrar.py"
CLIENTS = "server/clients.py"
CALL = "server/call.py"
PROVEN = "server/proven.py"
SIGNATURES = "core/signatures.py"
CORE_REGISTRATION = "core/registration.py"
AUTHENTICATION = "core/authentication.py"
ASSERTIONS = "core/assertions.py"
REFRESH = "core/grants/refresh_token.py"
EXCHANGE = "core/grants/token_exchange.py"
JWS = "core/jws.py"
STATUS = "core/status.py"
PROTECTED = "resource/protected.py"
BEARER = "core/bearer.py"
VERIFY = "resource/verify.py"
VERIFIER = "trust/verifier.py"
CHAINS = "trust/chains.py"

SUITES = {
    TOKEN: [
        "server/test_asgi.py",
        "server/test_codes.py",
        "e2e/test_token.py",
        "e2e/test_revoke.py",
        "e2e/test_refresh.py",
        "e2e/test_exchange.py",
        "e2e/test_code.py",
    ],
    SERVER_AUTHENTICATION: [
        "e2e/test_introspection.py",
        "e2e/test_private_key_jwt.py",
        "e2e/test_token.py",
        "e2e/test_revoke.py",
    ],
    GRANTS: ["server/test_asgi.py", "e2e/test_refresh.py", "e2e/test_exchange.py", "e2e/test_code.py"],
    INSPECTION: ["e2e/test_introspection.py", "e2e/test_token_revocation.py"],
    INTROSPECTION: ["e2e/test_introspection.py"],
    TOKEN_REVOCATION: ["e2e/test_token_revocation.py"],
    REGISTRATION: ["server/test_registration.py", "e2e/test_registration.py"],
    REGISTRAR: ["server/test_registration.py", "e2e/test_registration.py"],
    CLIENTS: ["server/test_clients.py", "server/test_registration.py"],
    CALL: ["server/test_call.py"],
    PROVEN: ["server/test_introspection.py", "e2e/test_introspection.py"],
    SIGNATURES: ["core/test_signatures.py"],
    CORE_REGISTRATION: ["core/test_registration.py", "e2e/test_registration.py"],
    AUTHENTICATION: ["core/test_authentication.py"],
    ASSERTIONS: ["core/test_assertions.py"],
    REFRESH: ["core/test_grants.py"],
    EXCHANGE: ["core/test_grants.py"],
    JWS: ["core/test_jws.py"],
    STATUS: ["core/test_status.py", "resource/test_status.py"],
    PROTECTED: [
        "resource/test_guard.py",
        "resource/test_memory.py",
        "resource/test_status.py",
        "resource/test_introspection.py",
    ],
    BEARER: ["resource/test_guard.py"],
    VERIFY: ["resource/test_verify.py"],
    VERIFIER: ["trust/test_verifier.py"],
    CHAINS: ["trust/test_chains.py"],
}
"""For each file the least that turns red; what else would is not run.  `mutation_*.py` beside this have more."""
AT_ONCE = 2
"""Mutations."""


class Mutation(NamedTuple):
    file: str
    step: str
    found: str
    becomes: str

    @property
    def suites(self) -> list[str]:
        return SUITES[self.file]


MUTATIONS = [
    Mutation(
        TOKEN,
        "1",
        "await authenticated_client(call, service, TOKEN)",
        '__import__("certbound.core.authentication").core.authentication.AuthenticatedClient('
        'await service.clients.find(form.one("client_id") or ""), call.peer.leaf if call.peer else None, None, None)',
    ),
    Mutation(TOKEN, "2", "if grant_type not in service.offer.grant_types:", "if False:"),
    Mutation(TOKEN, "2", "if grant_type not in client.grant_types:", "if False:"),
    Mutation(TOKEN, "3", 'TokenRequest(scope=form.one("scope")', "TokenRequest(scope=None"),
    Mutation(TOKEN, "3", 'resources=form.all("resource")', "resources=()"),
    Mutation(
        TOKEN,
        "4",
        "certificate = choose_certificate(\n        authenticated, call.peer, service.bind, "
        "revoked=service.clients.revoked, is_bound_before=grant.is_bound\n    )",
        "certificate = None",
    ),
    Mutation(TOKEN, "4", ", is_bound_before=grant.is_bound", ""),
    Mutation(TOKEN, "4", "revoked=service.clients.revoked", "revoked=type(service.clients.revoked)()"),
    Mutation(TOKEN, "5", "await given.refresh_token(certificate)", "None"),
    Mutation(
        TOKEN,
        "6",
        "await _status(StatusOwner.of(authenticated, certificate, grant.grant_id, given.origin), asked)",
        "None",
    ),
    Mutation(TOKEN, "6", "certificate, grant.grant_id, given.origin)", 'certificate, "", given.origin)'),
    Mutation(TOKEN, "6", "certificate, grant.grant_id, given.origin)", "certificate, grant.grant_id)"),
    Mutation(TOKEN, "6", "        if owner.grant_id:\n", "        if False:\n"),
    Mutation(TOKEN, "8", "and OPENID in grant.scope:", ":"),
    Mutation(TOKEN, "8", "    if given.person and given.code is None:\n", "    if False:\n"),
    Mutation(TOKEN, "7", "sign(claims, ", 'sign({k: v for k, v in claims.items() if k != "cnf"}, '),
    Mutation(SERVER_AUTHENTICATION, "1", "authorization=call.authorization", "authorization=()"),
    Mutation(CALL, "rule", "elif repeats or name in REPEATABLE:", "elif True:"),
    Mutation(SERVER_AUTHENTICATION, "1", 'client_secret=form.one("client_secret")', "client_secret=None"),
    Mutation(
        SERVER_AUTHENTICATION, "2", "accepted=service.accepted[endpoint]", "accepted=service.accepted['token_endpoint']"
    ),
    Mutation(SERVER_AUTHENTICATION, "2", "revoked=service.clients.revoked", "revoked=type(service.clients.revoked)()"),
    Mutation(GRANTS, "1", "await service.store.grants.find(digest, now=call.now)", "None"),
    Mutation(GRANTS, "2", "asked.authenticated, call.peer, asked.request", "asked.authenticated, None, asked.request"),
    Mutation(GRANTS, "3", "        await require_open(person, found.account, service)\n", "        pass\n"),
    Mutation(GRANTS, "4", "if _is_reused(found, call.now, service.refresh.grace):", "if False:"),
    Mutation(GRANTS, "4", "        await end_grant(asked, grant.grant_id)\n", ""),
    Mutation(GRANTS, "4", "found.is_successor_used or", "False or"),
    Mutation(GRANTS, "5", "if rotation not in (Rotation.REPLACED, Rotation.REPEATED):", "if False:"),
    Mutation(GRANTS, "5", "_successor(found.grant, token)", "'cbrt_' + service.new_secret()"),
    Mutation(GRANTS, "1", "token_exchange.require_authenticated(asked.authenticated)", "pass"),
    Mutation(GRANTS, "1", 'if form.one("actor_token") is not None:', "if False:"),
    Mutation(
        GRANTS,
        "1",
        "if wanted == token_exchange.REFRESH_TOKEN and refresh_token.GRANT_TYPE not in client.grant_types:",
        "if False:",
    ),
    Mutation(
        GRANTS,
        "2",
        'await read_access_token(form.require("subject_token"), service, call.now, lambda claims: True)',
        '__import__("certbound.server.inspection").server.inspection.LiveToken((said := '
        '__import__("certbound.core.jws").core.jws.unverified_claims(form.require("subject_token"))), '
        'said["status"]["status_list"]["idx"])',
    ),
    Mutation(GRANTS, "3", "members=members, origin=origin)\n    # (4)", "members=members)\n    # (4)"),
    Mutation(GRANTS, "4", "replace(grant, grant_id=asked.service.new_id())", "replace(grant, grant_id='')"),
    Mutation(
        INSPECTION,
        "1",
        "claims = verified_claims(token, header, service.keys.key_set)",
        'claims = __import__("certbound.core.jws").core.jws.unverified_claims(token)',
    ),
    Mutation(
        INSPECTION, "1", "types=_TYPES", "types=frozenset({'at+jwt', 'token-introspection+jwt', 'statuslist+jwt'})"
    ),
    Mutation(INSPECTION, "1", 'claims if claims.get("iss") == service.offer.issuer else None', "claims"),
    Mutation(INSPECTION, "2", "        require_time(claims, now)", "        pass"),
    Mutation(INSPECTION, "3", "if not concerns(claims):", "if False:"),
    Mutation(INSPECTION, "4", "not await service.statuses.is_valid(reference.index, now=now)", "False"),
    Mutation(
        INTROSPECTION,
        "1",
        "await authenticated_client(call, service, INTROSPECTION)",
        "await authenticated_client(call, service, 'revocation_endpoint')",
    ),
    Mutation(INTROSPECTION, "2", "found is None or not found.grant.valid or", "found is None or"),
    Mutation(INTROSPECTION, "2", " or found.replaced_at is not None:", ":"),
    Mutation(INTROSPECTION, "2", "lambda claims: _is_meant_for(client, claims)", "lambda claims: True"),
    Mutation(INTROSPECTION, "2", "if found.grant.client_id != client.client_id:", "if False:"),
    Mutation(
        TOKEN_REVOCATION,
        "1",
        "await authenticated_client(call, service, REVOCATION)",
        '__import__("certbound.core.authentication").core.authentication.AuthenticatedClient('
        'await service.clients.find(call.form.one("client_id") or ""), None, None, None)',
    ),
    Mutation(TOKEN_REVOCATION, "2", 'lambda claims: claims.get("client_id") == client_id', "lambda claims: True"),
    Mutation(TOKEN_REVOCATION, "2", "if found.grant.client_id != authenticated.client.client_id:", "if False:"),
    Mutation(TOKEN_REVOCATION, "3", "if granted.holder and ", "if False and "),
    Mutation(
        REGISTRATION,
        "1",
        "read_shown(call, body, service.clients.revoked)",
        "read_shown(call, body, type(service.clients.revoked)())",
    ),
    Mutation(REGISTRATION, "2", "choose_way(registrar.ways(), shown.needs, but=shown.but)", "registrar.ways()[0]"),
    Mutation(
        REGISTRATION,
        "3",
        "registry = replace(registrar.registry, allowed=way.allowed)\n    metadata",
        "registry = registrar.registry\n    metadata",
    ),
    Mutation(REGISTRATION, "3", "stated=shown.stated", "stated={}"),
    Mutation(REGISTRATION, "3", "    require_own_name(way, client, shown.certificate, but=shown.but)", "    pass"),
    Mutation(REGISTRATION, "4", "await _use_up(way, shown, registrar, call.now)", "pass"),
    Mutation(
        REGISTRATION,
        "4",
        "if not await registrar.registry.store.initial_tokens.take(shown.initial_token, now=now):",
        "if False:",
    ),
    Mutation(REGISTRATION, "4", "await registrar.quota.take(now)", "pass"),
    Mutation(
        REGISTRATION,
        "5",
        "_bind(RegistrationRecord(digest=digest_of(token), way=way.name), way, shown.certificate)",
        "RegistrationRecord(digest=digest_of(token), way=way.name)",
    ),
    Mutation(
        REGISTRATION,
        "1",
        'owned, before = await _owned(call, service)\n        call.notes.subject += ", replaced"',
        'owned = Owned((found := await service.store.clients.find(call.rest)), found.registration, "")\n'
        "        before = readable(found)",
    ),
    Mutation(
        REGISTRATION,
        "2",
        "way = registrar.way(owned.registration.way)",
        "way = ([each for each in registrar.ways() if each.name == owned.registration.way] + [*registrar.ways()])[0]",
    ),
    Mutation(
        REGISTRATION,
        "2",
        "registry = replace(registrar.registry, allowed=way.allowed)\n        counting",
        "registry = registrar.registry\n        counting",
    ),
    Mutation(REGISTRATION, "2", "client_id=call.rest, fits_secret", 'client_id=body.get("client_id"), fits_secret'),
    Mutation(
        REGISTRATION,
        "2",
        "fits_secret=[each.digest for each in counting]",
        'fits_secret=[digest_of(body.get("client_secret") or "")]',
    ),
    Mutation(REGISTRATION, "2", "if before.subject != client.subject:", "if False:"),
    Mutation(REGISTRATION, "3", "if Need.MUTUAL_TLS not in way.needs:", "if False:"),
    Mutation(
        REGISTRATION,
        "3",
        "await registry.put(changed)",
        "await registry.put(replace(changed, version=(await registry.find(call.rest)).version))",
    ),
    Mutation(
        REGISTRATION,
        "a",
        "require_token(await service.store.clients.find(call.rest), token)",
        "Owned((found := await service.store.clients.find(call.rest)), found.registration, token)",
    ),
    Mutation(REGISTRATION, "a", "if client is None:  #", "if False:  #"),
    Mutation(REGISTRATION, "b", "await _authenticate(client, call, service)", "pass"),
    Mutation(REGISTRATION, "b", "revoked=service.clients.revoked,\n", "revoked=type(service.clients.revoked)(),\n"),
    Mutation(REGISTRATION, "c", "elif owned.registration.subject:", "elif False:"),
    Mutation(
        REGISTRATION,
        "c",
        "certificate, but = await _registrar(service).vouched(call, service.clients.revoked)\n    if",
        'certificate, but = call.peer and call.peer.leaf, ""\n    if',
    ),
    Mutation(REGISTRATION, "c", "if name_of(certificate) != owned.registration.subject:", "if False:"),
    Mutation(REGISTRAR, "rule 1", 'raise TooManyRegistrations(f"{self._most} clients', 'print(f"{self._most} clients'),
    Mutation(
        REGISTRAR,
        "shown",
        "if await self.registry.store.initial_tokens.find(digest, now=call.now) is None:",
        "if False:",
    ),
    Mutation(REGISTRAR, "shown", "await self.verify(statement, call.now) if statement is not None else {}", "{}"),
    Mutation(
        REGISTRAR,
        "shown",
        "(await self.vouching.vouch(call.peer, revoked, call.now)).certificate",
        "call.peer.leaf",
    ),
    Mutation(CORE_REGISTRATION, "rule 1", "if way.needs <= shown:", "if way.needs & shown or not way.needs:"),
    Mutation(CORE_REGISTRATION, "rule 2", "or not text.startswith(prefix) or", "or"),
    Mutation(CORE_REGISTRATION, "rule 3", "if name in given:", "if False:"),
    Mutation(CORE_REGISTRATION, "rule 3", 'if member(given, "client_id", str, default="") != client_id:', "if False:"),
    Mutation(CORE_REGISTRATION, "rule 3", 'if "client_secret" in given and not any(', "if False and not any("),
    Mutation(CORE_REGISTRATION, "rule 4", "{**default, **known, **stated}", "{**default, **stated, **known}"),
    Mutation(CORE_REGISTRATION, "rule 5", "if not fits:", "if False:"),
    Mutation(CORE_REGISTRATION, "rule 5", "if not record.enabled:", "if False:"),
    Mutation(
        CORE_REGISTRATION,
        "a",
        "header = read_header(statement, types=_TYPES, algorithms=policy.algorithms, most=MAX_STATEMENT)\n"
        "        claims = verified_claims(statement, header, keys)",
        "claims = unverified_claims(statement, most=MAX_STATEMENT)",
    ),
    Mutation(
        CORE_REGISTRATION,
        "a",
        "header = read_header(statement, types=_TYPES, algorithms=policy.algorithms,",
        "header = read_header(statement, types=_TYPES, algorithms=('ES256', 'RS256'),",
    ),
    Mutation(CORE_REGISTRATION, "a", 'if claims.get("iss") != issuer:', "if False:"),
    Mutation(
        CORE_REGISTRATION,
        "b",
        '        require_time(claims if "exp" in claims else {**claims, "exp": now + 1}, now, leeway=_LEEWAY)\n',
        "",
    ),
    Mutation(CORE_REGISTRATION, "b", " or now - issued_at > policy.max_age:", ":"),
    Mutation(
        CORE_REGISTRATION,
        "c",
        "if lacking := sorted(policy.must_have - given_members(claims).keys()):",
        "if lacking := []:",
    ),
    Mutation(CORE_REGISTRATION, "name", "        match_subject(certificate, client.subject)", "        pass"),
    Mutation(
        CORE_REGISTRATION,
        "name",
        "    if certificate is None:\n        raise",
        "    if certificate is None:\n        return client\n        raise",
    ),
    Mutation(CORE_REGISTRATION, "name", "if certificate.subject_der != _NO_SUBJECT:", "if True:"),
    Mutation(
        CLIENTS,
        "rule 1",
        "require_allowed(read_client(client_id, metadata, version=version), self.allowed)",
        "read_client(client_id, metadata, version=version)",
    ),
    Mutation(CLIENTS, "rule 3", "replace(record.registration, digest=digest_of(token))", "record.registration"),
    Mutation(CLIENTS, "rule 2", "record.secrets if client.method.has_secret else ()", "record.secrets"),
    Mutation(CLIENTS, "rule 2", "if overlap > 0 and len(counting) >= MOST_SECRETS:", "if False:"),
    Mutation(CLIENTS, "rule 2", "tuple(_ending(each, now + overlap) for each in counting) if", "tuple(counting) if"),
    Mutation(
        CLIENTS,
        "rule 4",
        "if not enabled:\n            await revocations.add(",
        "if not enabled:\n            await clients.replace(replace(await clients.find(client_id), enabled=False))\n"
        "            False and await revocations.add(",
    ),
    Mutation(AUTHENTICATION, "1", "if client is None:", "if False:"),
    Mutation(AUTHENTICATION, "1", "if not client.enabled:", "if False:"),
    Mutation(AUTHENTICATION, "2", "if client.method not in accepted.methods:", "if False:"),
    Mutation(AUTHENTICATION, "2", "if presented.credential is not method.credential:", "if False:"),
    Mutation(
        AUTHENTICATION, "3", "proof, key = await method.prove(client, asking)", "proof, key = NothingProven(), None"
    ),
    Mutation(AUTHENTICATION, "3", "    if asking.presented.credential is Credential.ASSERTION:", "    if False:"),
    Mutation(AUTHENTICATION, "3", "asking.is_tried = not isinstance(error, NoKey)", "asking.is_tried = True"),
    Mutation(AUTHENTICATION, "3a", "if hmac.compare_digest(each.digest.encode(), digest)]", "]"),
    Mutation(AUTHENTICATION, "3a", "asking.step, asking.is_tried = Step.SECRET, True", "asking.step = Step.CLIENT"),
    Mutation(
        AUTHENTICATION, "3b", "if fitting[0].ends_at is not None and asking.now >= fitting[0].ends_at:", "if False:"
    ),
    Mutation(AUTHENTICATION, "3c", "            client_id=client.client_id,\n", '            client_id="jwt",\n'),
    Mutation(AUTHENTICATION, "3c", "            now=asking.now,\n", "            now=0,\n"),
    Mutation(
        AUTHENTICATION,
        "3d",
        "if not await asking.sources.uses.use(",
        "if not asking.sources.uses and await asking.sources.uses.use(",
    ),
    Mutation(AUTHENTICATION, "3c", "if client.assertion_alg not in (None, alg):", "if False:"),
    Mutation(AUTHENTICATION, "3d", "verified.expires_at + USED_LONGER", "verified.expires_at"),
    Mutation(AUTHENTICATION, "3d", 'f"{client.client_id}\\n{verified.jti}"', 'f"{client.client_id} {verified.jti}"'),
    Mutation(AUTHENTICATION, "4", "if peer is None:", "if False:"),
    Mutation(
        AUTHENTICATION, "5", "if not certificate.is_valid_at(asking.now) and not client.ignores_validity:", "if False:"
    ),
    Mutation(AUTHENTICATION, "5", " and not client.ignores_validity:", ":"),
    Mutation(AUTHENTICATION, "6", "key = require_strong_key(certificate)", 'key = StrongKey(certificate, "any")'),
    Mutation(AUTHENTICATION, "7", "if asking.revoked.includes(certificate):", "if False:"),
    Mutation(
        AUTHENTICATION,
        "8",
        "await _CERTIFICATES[client.method](client, peer, asking), key",
        "NothingProven(), key",
    ),
    Mutation(AUTHENTICATION, "8a", "match_subject(peer.leaf, client.subject)", "pass"),
    Mutation(
        AUTHENTICATION,
        "8b",
        "await asking.sources.chains.verify_chain(peer, client, asking.revoked, asking.now)",
        "TrustedChain((peer.leaf,), asking.now)",
    ),
    Mutation(AUTHENTICATION, "8c", "if authority.key_thumbprint in asking.revoked.authorities:", "if False:"),
    Mutation(
        AUTHENTICATION,
        "8d",
        "return await asking.sources.chains.require_unrevoked(chain, asking.now)",
        "return chain",
    ),
    Mutation(
        AUTHENTICATION, "8", "return match_registered(peer.leaf, registered)", "return TrustedChain((peer.leaf,), 0)"
    ),
    Mutation(ASSERTIONS, "a", "types=TYPES", "types=TYPES | {'at+jwt'}"),
    Mutation(ASSERTIONS, "a", "types=TYPES, algorithms=algorithms", "types=TYPES, algorithms=ALGORITHMS"),
    Mutation(
        ASSERTIONS,
        "b",
        "    claims = verified_claims(assertion, header, keys)",
        '    claims = __import__("certbound.core.jws").core.jws.unverified_claims(assertion)',
    ),
    Mutation(ASSERTIONS, "c", 'if claims.get("iss") != client_id or', "if"),
    Mutation(ASSERTIONS, "c", ' or claims.get("sub") != client_id:', ":"),
    Mutation(ASSERTIONS, "d", 'if claims.get("aud") != issuer:', "if False:"),
    Mutation(ASSERTIONS, "d", 'if claims.get("aud") != issuer:', 'if issuer not in (claims.get("aud") or ()):'),
    Mutation(ASSERTIONS, "e", "not now < expires_at <= now + MAX_LIFETIME + MAX_AHEAD:", "expires_at <= now:"),
    Mutation(ASSERTIONS, "e", "not now < expires_at <= now", "not expires_at <= now"),
    Mutation(ASSERTIONS, "e", 'for name in ("iat", "nbf"):', 'for name in ("iat",):'),
    Mutation(ASSERTIONS, "f", "if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI:", "if False:"),
    Mutation(REFRESH, "a", "if found is None:", "if False:"),
    Mutation(REFRESH, "a", "if found.grant.client_id != client.client_id:", "if False:"),
    Mutation(REFRESH, "b", "if granted.holder and (peer is None or", "if granted.holder and peer and ("),
    Mutation(REFRESH, "b", "peer.leaf.thumbprint != granted.holder):", "False):"),
    Mutation(REFRESH, "c", "if client.method.strength < granted.method.strength:", "if False:"),
    Mutation(REFRESH, "d", "if not found.grant.valid:", "if False:"),
    Mutation(REFRESH, "e", "granted.grant.scope & client.scope & policy.scope", "client.scope & policy.scope"),
    Mutation(REFRESH, "e", "granted.grant.scope & client.scope & policy.scope", "granted.grant.scope & policy.scope"),
    Mutation(
        REFRESH,
        "e",
        "known = [each for each in granted.grant.audience if each in policy.resources]",
        "known = policy.resources",
    ),
    Mutation(REFRESH, "e", "is_bound=grant.is_bound or certificate is not None", "is_bound=False"),
    Mutation(EXCHANGE, "a", "if not _is_meant_for(client, claims):", "if False:"),
    Mutation(EXCHANGE, "a", 'may_act == {"sub": client.client_id}', 'may_act.get("sub") == client.client_id'),
    Mutation(EXCHANGE, "b", '{"act": claims["act"]} if "act" in claims else {}', "{}"),
    Mutation(EXCHANGE, "b", "if _depth(actor) > MOST_ACTORS:", "if False:"),
    Mutation(EXCHANGE, "c", 'read_scope(claims.get("scope")) & client.scope', "client.scope"),
    Mutation(EXCHANGE, "c", 'is_bound="cnf" in claims', "is_bound=False"),
    Mutation(EXCHANGE, "c", 'ends_at=claims["exp"]', "ends_at=None"),
    Mutation(PROTECTED, "1", "token = read_bearer(asked.authorization, asked.query)", 'token = "x.y.z"'),
    Mutation(PROTECTED, "2", "seen = self._seen.find(known_by)", "seen = next(iter(self._seen._kept.values()), None)"),
    Mutation(PROTECTED, "2", "            self._require_still(principal, asked.peer)\n", ""),
    Mutation(PROTECTED, "2", "if self._clock() >= principal.expires_at:", "if False:"),
    Mutation(PROTECTED, "a", "if self._asked is not None and not _is_jwt(token):", "if False:"),
    Mutation(PROTECTED, "b", "if issuer is None:\n", "if False:\n"),
    Mutation(
        PROTECTED,
        "c",
        "        header = read_header(read, policy)\n        keys = issuer.keys.known(header.kid)\n",
        "        keys = yield partial(issuer.keys.keys, None)\n        header = read_header(read, policy)\n",
    ),
    Mutation(
        PROTECTED, "d", "principal = verify_read(read, header, peer, ", "principal = verify_read(read, header, None, "
    ),
    Mutation(PROTECTED, "3", "        principal.require(*asked.scopes)\n", ""),
    Mutation(PROTECTED, "4", "if reference is not None:", "if False:"),
    Mutation(PROTECTED, "4", "if not valid:", "if False:"),
    Mutation(PROVEN, "rule 2", 'f"{token}\\n{asker}"', "token"),
    Mutation(
        PROVEN,
        "rule 3",
        "if self._kids != kids:\n            self._said.clear()",
        "if not self._kids:\n            pass",
    ),
    Mutation(PROVEN, "rule 3", "if self._kids != kids:\n            return", "if False:\n            return"),
    Mutation(PROVEN, "bound", "while self._size > MOST:", "while False:"),
    Mutation(PROVEN, "bound", "if len(self._keys) > self._most:", "if False:"),
    Mutation(PROVEN, "rule 4", "(each.kid, each.alg) == signed_by", "signed_by is not None"),
    Mutation(SIGNATURES, "rule 2", "and isinstance(key, row.kind)", ""),
    Mutation(SIGNATURES, "rule 2", 'and (not row.curves or key.get("crv") in row.curves)', ""),
    Mutation(SIGNATURES, "rule 2", 'and key.get("alg") in (None, alg)', ""),
    Mutation(SIGNATURES, "rule 2", 'and key.get("use") in (None, "sig")', ""),
    Mutation(SIGNATURES, "rule 2", 'and "verify" in (_VERIFY if', 'and "verify" in (_VERIFY if True or'),
    Mutation(SIGNATURES, "length", "if len(signature) != 2 * size:", "if False:"),
    Mutation(JWS, "3", "if not any(verifies(key, header.alg, signing_input, signature) for key in able):", "if False:"),
    Mutation(JWS, "spelling", "if b2a_base64(data, newline=False) != padded:", "if False:"),
    Mutation(JWS, "1", "if typ not in types:", "if False:"),
    Mutation(JWS, "2", "if header.alg not in algorithms:", "if False:"),
    Mutation(JWS, "3", "        _require_signature(self.segments, header, keys)\n", ""),
    Mutation(JWS, "3", "    _require_signature(segments, header, keys)\n", ""),
    Mutation(
        JWS,
        "rule 4",
        "_short_header(segment) if len(segment) <= LONGEST_HEADER else",
        "_short_header(segment) if True else",
    ),
    Mutation(JWS, "rule 4", "lru_cache(MOST_HEADERS)", "lru_cache(None)"),
    Mutation(VERIFY, "3", "judge(_verified(token, header, keys), peer", "judge(token.unverified_claims, peer"),
    Mutation(VERIFY, "4", 'if claims.get("iss") != policy.issuer:', "if False:"),
    Mutation(VERIFY, "4", "if policy.audience not in (", "if False and policy.audience not in ("),
    Mutation(JWS, "3", "if not is_time(expires_at) or now >= expires_at:", "if False:"),
    Mutation(VERIFY, "5", "expires_at = _require_time(claims, now)", 'expires_at = float(claims.get("exp") or 0)'),
    Mutation(VERIFY, "6", "if not isinstance(subject, str) or not isinstance(client_id, str):", "if False:"),
    Mutation(VERIFY, "7", "confirmed = confirm_binding(claims, peer, policy)", "confirmed = None"),
    Mutation(VERIFY, "7", "if policy.require_bound:", "if False:"),
    Mutation(VERIFY, "8", "status = _status(claims, policy)", "status = None"),
    Mutation(VERIFY, "8", "if policy.require_status:", "if False:"),
    Mutation(VERIFY, "9", "    principal.require(*policy.scopes)\n", ""),
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

for part in sorted(Path(__file__).parent.glob("mutation_*.py")):
    more = importlib.import_module(part.stem)
    SUITES |= more.SUITES
    MUTATIONS += [Mutation(*each) for each in more.MUTATIONS]


def main(chosen: list[str]) -> int:
    """`chosen` are numbers; or `--every N`: each Nth, others on each day, so that in N days all are.  All, if empty."""
    require_every_step()
    if chosen[:1] == ["--every"]:
        every = int(chosen[1])
        first = 1 + int(time.time() // 86400) % every
        chosen = [str(each) for each in range(first, len(MUTATIONS) + 1, every)]
    numbers = [int(each) for each in chosen] or list(range(1, len(MUTATIONS) + 1))
    for mutation in MUTATIONS:
        mutated(mutation)
    if not chosen and is_red(None):
        print("the suites are red without any mutation; mend them first")
        return 1
    if not chosen:
        print("the suites are green without a mutation", flush=True)
    survivors = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, red in zip(numbers, pool.map(lambda each: is_red(MUTATIONS[each - 1]), numbers), strict=True):
            mutation = MUTATIONS[number - 1]
            survivors += not red
            print(
                f"{number:3}/{len(MUTATIONS)} {'caught  ' if red else 'SURVIVED'} {mutation.file} "
                f"step {mutation.step}: {mutation.found} -> {mutation.becomes}"[:150].replace("\n", " "),
                flush=True,
            )
    print(f"{len(numbers) - survivors} passed, {survivors} failed")
    return 1 if survivors else 0


def require_every_step() -> None:
    for file in SUITES:
        steps = set(re.findall(r"\((\d+[a-z]?|[a-z])\) [A-Za-z]", "".join(comments(file))))
        if missing := steps - {each.step for each in MUTATIONS if each.file == file}:
            raise SystemExit(f"{file}: steps without a mutation: {sorted(missing)}")


def comments(file: str) -> list[str]:
    """The lines that have a number, or a letter where they are part of a step elsewhere."""
    return re.findall(r"^ *# \(.*$", (ROOT / "src/certbound" / file).read_text(), flags=re.MULTILINE)


def mutated(mutation: Mutation) -> str:
    """The source with it.  It stops all if there is no such place, or more than one."""
    source = (ROOT / "src/certbound" / mutation.file).read_text()
    if source.count(mutation.found) != 1:
        raise SystemExit(f"{mutation.file}: {mutation.found!r} stands there {source.count(mutation.found)} times")
    return source.replace(mutation.found, mutation.becomes)


def is_red(mutation: Mutation | None) -> bool:
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(ROOT / "src", copy, dirs_exist_ok=True)
        if mutation is not None:
            Path(copy, "certbound", mutation.file).write_text(mutated(mutation))
        suites = dict.fromkeys(chain.from_iterable(SUITES.values())) if mutation is None else mutation.suites
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "-m",
                "not wide and not peers",
                "-p",
                "no:cacheprovider",
                *[f"tests/{each}" for each in suites],
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": copy, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            check=False,
        )
        if done.returncode not in (0, 1):  # a mutation that cannot even be imported proves nothing
            raise SystemExit(done.stdout.decode() + done.stderr.decode())
        return done.returncode != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
