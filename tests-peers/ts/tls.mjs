// An HTTPS client with certificates, on Node's own TLS (OpenSSL). One request per line of input, as JSON:
//   {url, method, headers, body, ca, cert, key}      answers {status, headers, body, peer} or {error}
// `peer` is the SHA-256 of the certificate that the server showed. Each request has a connection of its own.

import { request } from 'node:https';
import { createInterface } from 'node:readline';

function exchange({ url, method = 'GET', headers = {}, body = '', ca, cert, key }) {
  return new Promise((resolve) => {
    const outgoing = request(url, { method, headers, ca, cert, key, agent: false }, (answer) => {
      const peer = answer.socket.getPeerCertificate()?.fingerprint256;
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('error', (error) => resolve({ error: String(error) }));
      answer.on('end', () =>
        resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts).toString(), peer }));
    });
    outgoing.on('error', (error) => resolve({ error: String(error.code ?? error) }));
    outgoing.end(body);
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await exchange(JSON.parse(line))));
}
