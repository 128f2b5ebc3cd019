// The peer: npm oidc-provider over Node's own https, its RFC 8705 features on, its memory store, ES256 JWTs.
//
//   node oidc_provider.mjs PORT PKI_FOLDER PACKAGE_FOLDER [opaque|codes]
//
// With `opaque`, tokens are references, which live for an hour and are introspected and revoked (it does neither with
// JWTs).  With `codes`, client `app` redeems codes of a hundred people, which `POST /codes` makes: one on each line.  Both keep what they must find again in a Map: its own memory store forgets all but the last
// thousand or two.

import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [port, pki, folder, format] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(path.join(folder, 'lib/index.js')).href);
const read = (name) => readFileSync(path.join(pki, name));

const signingKey = createPrivateKey(read('sign.pem')).export({ format: 'jwk' });
const selfSigned = new X509Certificate(read('selfsigned.crt'));
const selfKey = createPublicKey(read('selfsigned.crt')).export({ format: 'jwk' });

const common = {
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
  scope: 'api',
  id_token_signed_response_alg: 'ES256',
  tls_client_certificate_bound_access_tokens: true,
};

const clients = [
  {
    ...common,
    client_id: 'pki',
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_san_dns: 'client.example',
  },
  {
    ...common,
    client_id: 'self',
    token_endpoint_auth_method: 'self_signed_tls_client_auth',
    jwks: { keys: [{ ...selfKey, use: 'sig', x5c: [selfSigned.raw.toString('base64')] }] },
  },
];

if (format === 'opaque') {
  clients.push({
    ...common,
    client_id: 'api',
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_san_dns: 'other.example',
  });
}

const resource = 'https://api.example';

if (format === 'codes') {
  clients.push({
    ...common,
    client_id: 'app',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: ['https://app.example/back'],
    scope: 'openid api',
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_san_dns: 'client.example',
  });
}

const kept = new Map();

class Kept {
  constructor(model) {
    this.model = model;
  }
  async upsert(id, payload) {
    kept.set(`${this.model}:${id}`, payload);
  }
  async find(id) {
    return kept.get(`${this.model}:${id}`);
  }
  async consume(id) {
    kept.get(`${this.model}:${id}`).consumed = Math.floor(Date.now() / 1000);
  }
  async destroy(id) {
    kept.delete(`${this.model}:${id}`);
  }
  async revokeByGrantId(grantId) {
    for (const [key, { grantId: owner }] of kept) if (owner === grantId) kept.delete(key);
  }
}

const people = {
  findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  ttl: { AuthorizationCode: 3600, Grant: 3600, RefreshToken: 3600, IdToken: 3600 },
};

const certificate = (ctx) => ctx.socket.getPeerX509Certificate();

const provider = new Provider(`https://localhost:${port}`, {
  ...(format ? { adapter: Kept } : {}),
  ...(format === 'codes' ? people : {}),
  clients,
  jwks: { keys: [{ ...signingKey, kid: 'sig1', use: 'sig', alg: 'ES256' }] },
  scopes: format === 'codes' ? ['openid', 'api'] : ['api'],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  clientAuthMethods: ['tls_client_auth', 'self_signed_tls_client_auth'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: format === 'opaque' },
    revocation: { enabled: format === 'opaque' },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: () => ({
        scope: 'api',
        audience: resource,
        ...(format === 'opaque'
          ? { accessTokenTTL: 3600, accessTokenFormat: 'opaque' }
          : { accessTokenTTL: 300, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
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

async function makeCodes(count, codeChallenge) {
  const client = await provider.Client.find('app');
  const codes = [];
  for (let number = 0; number < count; number += 1) {
    const accountId = `person-${number % 100}`;
    const grant = new provider.Grant({ accountId, clientId: 'app' });
    grant.addOIDCScope('openid');
    grant.addResourceScope(resource, 'api');
    const code = new provider.AuthorizationCode({
      accountId,
      authTime: Math.floor(Date.now() / 1000),
      client,
      codeChallenge,
      codeChallengeMethod: 'S256',
      grantId: await grant.save(),
      redirectUri: 'https://app.example/back',
      resource,
      scope: 'openid api',
    });
    codes.push(await code.save());
  }
  return codes;
}

const answer = provider.callback();

async function listen(request, response) {
  if (format !== 'codes' || request.url !== '/codes') return answer(request, response);
  let body = '';
  for await (const part of request) body += part;
  const form = new URLSearchParams(body);
  return response.end((await makeCodes(Number(form.get('count')), form.get('challenge'))).join('\n'));
}

https
  .createServer(
    {
      key: read('server.key'),
      cert: read('server.crt'),
      ca: read('client_ca.crt'),
      requestCert: true,
      rejectUnauthorized: false,
      keepAliveTimeout: 60000,
    },
    listen,
  )
  .listen(Number(port), '127.0.0.1', 1024);
