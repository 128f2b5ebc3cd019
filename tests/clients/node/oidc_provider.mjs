// npm oidc-provider as an issuer: `node oidc_provider.mjs FACTS.json`.
//
// Two ports: at the first, which is the issuer, nobody is asked for a certificate; at the second everybody is, and the
// metadata names it as the alias of what clients call.  Whoever opens the page for people is logged in and agrees.

import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';

import Provider from 'oidc-provider';

const facts = JSON.parse(readFileSync(process.argv[2]));
const issuer = `https://localhost:${facts.port}`;
const mutual = `https://localhost:${facts.mtls_port}`;

const signing = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const registered = readFileSync(facts.own);
const ownKey = createPublicKey(registered).export({ format: 'jwk' });

const common = {
  grant_types: ['client_credentials', 'authorization_code', 'refresh_token'],
  response_types: ['code'],
  redirect_uris: [facts.redirect_uri],
  scope: 'openid offline_access read',
  id_token_signed_response_alg: 'ES256',
  tls_client_certificate_bound_access_tokens: true,
};

const certificate = (ctx) => ctx.socket.getPeerX509Certificate?.();

const provider = new Provider(issuer, {
  clients: [
    {
      ...common,
      client_id: 'pki',
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_san_dns: 'pki.example',
    },
    {
      ...common,
      client_id: 'own',
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      jwks: { keys: [{ ...ownKey, use: 'sig', x5c: [new X509Certificate(registered).raw.toString('base64')] }] },
    },
  ],
  jwks: { keys: [{ ...signing, kid: '1', use: 'sig', alg: 'ES256' }] },
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  clientAuthMethods: ['tls_client_auth', 'self_signed_tls_client_auth'],
  scopes: ['openid', 'offline_access', 'read'],
  findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  issueRefreshToken: () => true,
  interactions: { url: (_ctx, { uid }) => `/agree/${uid}` },
  cookies: { keys: ['only for a test'] },
  ttl: { AccessToken: 60, ClientCredentials: 60, AuthorizationCode: 60, Grant: 600, IdToken: 60, Interaction: 60, RefreshToken: 600, Session: 600 },
  discovery: {
    mtls_endpoint_aliases: {
      token_endpoint: `${mutual}/token`,
      pushed_authorization_request_endpoint: `${mutual}/request`,
      introspection_endpoint: `${mutual}/token/introspection`,
      revocation_endpoint: `${mutual}/token/revocation`,
      userinfo_endpoint: `${mutual}/me`,
    },
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_ctx, resource) => ({
        scope: 'read',
        audience: resource,
        accessTokenTTL: facts.lifetime,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      selfSignedTlsClientAuth: true,
      tlsClientAuth: true,
      getCertificate: certificate,
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) =>
        property === 'tls_client_auth_san_dns' &&
        (certificate(ctx).subjectAltName ?? '').split(', ').includes(`DNS:${expected}`),
    },
  },
});
provider.on('server_error', (_ctx, error) => console.error(error));

async function agree(request, response) {
  const { params } = await provider.interactionDetails(request, response);
  const grant = new provider.Grant({ accountId: 'anna', clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  grant.addResourceScope(facts.resource, 'read');
  const consent = { grantId: await grant.save() };
  await provider.interactionFinished(request, response, { login: { accountId: 'anna' }, consent });
}

const answer = provider.callback();
const listen = (request, response) =>
  request.url.startsWith('/agree/') ? agree(request, response).catch(console.error) : answer(request, response);
const tls = { key: readFileSync(facts.key), cert: readFileSync(facts.cert), ca: readFileSync(facts.ca) };

https.createServer(tls, listen).listen(facts.port, '127.0.0.1');
https
  .createServer({ ...tls, requestCert: true, rejectUnauthorized: false }, listen)
  .listen(facts.mtls_port, '127.0.0.1');
