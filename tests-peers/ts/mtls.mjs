// Tokens bound to certificates (RFC 8705), as clients of other authors see them: oauth4webapi and openid-client over
// undici, jose, and Node's own X.509. It takes its settings as JSON in the first argument:
//   { client: "oauth4webapi" | "openid-client", agent, way, issuer, door, url, ca, own: {cert, key}, other: {cert, key}, jwk? }
// `way` is how it authenticates, by the name that the metadata gives it; `jwk` is the key of `private_key_jwt`. The one
// line out is { "done": [what was done], "calls": {own, other, none, revoked: the status} } or { "error": … }.

import { createHash, webcrypto, X509Certificate } from 'node:crypto';
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';
import { Agent, fetch } from 'undici';

const settings = JSON.parse(process.argv[2]);
const done = [];

function check(what, holds) {
  if (!holds) throw new Error(`not so: ${what}`);
  done.push(what);
}

/** `fetch` over connections with this certificate, or with none. */
function over(pair) {
  const dispatcher = new Agent({ connect: { ca: settings.ca, ...pair } });
  return (url, options) => fetch(url, { ...options, dispatcher });
}

const own = over(settings.own);
const metadata = { client_id: settings.agent, use_mtls_endpoint_aliases: true };

async function authentication(library) {
  if (settings.way !== 'private_key_jwt') return library.TlsClientAuth();
  const { kty, crv, x, y, d, kid } = settings.jwk;
  const curve = kty === 'OKP' ? { name: 'Ed25519' } : { name: 'ECDSA', namedCurve: 'P-256' };
  const key = await webcrypto.subtle.importKey('jwk', { kty, crv, x, ...(y ? { y } : {}), d }, curve, false, ['sign']);
  return library.PrivateKeyJwt({ key, kid });
}

/** RFC 8705 sections 2.1, 2.2, 3.3 and 5 in the metadata. */
function checkMetadata(as) {
  check('discovery over TLS', as.issuer === settings.issuer);
  check('bound tokens are announced', as.tls_client_certificate_bound_access_tokens === true);
  check('the way is announced', as.token_endpoint_auth_methods_supported.includes(settings.way));
  const aliases = as.mtls_endpoint_aliases;
  check('aliases', ['token', 'introspection', 'revocation'].every((name) => URL.canParse(aliases[`${name}_endpoint`])));
}

async function checkToken(token, as) {
  const keys = jose.createRemoteJWKSet(new URL(as.jwks_uri), { [jose.customFetch]: over({}) });
  const { payload } = await jose.jwtVerify(token, keys, { issuer: as.issuer, audience: settings.door, typ: 'at+jwt' });
  const digest = createHash('sha256').update(new X509Certificate(settings.own.cert).raw).digest('base64url');
  check('cnf is the digest of the certificate', payload.cnf['x5t#S256'] === digest && payload.cnf.jkt === undefined);
}

/** What the door says to this token over each kind of connection, and after `revoke`. */
async function callAll(call, revoke) {
  const status = (answer) => answer.then(({ status }) => status, (error) => error.status ?? error.response?.status ?? Promise.reject(error));
  const calls = {};
  for (const [name, pair] of [['other', settings.other], ['none', {}], ['own', settings.own]]) {
    calls[name] = await status(call(over(pair)));
  }
  await revoke();
  calls.revoked = await status(call(own));
  return calls;
}

async function withOauth4webapi() {
  const mine = { [oauth.customFetch]: own };
  const issuer = new URL(settings.issuer);
  const discovered = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...mine });
  const as = await oauth.processDiscoveryResponse(issuer, discovered);
  checkMetadata(as);
  const auth = await authentication(oauth);
  const response = await oauth.clientCredentialsGrantRequest(
    as, metadata, auth, new URLSearchParams({ resource: settings.door }), mine);
  const granted = await oauth.processClientCredentialsResponse(as, metadata, response);
  check('a token', granted.token_type === 'bearer');
  await checkToken(granted.access_token, as);
  const introspect = async () => oauth.processIntrospectionResponse(
    as, metadata, await oauth.introspectionRequest(as, metadata, auth, granted.access_token, mine));
  check('introspection', (await introspect()).cnf['x5t#S256']);
  const call = (fetch) => oauth.protectedResourceRequest(
    granted.access_token, 'GET', new URL(settings.url), undefined, undefined, { [oauth.customFetch]: fetch });
  return callAll(call, async () => {
    await oauth.processRevocationResponse(
      await oauth.revocationRequest(as, metadata, auth, granted.access_token, mine));
    check('revocation', (await introspect()).active === false);
  });
}

async function withOpenidClient() {
  const config = await openid.discovery(new URL(settings.issuer), settings.agent, metadata, await authentication(openid), {
    algorithm: 'oauth2', [openid.customFetch]: own,
  });
  const as = config.serverMetadata();
  checkMetadata(as);
  const granted = await openid.clientCredentialsGrant(config, { resource: settings.door });
  check('a token', granted.token_type === 'bearer');
  await checkToken(granted.access_token, as);
  check('introspection', (await openid.tokenIntrospection(config, granted.access_token)).cnf['x5t#S256']);
  const call = async (fetch) => {
    const other = new openid.Configuration(as, settings.agent, metadata, openid.TlsClientAuth());
    other[openid.customFetch] = fetch;
    return openid.fetchProtectedResource(other, granted.access_token, new URL(settings.url), 'GET');
  };
  return callAll(call, async () => {
    await openid.tokenRevocation(config, granted.access_token);
    check('revocation', (await openid.tokenIntrospection(config, granted.access_token)).active === false);
  });
}

try {
  const calls = await (settings.client === 'openid-client' ? withOpenidClient() : withOauth4webapi());
  process.stdout.write(`${JSON.stringify({ done, calls })}\n`);
} catch (error) {
  const told = { error: String(error?.message ?? error), code: error?.code, status: error?.status, cause: String(error?.cause?.message ?? error?.error ?? ''), said: error?.error_description, done };
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
process.exit(0);
