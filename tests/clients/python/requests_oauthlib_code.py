"""requests-oauthlib acts for a person: `pkce="S256"`, and `include_client_id=True` as everywhere."""

from facts import answer, came_back_to, facts, outcome, tell, thief
from requests_oauthlib import OAuth2Session

issuer, ca, cert, key = facts.issuer, facts.ca, facts.cert, facts.key

scope = facts.scope.split()
session = OAuth2Session(facts.client_id, redirect_uri=facts.redirect_uri, scope=scope, pkce="S256")
session.cert, session.verify = (cert, key), ca

metadata = session.get(f"{issuer}/.well-known/openid-configuration", withhold_token=True).json()
endpoints = metadata | metadata["mtls_endpoint_aliases"]
url, _ = session.authorization_url(metadata["authorization_endpoint"], resource=facts.resource)
back = came_back_to(url)

told = {}
told["token"] = outcome(
    lambda: session.fetch_token(endpoints["token_endpoint"], authorization_response=back, include_client_id=True)
)
if session.token:
    told["userinfo"] = answer(session.get(endpoints["userinfo_endpoint"]))
    told["api"] = answer(session.get(facts.api))
    if thief:
        told["stolen"] = answer(session.get(facts.api, cert=thief))
    form = {"client_id": facts.client_id}
    refresh_token = session.token["refresh_token"]
    told["refreshed"] = outcome(lambda: session.refresh_token(endpoints["token_endpoint"], refresh_token, **form))
tell(told)
