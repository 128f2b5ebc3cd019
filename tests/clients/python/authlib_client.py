"""Authlib over `requests`: to it a mutual-TLS client is one without a secret; which URL is asked is ours to say."""

from pathlib import Path

from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from facts import answer, facts, outcome, tell, thief
from joserfc.jwk import ECKey

METHODS = {"tls": "none"}
issuer, ca, cert, key = facts.issuer, facts.ca, facts.cert, facts.key

secret = facts.client_secret
if facts.method == "private_key_jwt":
    secret = ECKey.import_key(Path(facts.signing_key).read_text())
session = OAuth2Session(
    facts.client_id,
    secret,
    scope=facts.scope,
    token_endpoint_auth_method=METHODS.get(facts.method, facts.method),
    revocation_endpoint_auth_method=METHODS.get(facts.method, facts.method),
)
session.cert, session.verify = (cert, key), ca
# The audience of an assertion is the issuer; what Authlib puts there without being told is the URL it asks.
session.register_client_auth_method(PrivateKeyJWT(issuer, alg="ES256"))

metadata = session.get(f"{issuer}/.well-known/oauth-authorization-server", withhold_token=True).json()
endpoints = metadata | metadata["mtls_endpoint_aliases"]

told = {"client_id": facts.client_id}
told["token"] = outcome(lambda: session.fetch_token(endpoints["token_endpoint"], grant_type="client_credentials"))
if session.token:
    told["api"] = answer(session.get(facts.api))
if thief:
    told["stolen"] = answer(session.get(facts.api, cert=thief))
if facts.introspect:
    told["introspection"] = answer(session.introspect_token(endpoints["introspection_endpoint"]))
if facts.refresh_token:
    told["refreshed"] = outcome(lambda: session.refresh_token(endpoints["token_endpoint"], facts.refresh_token))
if facts.revoke:
    access_token = session.token["access_token"]
    told["revocation"] = answer(session.revoke_token(endpoints["revocation_endpoint"], access_token))
    told["introspection_after"] = answer(session.introspect_token(endpoints["introspection_endpoint"], access_token))
tell(told)
