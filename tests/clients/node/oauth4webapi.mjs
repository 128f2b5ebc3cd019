// npm oauth4webapi: each step is a request and the processing of its answer; aliases are followed by the client's metadata.

import * as oauth from 'oauth4webapi'
import * as undici from 'undici'
import { ca, cert, facts, key, outcome, signingKey, statusOf, tell, thief } from './facts.mjs'

const { client_id, scope, api } = facts

const agent = new undici.Agent({ connect: { ca, cert, key } })
const options = { [oauth.customFetch]: (url, request) => undici.fetch(url, { ...request, dispatcher: agent }) }

const issuer = new URL(facts.issuer)
const discovered = await oauth.discoveryRequest(issuer, { ...options, algorithm: 'oauth2' })
const as = await oauth.processDiscoveryResponse(issuer, discovered)

const authentication = {
  tls: () => oauth.TlsClientAuth(),
  client_secret_basic: () => oauth.ClientSecretBasic(facts.client_secret),
  client_secret_post: () => oauth.ClientSecretPost(facts.client_secret),
  private_key_jwt: async () => oauth.PrivateKeyJwt(await signingKey()),
}
const authenticate = await authentication[facts.method]()

const introspection_signed_response_alg = facts.introspection_alg ?? undefined
let client = { client_id, use_mtls_endpoint_aliases: true, introspection_signed_response_alg }
const registered = async () => {
  const asked = { use_mtls_endpoint_aliases: true, ...facts.registration }
  const using = { ...options, initialAccessToken: facts.initial_access_token }
  const response = await oauth.dynamicClientRegistrationRequest(as, asked, using)
  return await oauth.processDynamicClientRegistrationResponse(response)
}
if (facts.registration) client = await outcome(registered)
if (client.error) {
  tell({ registration: client })
  process.exit()
}

const told = { client_id: client.client_id }
told.token = await outcome(async () => {
  const response = await oauth.clientCredentialsGrantRequest(as, client, authenticate, { scope }, options)
  return await oauth.processClientCredentialsResponse(as, client, response)
})
const { access_token, refresh_token } = told.token

const call = (using) => oauth.protectedResourceRequest(access_token, 'GET', new URL(api), undefined, null, using)
const introspect = () =>
  outcome(async () => {
    const response = await oauth.introspectionRequest(as, client, authenticate, access_token, options)
    const introspection = await oauth.processIntrospectionResponse(as, client, response)
    if (facts.introspection_alg) await oauth.validateApplicationLevelSignature(as, response, options)
    return introspection
  })
if (access_token) told.api = await outcome(async () => statusOf(await call(options)))
if (thief) {
  const stranger = new undici.Agent({ connect: thief })
  const using = { [oauth.customFetch]: (url, request) => undici.fetch(url, { ...request, dispatcher: stranger }) }
  told.stolen = await outcome(async () => statusOf(await call(using)))
}
if (facts.introspect) told.introspection = await introspect()
if (facts.refresh_token)
  told.refreshed = await outcome(async () => {
    const token = facts.refresh_token ?? refresh_token
    const response = await oauth.refreshTokenGrantRequest(as, client, authenticate, token, options)
    return await oauth.processRefreshTokenResponse(as, client, response)
  })
if (facts.revoke) {
  told.revocation = await outcome(async () => {
    const response = await oauth.revocationRequest(as, client, authenticate, access_token, options)
    await oauth.processRevocationResponse(response)
    return statusOf(response)
  })
  told.introspection_after = await introspect()
}
tell(told)
