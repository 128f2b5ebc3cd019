"""Authlib acts for a person, over `requests`: PKCE is its own, what an ID token says is read with joserfc beside it."""

from authlib.integrations.requests_client import OAuth2Session
from facts import answer, came_back_to, facts, outcome, tell, thief
from joserfc import jwt
from joserfc.jwk import KeySet

issuer, ca, cert, key = facts.issuer, facts.ca, facts.cert, facts.key

session = OAuth2Session(
    facts.client_id,
    scope=facts.scope,
    redirect_uri=facts.redirect_uri,
    token_endpoint_auth_method="none",
    code_challenge_method="S256",
)
session.cert, session.verify = (cert, key), ca

metadata = session.get(f"{issuer}/.well-known/openid-configuration", withhold_token=True).json()
endpoints = metadata | metadata["mtls_endpoint_aliases"]
# Any string of 43 to 128 characters; a web app keeps it with the session of its user, beside `state`.
verifier, nonce = "authlib-" + "v" * 43, "authlib-nonce"
more = {"nonce": nonce, "resource": facts.resource}
url, state = session.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier, **more)
back = came_back_to(url)

told = {}
told["token"] = outcome(
    lambda: session.fetch_token(
        endpoints["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier
    )
)
if session.token:
    keys = KeySet.import_key_set(session.get(metadata["jwks_uri"], withhold_token=True).json())
    told["claims"] = jwt.decode(session.token["id_token"], keys, algorithms=["ES256"]).claims
    assert (issuer, facts.client_id, nonce) == tuple(told["claims"][name] for name in ("iss", "aud", "nonce"))
    told["userinfo"] = answer(session.get(endpoints["userinfo_endpoint"]))
    told["api"] = answer(session.get(facts.api))
    refresh_token = session.token["refresh_token"]
    if thief:
        told["stolen"] = answer(session.get(facts.api, cert=thief))
        told["stolen_userinfo"] = answer(session.get(endpoints["userinfo_endpoint"], cert=thief))
    told["refreshed"] = outcome(lambda: session.refresh_token(endpoints["token_endpoint"], refresh_token))
    session.revoke_token(endpoints["revocation_endpoint"], refresh_token)
    told["refreshed_after"] = outcome(lambda: session.refresh_token(endpoints["token_endpoint"], refresh_token))
tell(told)
