// npm oauth4webapi acts for a person: each step is a request and the processing of its answer.

import * as oauth from 'oauth4webapi'
import { cameBackTo, facts, fetchWith, known, outcome, signingKey, statusOf, tell, thief } from './facts.mjs'

const { client_id, scope, api, redirect_uri } = facts
const options = { [oauth.customFetch]: fetchWith() }

const issuer = new URL(facts.issuer)
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options))
const client = { client_id, ...known }
const authentication = {
  tls: () => oauth.TlsClientAuth(),
  none: () => oauth.None(),
  private_key_jwt: async () => oauth.PrivateKeyJwt(await signingKey()),
}
const authenticate = await authentication[facts.method]()

const verifier = oauth.generateRandomCodeVerifier()
const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
const asked = new URLSearchParams({
  response_type: 'code',
  client_id,
  redirect_uri,
  scope,
  resource: facts.resource,
  state,
  nonce,
  max_age: '3600',
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  ...facts.asked,
})
const url = new URL(as.authorization_endpoint)
url.search = asked
if (facts.pushed) {
  const pushed = await outcome(async () => {
    const response = await oauth.pushedAuthorizationRequest(as, client, authenticate, asked, options)
    return await oauth.processPushedAuthorizationResponse(as, client, response)
  })
  if (pushed.error) {
    tell({ token: pushed })
    process.exit()
  }
  url.search = new URLSearchParams({ client_id, request_uri: pushed.request_uri })
}
const back = await cameBackTo(url)

const told = { pushed: as.pushed_authorization_request_endpoint }
const refresh = (token, using) =>
  outcome(async () => {
    const response = await oauth.refreshTokenGrantRequest(as, client, authenticate, token, using)
    return await oauth.processRefreshTokenResponse(as, client, response)
  })
told.token = await outcome(async () => {
  const parameters = oauth.validateAuthResponse(as, client, back, state)
  const response = await oauth.authorizationCodeGrantRequest(
    as, client, authenticate, parameters, redirect_uri, verifier, options,
  )
  const checks = { expectedNonce: nonce, maxAge: 3600, requireIdToken: true }
  const token = await oauth.processAuthorizationCodeResponse(as, client, response, checks)
  await oauth.validateApplicationLevelSignature(as, response, options)
  return token
})
const { access_token, refresh_token } = told.token
if (access_token) {
  told.claims = oauth.getValidatedIdTokenClaims(told.token)
  const userinfo = (using) =>
    outcome(async () => {
      const response = await oauth.userInfoRequest(as, client, access_token, using)
      return await oauth.processUserInfoResponse(as, client, told.claims.sub, response)
    })
  const call = (using) =>
    outcome(async () =>
      statusOf(await oauth.protectedResourceRequest(access_token, 'GET', new URL(api), undefined, null, using)),
    )
  told.userinfo = await userinfo(options)
  told.api = await call(options)
  told.refreshed = await refresh(refresh_token, options)
  const leave = new URL(as.end_session_endpoint)
  leave.search = new URLSearchParams({ id_token_hint: told.token.id_token })
  told.logout = leave.href
  if (thief) {
    const stolen = { [oauth.customFetch]: fetchWith(thief) }
    told.stolen = await call(stolen)
    told.stolen_userinfo = await userinfo(stolen)
    told.stolen_refresh = await refresh(refresh_token, stolen)
  }
  const revocation = await oauth.revocationRequest(as, client, authenticate, refresh_token, options)
  await oauth.processRevocationResponse(revocation)
  told.refreshed_after = await refresh(refresh_token, options)
}
tell(told)
