// npm openid-client: everything of its own; only the certificate comes from outside, as a fetch that has one.

import * as client from 'openid-client'
import * as undici from 'undici'
import { ca, cert, facts, key, outcome, signingKey, statusOf, tell, thief } from './facts.mjs'

const { issuer, client_id, scope, api } = facts

const agent = new undici.Agent({ connect: { ca, cert, key } })
const options = {
  algorithm: 'oauth2',
  [client.customFetch]: (url, request) => undici.fetch(url, { ...request, dispatcher: agent }),
}
const metadata = { use_mtls_endpoint_aliases: true, introspection_signed_response_alg: facts.introspection_alg ?? undefined }

const authentication = {
  tls: () => client.TlsClientAuth(),
  client_secret_basic: () => client.ClientSecretBasic(facts.client_secret),
  client_secret_post: () => client.ClientSecretPost(facts.client_secret),
  private_key_jwt: async () => client.PrivateKeyJwt(await signingKey()),
}
const authenticate = await authentication[facts.method]()

const registered = () =>
  client.dynamicClientRegistration(new URL(issuer), { ...metadata, ...facts.registration }, authenticate, {
    ...options,
    initialAccessToken: facts.initial_access_token,
  })
const config = facts.registration
  ? await outcome(registered)
  : await client.discovery(new URL(issuer), client_id, metadata, authenticate, options)
if (config.error) {
  tell({ registration: config })
  process.exit()
}
client.enableNonRepudiationChecks(config) // signed answers of introspection: their signature counts too

const told = { client_id: config.clientMetadata().client_id }
told.token = await outcome(() => client.clientCredentialsGrant(config, { scope }))
const { access_token, refresh_token } = told.token

const call = () => client.fetchProtectedResource(config, access_token, new URL(api), 'GET')
if (access_token) told.api = await outcome(async () => statusOf(await call()))
if (thief) {
  const stranger = new undici.Agent({ connect: thief })
  config[client.customFetch] = (url, request) => undici.fetch(url, { ...request, dispatcher: stranger })
  told.stolen = await outcome(async () => statusOf(await call()))
  config[client.customFetch] = options[client.customFetch]
}
if (facts.introspect) told.introspection = await outcome(() => client.tokenIntrospection(config, access_token))
if (facts.refresh_token)
  told.refreshed = await outcome(() => client.refreshTokenGrant(config, facts.refresh_token ?? refresh_token))
if (facts.revoke) {
  told.revocation = await outcome(async () => (await client.tokenRevocation(config, access_token), { status: 200 }))
  told.introspection_after = await outcome(() => client.tokenIntrospection(config, access_token))
}
tell(told)
