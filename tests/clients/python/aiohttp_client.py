"""aiohttp knows nothing of OAuth: two requests by hand."""

import asyncio
import ssl

import aiohttp
from facts import facts, tell, thief


async def answer(request):
    async with request as response:
        body = await response.json() if await response.read() else {}
        return {"status": response.status, **body}


async def main():
    issuer, ca, cert, key = facts.issuer, facts.ca, facts.cert, facts.key

    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        async with session.get(f"{issuer}/.well-known/oauth-authorization-server") as response:
            metadata = await response.json()
        endpoints = metadata | metadata["mtls_endpoint_aliases"]
        form, auth = {
            "tls": ({"client_id": facts.client_id}, None),
            "client_secret_basic": ({}, aiohttp.BasicAuth(facts.client_id, facts.client_secret or "")),
            "client_secret_post": ({"client_id": facts.client_id, "client_secret": facts.client_secret}, None),
        }[facts.method]

        async def post(name, **fields):
            return await answer(session.post(endpoints[name], data=form | fields, auth=auth))

        told = {"client_id": facts.client_id}
        told["token"] = await post("token_endpoint", grant_type="client_credentials", scope=facts.scope)
        access_token = told["token"].get("access_token")
        if access_token:
            bearer = {"Authorization": f"Bearer {access_token}"}
            told["api"] = await answer(session.get(facts.api, headers=bearer))
        if thief:
            stranger = ssl.create_default_context(cafile=ca)
            stranger.load_cert_chain(*thief)
            told["stolen"] = await answer(session.get(facts.api, headers=bearer, ssl=stranger))
        if facts.introspect:
            told["introspection"] = await post("introspection_endpoint", token=access_token)
        if facts.refresh_token:
            grant = {"grant_type": "refresh_token", "refresh_token": facts.refresh_token}
            told["refreshed"] = await post("token_endpoint", **grant)
        if facts.revoke:
            told["revocation"] = await post("revocation_endpoint", token=access_token)
            told["introspection_after"] = await post("introspection_endpoint", token=access_token)
    return told


tell(asyncio.run(main()))
