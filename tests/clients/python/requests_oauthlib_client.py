"""requests-oauthlib: `include_client_id=True`, or it sends the client id in a Basic header with an empty secret."""

from facts import answer, facts, outcome, tell, thief
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

issuer, ca, cert, key = facts.issuer, facts.ca, facts.cert, facts.key

session = OAuth2Session(client=BackendApplicationClient(facts.client_id, scope=facts.scope))
session.cert, session.verify = (cert, key), ca

metadata = session.get(f"{issuer}/.well-known/oauth-authorization-server", withhold_token=True).json()
endpoints = metadata | metadata["mtls_endpoint_aliases"]
credentials = {
    "tls": {"include_client_id": True},
    "client_secret_basic": {"client_secret": facts.client_secret},
    "client_secret_post": {"include_client_id": True, "client_secret": facts.client_secret},
}[facts.method]

told = {"client_id": facts.client_id}
told["token"] = outcome(lambda: session.fetch_token(endpoints["token_endpoint"], **credentials))
if session.token:
    told["api"] = answer(session.get(facts.api))
if thief:
    told["stolen"] = answer(session.get(facts.api, cert=thief))
if facts.refresh_token:
    form = {"client_id": facts.client_id}
    told["refreshed"] = outcome(lambda: session.refresh_token(endpoints["token_endpoint"], facts.refresh_token, **form))
tell(told)
