// The token service as clients of other authors see it: oauth4webapi, openid-client, jose and dpop. It takes its settings as
// JSON in the first argument:
//   { client: "oauth4webapi" | "openid-client" | "scoped-key", secret (of the last), issuer, door, url, lead: jwk, helper: jwk }
// `lead` may be acted for by `helper`; `url` is a GET below `door`, which is also the audience of the tokens. The one line
// out is { "done": [what was done] } or { "error": … }.

import { webcrypto } from 'node:crypto';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';
import * as jose from 'jose';
import { generateProof } from 'dpop';

const settings = JSON.parse(process.argv[2]);
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const done = [];

function check(what, holds) {
  if (!holds) throw new Error(`not so: ${what}`);
  done.push(what);
}

async function keyPair({ kty, crv, x, y, d }) {
  const curve = kty === 'OKP' ? { name: 'Ed25519' } : { name: 'ECDSA', namedCurve: 'P-256' };
  const open = { kty, crv, x, ...(y ? { y } : {}) };
  return {
    privateKey: await webcrypto.subtle.importKey('jwk', { ...open, d }, curve, false, ['sign']),
    publicKey: await webcrypto.subtle.importKey('jwk', open, curve, true, ['verify']),
  };
}

const details = (actions) => JSON.stringify([{ type: 'ambit_action', actions }]);

/** Everything with the low-level client; each step that may be asked for a nonce is tried again once. */
async function withOauth4webapi() {
  const issuer = new URL(settings.issuer);
  const plain = { [oauth.allowInsecureRequests]: true };
  const discovered = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...plain });
  const as = await oauth.processDiscoveryResponse(issuer, discovered);
  check('discovery', as.token_endpoint && as.introspection_endpoint && as.revocation_endpoint && as.jwks_uri);
  const agent = async (name, jwk) => {
    const keys = await keyPair(jwk);
    const client = { client_id: name };
    return { client, keys, auth: oauth.PrivateKeyJwt({ key: keys.privateKey, kid: jwk.kid }), dpop: oauth.DPoP(client, keys) };
  };
  const lead = await agent('lead', settings.lead);
  const helper = await agent('helper', settings.helper);
  let challenges = 0;
  const twice = async (step) => {
    try {
      return await step();
    } catch (error) {
      if (!oauth.isDPoPNonceError(error)) throw error;
      challenges += 1;
      return step();
    }
  };
  const granted = await twice(async () => {
    const response = await oauth.clientCredentialsGrantRequest(
      as, lead.client, lead.auth, new URLSearchParams({ resource: settings.door }), { DPoP: lead.dpop, ...plain });
    return oauth.processClientCredentialsResponse(as, lead.client, response);
  });
  check('private_key_jwt', granted.access_token && granted.token_type === 'dpop');
  check('DPoP with a nonce', challenges === 1);
  const exchange = (parameters) => twice(async () => {
    const response = await oauth.genericTokenEndpointRequest(as, helper.client, helper.auth, EXCHANGE, {
      subject_token: granted.access_token, subject_token_type: ACCESS_TOKEN, resource: settings.door, ...parameters,
    }, { DPoP: helper.dpop, ...plain });
    return oauth.processGenericTokenEndpointResponse(as, helper.client, response);
  });
  const own = await twice(async () => {
    const response = await oauth.clientCredentialsGrantRequest(
      as, helper.client, helper.auth, new URLSearchParams({ resource: settings.door }), { DPoP: helper.dpop, ...plain });
    return oauth.processClientCredentialsResponse(as, helper.client, response);
  });
  const acting = await exchange({ actor_token: own.access_token, actor_token_type: ACCESS_TOKEN, authorization_details: details(['api.fast']) });
  check('exchange with actor', acting.issued_token_type === ACCESS_TOKEN && acting.authorization_details?.[0]?.actions?.length === 1);
  const refused = await exchange({ authorization_details: details(['tools.echo']) }).catch((error) => error);
  check('a wider exchange is refused', refused.error === 'invalid_authorization_details');

  // What a resource server of the same authors makes of the token: RFC 9068 with the key set, and the proof.
  const jkt = await jose.calculateJwkThumbprint(settings.helper);
  const proof = await generateProof(helper.keys, settings.url, 'GET', undefined, acting.access_token);
  const request = new Request(settings.url, { headers: { authorization: `DPoP ${acting.access_token}`, dpop: proof } });
  const claims = await oauth.validateJwtAccessToken(as, request, settings.door, { requireDPoP: true, ...plain });
  check('JWKS', claims.client_id === 'helper' && claims.cnf.jkt === jkt && claims.act.sub === 'helper');

  const url = new URL(settings.url);
  const answer = await twice(() =>
    oauth.protectedResourceRequest(acting.access_token, 'GET', url, undefined, undefined, { DPoP: helper.dpop, ...plain }));
  check('a call', answer.status === 200);
  const introspect = async () => {
    const response = await oauth.introspectionRequest(as, helper.client, helper.auth, acting.access_token, plain);
    return oauth.processIntrospectionResponse(as, helper.client, response);
  };
  const told = await introspect();
  check('introspection', told.active && told.cnf.jkt === jkt && told.chain[0].agent === 'lead');
  const revoked = await oauth.revocationRequest(as, helper.client, helper.auth, acting.access_token, plain);
  await oauth.processRevocationResponse(revoked);
  check('revocation', (await introspect()).active === false);
  const late = await oauth
    .protectedResourceRequest(acting.access_token, 'GET', url, undefined, undefined, { DPoP: helper.dpop, ...plain })
    .then((response) => response.status, (error) => error.response?.status ?? error.status ?? 401);
  check('a call after it is refused', late === 401 || late === 403);
}

/** The same with the high-level client, which follows nonces by itself. */
async function withOpenidClient() {
  const plain = { execute: [openid.allowInsecureRequests], algorithm: 'oauth2' };
  const agent = async (name, jwk) => {
    const keys = await keyPair(jwk);
    const auth = openid.PrivateKeyJwt({ key: keys.privateKey, kid: jwk.kid });
    const config = await openid.discovery(new URL(settings.issuer), name, undefined, auth, plain);
    return { config, dpop: openid.getDPoPHandle(config, keys) };
  };
  const lead = await agent('lead', settings.lead);
  const helper = await agent('helper', settings.helper);
  check('discovery', lead.config.serverMetadata().issuer === settings.issuer);
  const granted = await openid.clientCredentialsGrant(lead.config, { resource: settings.door }, { DPoP: lead.dpop });
  check('private_key_jwt, DPoP with a nonce', granted.token_type === 'dpop');
  const acting = await openid.genericGrantRequest(helper.config, EXCHANGE, {
    subject_token: granted.access_token, subject_token_type: ACCESS_TOKEN, resource: settings.door,
  }, { DPoP: helper.dpop });
  check('exchange with actor', acting.issued_token_type === ACCESS_TOKEN);
  const keys = jose.createRemoteJWKSet(new URL(helper.config.serverMetadata().jwks_uri));
  const { payload } = await jose.jwtVerify(acting.access_token, keys, {
    issuer: settings.issuer, audience: settings.door, typ: 'at+jwt',
  });
  check('JWKS', payload.act.sub === 'helper' && payload.chain[0].agent === 'lead');
  const answer = await openid.fetchProtectedResource(
    helper.config, acting.access_token, new URL(settings.url), 'GET', undefined, undefined, { DPoP: helper.dpop });
  check('a call', answer.status === 200);
  check('introspection', (await openid.tokenIntrospection(helper.config, acting.access_token)).active === true);
  await openid.tokenRevocation(helper.config, acting.access_token);
  check('revocation', (await openid.tokenIntrospection(helper.config, acting.access_token)).active === false);
}

/** A program that has a scoped key and nothing else: `client_secret_basic`, and a key for proofs that it made itself. */
async function withScopedKey() {
  const plain = { [oauth.allowInsecureRequests]: true };
  const issuer = new URL(settings.issuer);
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...plain }));
  check('discovery', as.token_endpoint_auth_methods_supported.includes('client_secret_basic'));
  const client = { client_id: 'lead' };
  const keys = await oauth.generateKeyPair('ES256');
  const dpop = oauth.DPoP(client, keys);
  const twice = async (step) => {
    try {
      return await step();
    } catch (error) {
      if (!oauth.isDPoPNonceError(error)) throw error;
      return step();
    }
  };
  const buy = (auth, parameters) => twice(async () => {
    const response = await oauth.clientCredentialsGrantRequest(
      as, client, auth, new URLSearchParams({ resource: settings.door, ...parameters }), { DPoP: dpop, ...plain });
    return oauth.processClientCredentialsResponse(as, client, response);
  });
  for (const [way, auth] of [['client_secret_basic', oauth.ClientSecretBasic], ['client_secret_post', oauth.ClientSecretPost]]) {
    const granted = await buy(auth(settings.secret), {});
    check(way, granted.token_type === 'dpop' && granted.authorization_details[0].actions.join() === 'api.fast');
    const answer = await twice(() => oauth.protectedResourceRequest(
      granted.access_token, 'GET', new URL(settings.url), undefined, undefined, { DPoP: dpop, ...plain }));
    check(`a call with what ${way} bought`, answer.status === 200);
  }
  const refused = await buy(oauth.ClientSecretBasic(settings.secret), { authorization_details: details(['api.said']) }).catch((error) => error);
  check('more than the key is for is refused', refused.error === 'invalid_authorization_details');
  const wrong = await buy(oauth.ClientSecretPost(settings.secret.slice(0, -1) + 'g'), {}).catch((error) => error);
  check('another secret is refused', wrong.error === 'invalid_client' || wrong.status === 401);
}

const CLIENTS = { oauth4webapi: withOauth4webapi, 'openid-client': withOpenidClient, 'scoped-key': withScopedKey };

try {
  await CLIENTS[settings.client]();
  process.stdout.write(`${JSON.stringify({ done })}\n`);
} catch (error) {
  const told = { error: String(error?.message ?? error), code: error?.code, cause: String(error?.cause?.message ?? error?.error ?? ''), said: error?.error_description, done };
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
