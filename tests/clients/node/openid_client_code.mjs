// npm openid-client acts for a person: discovery, a pushed request, PKCE, the ID token checked with its signature,
// userinfo, refresh and logout, all its own.  It prints where the browser must go, and reads where it came back to.

import * as client from 'openid-client'
import { cameBackTo, facts, fetchWith, known, outcome, signingKey, statusOf, tell, thief } from './facts.mjs'

const { issuer, client_id, scope, api, redirect_uri } = facts

const authentication = {
  tls: () => client.TlsClientAuth(),
  none: () => client.None(),
  private_key_jwt: async () => client.PrivateKeyJwt(await signingKey()),
}
const config = await client.discovery(new URL(issuer), client_id, known, await authentication[facts.method](), {
  [client.customFetch]: fetchWith(),
})
client.enableNonRepudiationChecks(config)

const pkceCodeVerifier = client.randomPKCECodeVerifier()
const [expectedState, expectedNonce] = [client.randomState(), client.randomNonce()]
const asked = {
  redirect_uri,
  scope,
  resource: facts.resource,
  state: expectedState,
  nonce: expectedNonce,
  max_age: '3600',
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: 'S256',
  ...facts.asked,
}
const start = facts.pushed ? client.buildAuthorizationUrlWithPAR : client.buildAuthorizationUrl
const url = await outcome(() => start(config, asked))
if (url.error) {
  tell({ token: url })
  process.exit()
}
const back = await cameBackTo(url)

const told = { pushed: config.serverMetadata().pushed_authorization_request_endpoint }
told.token = await outcome(() =>
  client.authorizationCodeGrant(config, back, {
    pkceCodeVerifier,
    expectedState,
    expectedNonce,
    maxAge: 3600,
    idTokenExpected: true,
  }),
)
const { access_token, refresh_token } = told.token
if (access_token) {
  told.claims = told.token.claims()
  told.userinfo = await outcome(() => client.fetchUserInfo(config, access_token, told.claims.sub))
  const call = () => client.fetchProtectedResource(config, access_token, new URL(api), 'GET')
  told.api = await outcome(async () => statusOf(await call()))
  told.refreshed = await outcome(() => client.refreshTokenGrant(config, refresh_token))
  told.logout = client.buildEndSessionUrl(config, { id_token_hint: told.token.id_token }).href
  if (thief) {
    config[client.customFetch] = fetchWith(thief)
    told.stolen = await outcome(async () => statusOf(await call()))
    told.stolen_userinfo = await outcome(() => client.fetchUserInfo(config, access_token, told.claims.sub))
    told.stolen_refresh = await outcome(() => client.refreshTokenGrant(config, refresh_token))
    config[client.customFetch] = fetchWith()
  }
  await client.tokenRevocation(config, refresh_token)
  told.refreshed_after = await outcome(() => client.refreshTokenGrant(config, refresh_token))
}
tell(told)
