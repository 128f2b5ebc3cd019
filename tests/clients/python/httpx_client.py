"""httpx knows nothing of OAuth: two requests by hand."""

import ssl

import httpx
from facts import answer, facts, tell, thief

issuer, ca, cert, key = facts.issuer, facts.ca, facts.cert, facts.key

context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
client = httpx.Client(verify=context)

metadata = client.get(f"{issuer}/.well-known/oauth-authorization-server").json()
endpoints = metadata | metadata["mtls_endpoint_aliases"]
form, auth = {
    "tls": ({"client_id": facts.client_id}, None),
    "client_secret_basic": ({}, (facts.client_id, facts.client_secret)),
    "client_secret_post": ({"client_id": facts.client_id, "client_secret": facts.client_secret}, None),
}[facts.method]


def post(name, **fields):
    return answer(client.post(endpoints[name], data=form | fields, auth=auth))


told = {"client_id": facts.client_id}
told["token"] = post("token_endpoint", grant_type="client_credentials", scope=facts.scope)
access_token = told["token"].get("access_token")
if access_token:
    bearer = {"Authorization": f"Bearer {access_token}"}
    told["api"] = answer(client.get(facts.api, headers=bearer))
if thief:
    stranger = ssl.create_default_context(cafile=ca)
    stranger.load_cert_chain(*thief)
    told["stolen"] = answer(httpx.get(facts.api, headers=bearer, verify=stranger))
if facts.introspect:
    told["introspection"] = post("introspection_endpoint", token=access_token)
if facts.refresh_token:
    told["refreshed"] = post("token_endpoint", grant_type="refresh_token", refresh_token=facts.refresh_token)
if facts.revoke:
    told["revocation"] = post("revocation_endpoint", token=access_token)
    told["introspection_after"] = post("introspection_endpoint", token=access_token)
tell(told)
