// An issuer of workload tokens that has nothing to do with Ambit: discovery and keys over HTTP, tokens by `jose`.
//   node issuer.mjs          prints `listening ADDRESS`; each line of input {claims, header?, kid?} answers {token};
//   {rotate: true} replaces its keys.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

const ALGORITHMS = ['RS256', 'ES256', 'EdDSA', 'PS256'];
let keys;
let generation = 0;

async function renew() {
  generation += 1;
  keys = await Promise.all(ALGORITHMS.map(async (alg) => {
    const pair = await generateKeyPair(alg, { extractable: true });
    const kid = `${alg}-${generation}`;
    return { alg, kid, privateKey: pair.privateKey, jwk: { ...(await exportJWK(pair.publicKey)), alg, kid, use: 'sig' } };
  }));
}

await renew();
const server = createServer((request, response) => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const document = request.url === '/keys'
    ? { keys: keys.map(({ jwk }) => jwk) }
    : { issuer, jwks_uri: `${issuer}/keys`, response_types_supported: ['id_token'], subject_types_supported: ['public'], id_token_signing_alg_values_supported: ALGORITHMS };
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(document));
});
server.listen(0, '127.0.0.1', () => console.log(`listening 127.0.0.1:${server.address().port}`));

for await (const line of createInterface({ input: process.stdin })) {
  const { claims, alg = 'RS256', typ = 'JWT', rotate } = JSON.parse(line);
  if (rotate) {
    await renew();
    console.log('{}');
    continue;
  }
  const { kid, privateKey } = keys.find((key) => key.alg === alg);
  const token = await new SignJWT(claims).setProtectedHeader({ alg, kid, typ }).sign(privateKey);
  console.log(JSON.stringify({ token }));
}
process.exit(0);
