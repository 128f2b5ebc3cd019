// npm openid-client on a device without a browser: it shows a code, and polls over mutual TLS while a person types it.

import * as client from 'openid-client'
import { facts, fetchWith, known, outcome, show, statusOf, tell } from './facts.mjs'

const { issuer, client_id, scope, api, resource } = facts

const authenticate = facts.method === 'none' ? client.None() : client.TlsClientAuth()
const config = await client.discovery(new URL(issuer), client_id, known, authenticate, {
  [client.customFetch]: fetchWith(),
})
const begun = await client.initiateDeviceAuthorization(config, { scope, resource })
show(begun)
const told = { token: await outcome(() => client.pollDeviceAuthorizationGrant(config, begun)) }
if (told.token.access_token) {
  const { access_token } = told.token
  told.api = await outcome(async () =>
    statusOf(await client.fetchProtectedResource(config, access_token, new URL(api), 'GET')),
  )
}
tell(told)
