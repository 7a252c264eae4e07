// An agent's MCP client made with the official TypeScript SDKs. It takes its settings as JSON in the first argument:
//   { era: "modern" | "legacy", url, token, jwk? }   (with `jwk` the token is bound: a proof goes with each request)
// then one step per line on standard input, and answers each with one line of JSON on standard output:
//   { "list": true }                         -> { "tools": [names] }
//   { "call": name, "arguments": {} }        -> { "result": CallToolResult }
// A step that fails                          -> { "error": message, "code": JSON-RPC or HTTP code }
// The first line out is { "connected": protocol version } or { "error": … }.

import { createInterface } from 'node:readline';
import { webcrypto } from 'node:crypto';
import * as modern from '@modelcontextprotocol/client';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { generateProof } from 'dpop';

const settings = JSON.parse(process.argv[2]);
const identity = { name: 'typescript-peer', version: '1.0.0' };

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const failure = (error) => ({ error: String(error?.message ?? error), code: error?.code ?? error?.status ?? null });

/** The agent's key as `dpop` wants it: a pair of CryptoKey. */
async function keyPair(jwk) {
  const curve = jwk.kty === 'OKP' ? { name: 'Ed25519' } : { name: 'ECDSA', namedCurve: 'P-256' };
  const { d, alg, use, key_ops, ...open } = jwk;
  const members = { kty: open.kty, crv: open.crv, x: open.x, ...(open.y ? { y: open.y } : {}) };
  return {
    privateKey: await webcrypto.subtle.importKey('jwk', { ...members, d }, curve, false, ['sign']),
    publicKey: await webcrypto.subtle.importKey('jwk', members, curve, true, ['verify']),
  };
}

/** `fetch` with the agent's credential; a bound token gets a proof of its own for each request. */
async function credentialed({ token, jwk }) {
  const pair = jwk ? await keyPair(jwk) : null;
  return async (input, init = {}) => {
    const headers = new Headers(init.headers);
    const url = new URL(input instanceof Request ? input.url : input);
    url.search = '';
    url.hash = '';
    if (pair) {
      headers.set('authorization', `DPoP ${token}`);
      headers.set('dpop', await generateProof(pair, url.href, init.method ?? 'GET', undefined, token));
    } else if (token) {
      headers.set('authorization', `Bearer ${token}`);
    }
    return fetch(input, { ...init, headers });
  };
}

async function connect() {
  const options = { fetch: await credentialed(settings) };
  const url = new URL(settings.url);
  if (settings.era === 'modern') {
    const client = new modern.Client(identity, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
    const transport = new modern.StreamableHTTPClientTransport(url, options);
    await client.connect(transport);
    return { client, version: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion ?? '2026-07-28' };
  }
  const client = new LegacyClient(identity);
  const transport = new LegacyTransport(url, options);
  await client.connect(transport);
  return { client, version: transport.protocolVersion };
}

async function step(client, asked) {
  if (asked.list) {
    const { tools } = await client.listTools();
    return { tools: tools.map((tool) => tool.name) };
  }
  return { result: await client.callTool({ name: asked.call, arguments: asked.arguments }) };
}

const connected = await connect().catch((error) => {
  say(failure(error));
  process.exit(1);
});
say({ connected: connected.version });
for await (const line of createInterface({ input: process.stdin })) {
  say(await step(connected.client, JSON.parse(line)).catch(failure));
}
await connected.client.close();
