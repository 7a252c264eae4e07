// A reverse proxy between a peer and the server under test:
//   node door.mjs TARGET [TOKEN]      prints `listening ADDRESS`
// It adds the bearer token, since some peers cannot send one, and breaks the connection of each first call of the tool
// `resumed` (by its `nonce`) after the first message of the answer.

import { createServer, request } from 'node:http';

const [, , target, token] = process.argv;
const { hostname, port, pathname, host, origin } = new URL(target);
const broken = new Set();

/** The nonce of a call that is to be broken, once. */
function toBreak(body) {
  try {
    const { method, params } = JSON.parse(body);
    const nonce = params?.arguments?.nonce;
    if (method !== 'tools/call' || params.name !== 'resumed' || broken.has(nonce)) return false;
    broken.add(nonce);
    return true;
  } catch {
    return false;
  }
}

const server = createServer(async (incoming, response) => {
  const parts = [];
  for await (const part of incoming) parts.push(part);
  const body = Buffer.concat(parts);
  const here = `127.0.0.1:${server.address().port}`;
  const headers = { ...incoming.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
  // Foreign names are what some suites test with: they pass as they are.
  if ([here, here.replace('127.0.0.1', 'localhost')].includes(headers.host)) headers.host = host;
  if (headers.origin?.endsWith(`:${server.address().port}`)) headers.origin = origin;
  const breaks = toBreak(body);
  // Each request has a connection of its own: a kept one may be closed at the other end just when it is used again.
  const outgoing = request({ hostname, port, path: pathname, method: incoming.method, headers, agent: false }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.on('error', () => response.destroy());
    answer.on('data', (chunk) => {
      response.write(chunk);
      if (breaks && /"before the cut"/.test(chunk)) {
        setTimeout(() => { outgoing.destroy(); response.socket?.destroy(); }, 50);
      }
    });
    answer.on('end', () => response.end());
  });
  outgoing.on('error', () => response.destroy());
  response.on('close', () => outgoing.destroy());
  outgoing.end(body);
});
server.listen(0, '127.0.0.1', () => console.log(`listening 127.0.0.1:${server.address().port}`));
