// An MCP server over streamable HTTP that speaks 2026-07-28 and 2025-11-25 on one endpoint, for the conformance suites and
// the dialogues. It keeps to the specification's letter and shares no code with any SDK:
//   node fixture.mjs [--log FILE]      prints `listening ADDRESS`; the endpoint is /mcp
// Each line of the log is one JSON object: { kind, … }.

import { createServer } from 'node:http';
import { appendFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { begin, perform as performTask } from './fixture-tasks.mjs';
import { Wrong, about, definition, prompts, readResource, resources, templates, tools } from './fixture-content.mjs';

const MODERN = '2026-07-28';
const LEGACY = ['2025-11-25', '2025-06-18'];
const META = 'io.modelcontextprotocol/';
const INFO = { name: 'fixture', version: '1.0.0' };
const CAPABILITIES = {
  tools: { listChanged: true }, prompts: { listChanged: true }, resources: { subscribe: true, listChanged: true }, completions: {},
};
const CACHEABLE = new Set(['server/discover', 'tools/list', 'prompts/list', 'resources/list', 'resources/templates/list', 'resources/read']);
const LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];
const RETRY_MS = 100;

const logFile = process.argv.includes('--log') ? process.argv[process.argv.indexOf('--log') + 1] : null;
const note = (kind, more = {}) => { if (logFile) appendFileSync(logFile, `${JSON.stringify({ kind, ...more })}\n`); };

const sessions = new Map();
const listeners = new Set();

/** A stream of server-sent events that can be left and taken up again after its last event. */
class Stream {
  constructor(session) { Object.assign(this, { session, id: randomUUID(), events: [], response: null, ended: false }); }

  attach(response, after = -1) {
    this.response = response;
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', ...(this.session ? { 'mcp-session-id': this.session.id } : {}) });
    response.flushHeaders();
    response.on('close', () => { if (this.response === response) this.response = null; });
    if (after < 0 && this.session) this.response.write(`id: ${this.id}.0\nretry: ${RETRY_MS}\ndata: \n\n`);
    for (const event of this.events.slice(Math.max(after, 0))) response.write(event);
    if (this.ended) response.end();
  }

  send(message) {
    const number = this.events.length + 1;
    const event = `${this.session ? `id: ${this.id}.${number}\n` : ''}event: message\ndata: ${JSON.stringify(message)}\n\n`;
    this.events.push(event);
    this.response?.write(event);
  }

  leave() { const response = this.response; this.response = null; response?.end(); }
  end() { this.ended = true; this.response?.end(); }
}

class Session {
  constructor(version, capabilities) {
    Object.assign(this, { id: randomUUID(), version, capabilities, level: 'debug', streams: new Map(), pending: new Map(), running: new Map(), subscribed: new Set(), lastId: 0 });
  }

  open(stream = new Stream(this)) { this.streams.set(stream.id, stream); return stream; }
}

const notification = (method, params) => ({ jsonrpc: '2.0', method, params });

/** What a running request may do beside answering. */
function call({ session, stream, meta, id, capabilities, signal, inputs, state }) {
  const token = meta?.progressToken;
  const send = (message) => stream()?.send(message);
  const wanted = (level) => session
    ? LEVELS.indexOf(level) >= LEVELS.indexOf(session.level)
    : meta?.[`${META}logLevel`] && LEVELS.indexOf(level) >= LEVELS.indexOf(meta[`${META}logLevel`]);
  return {
    capabilities, inputs, state, signal, note,
    progress: (progress, total, message) => {
      if (token !== undefined) send(notification('notifications/progress', { progressToken: token, progress, ...(total === undefined ? {} : { total }), message }));
    },
    log: (level, data) => { if (wanted(level)) send(notification('notifications/message', { level, logger: 'fixture', data })); },
    closeStream: () => { if (session) stream().leave(); },
    breakOff: () => stream()?.response?.socket?.destroy(),
    changed: (kind) => broadcast(`notifications/${kind}/list_changed`, {}, (wants) => wants[`${kind}ListChanged`]),
    updated: (uri) => broadcast('notifications/resources/updated', { uri }, (wants) => wants.resourceSubscriptions?.includes(uri), (one) => one.subscribed.has(uri)),
    ask: async (key, request, answered) => {
      const kind = request.method.split('/')[0];
      if (!capabilities[kind]) return { isError: true, content: [{ type: 'text', text: `the client does not offer ${kind}` }] };
      if (!session) return inputs?.[key] ? answered(inputs[key]) : { inputRequests: { [key]: request } };
      const number = `ask-${session.lastId += 1}`;
      const answer = new Promise((resolve, reject) => session.pending.set(number, { resolve, reject }));
      send({ jsonrpc: '2.0', id: number, ...request });
      try {
        return answered(await answer);
      } catch (error) {
        return { isError: true, content: [{ type: 'text', text: `not answered: ${error.message}` }] };
      }
    },
  };
}

function broadcast(method, params, wanted, subscribed = () => true) {
  for (const { stream, wants, id } of listeners) {
    if (wanted(wants)) stream.send(notification(method, { ...params, _meta: { [`${META}subscriptionId`]: id } }));
  }
  for (const session of sessions.values()) if (subscribed(session)) session.standing?.send(notification(method, params));
}

/** The result of any request that is no part of a lifecycle. */
async function perform(method, params, context) {
  switch (method) {
    case 'tools/list': return { tools: Object.keys(tools).map(definition) };
    case 'tools/call': {
      if (!Object.hasOwn(tools, params.name ?? '')) throw new Wrong(-32602, `Unknown tool: ${params.name}`);
      note('call', { tool: params.name, arguments: params.arguments ?? {} });
      if (params.name === 'works_long') return begin(params.arguments ?? {}, context);
      return tools[params.name][2](params.arguments ?? {}, context);
    }
    case 'resources/list': return { resources };
    case 'resources/templates/list': return { resourceTemplates: templates };
    case 'resources/read': {
      note('read', { uri: params.uri });
      const contents = readResource(params.uri);
      if (!contents) throw new Wrong(context.session ? -32002 : -32602, 'Resource not found', { uri: params.uri });
      return { contents };
    }
    case 'prompts/list': return { prompts: Object.entries(prompts).map(([name, [about]]) => ({ name, ...about })) };
    case 'prompts/get': {
      if (!Object.hasOwn(prompts, params.name ?? '')) throw new Wrong(-32602, `Unknown prompt: ${params.name}`);
      note('prompt', { name: params.name, arguments: params.arguments ?? {} });
      return prompts[params.name][1](params.arguments ?? {}, context);
    }
    case 'completion/complete': {
      note('complete', { argument: params.argument });
      const values = ['paris', 'park', 'party'].filter((value) => value.startsWith(params.argument?.value ?? ''));
      return { completion: { values, total: values.length, hasMore: false } };
    }
    default: {
      const result = performTask(method, params, context);
      if (result === undefined) throw new Wrong(-32601, 'Method not found', undefined, 404);
      return result;
    }
  }
}

const json = (response, status, body, headers = {}) => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body === undefined ? '' : JSON.stringify(body));
};
const failed = (id, { code = -32603, message, data }) => ({ jsonrpc: '2.0', id: id ?? null, error: { code, message, ...(data === undefined ? {} : { data }) } });

const decoded = (value) => {
  const encoded = /^=\?base64\?(.*)\?=$/.exec(value ?? '')?.[1];
  return encoded === undefined ? value : Buffer.from(encoded, 'base64').toString();
};

async function modern(request, response, message) {
  const { id, method, params = {} } = message;
  const meta = params._meta;
  const refuse = (status, code, words, data) => json(response, status, failed(id, { code, message: words, data }));
  const version = request.headers['mcp-protocol-version'];
  const named = meta?.[`${META}protocolVersion`];
  if (id === undefined) return json(response, 202);
  if (!version) return refuse(400, -32020, 'MCP-Protocol-Version is missing');
  if (!named || typeof meta[`${META}clientCapabilities`] !== 'object') return refuse(400, -32602, '_meta is incomplete');
  if (version !== named) return refuse(400, -32020, 'MCP-Protocol-Version differs from _meta');
  if (named !== MODERN) return refuse(400, -32022, 'unsupported protocol version', { supported: [MODERN, ...LEGACY], requested: named });
  const name = { 'tools/call': params.name, 'prompts/get': params.name, 'resources/read': params.uri, 'tasks/get': params.taskId, 'tasks/update': params.taskId, 'tasks/cancel': params.taskId }[method];
  if (request.headers['mcp-method'] !== method) return refuse(400, -32020, 'Mcp-Method differs');
  if (name !== undefined && decoded(request.headers['mcp-name']) !== name) return refuse(400, -32020, 'Mcp-Name differs');
  if (method === 'subscriptions/listen') return listen(response, id, params.notifications ?? {});
  const gone = new AbortController();
  response.on('close', () => { if (!response.writableEnded) gone.abort(); });
  let stream = null;
  const streams = () => {
    if (!stream) { stream = new Stream(null); stream.attach(response); }
    return stream;
  };
  const finish = (answer, status) => {
    if (stream) { stream.send(answer); stream.end(); } else json(response, status, answer);
  };
  const context = call({ stream: streams, meta, id, capabilities: meta[`${META}clientCapabilities`], signal: gone.signal, inputs: params.inputResponses, state: params.requestState });
  try {
    const result = method === 'server/discover'
      ? { supportedVersions: [MODERN, ...LEGACY], capabilities: { ...CAPABILITIES, extensions: { 'io.modelcontextprotocol/tasks': {} } }, instructions: about.instructions, _meta: { [`${META}serverInfo`]: INFO } }
      : await perform(method, params, context);
    const resultType = result.inputRequests ? 'input_required' : 'complete';
    finish({ jsonrpc: '2.0', id, result: { resultType, ...(CACHEABLE.has(method) ? { ttlMs: 1000, cacheScope: 'private' } : {}), ...result } }, 200);
  } catch (error) {
    finish(failed(id, error), error.status ?? 200);
  }
}

function listen(response, id, asked) {
  const stream = new Stream(null);
  stream.attach(response);
  const listener = { stream, id, wants: asked };
  listeners.add(listener);
  response.on('close', () => listeners.delete(listener));
  stream.send(notification('notifications/subscriptions/acknowledged', { notifications: asked, _meta: { [`${META}subscriptionId`]: id } }));
}

async function legacy(request, response, message) {
  const { id, method, params = {} } = message;
  if (method === 'initialize') {
    const version = LEGACY.includes(params.protocolVersion) ? params.protocolVersion : LEGACY[0];
    const session = new Session(version, params.capabilities ?? {});
    sessions.set(session.id, session);
    note('initialize', { capabilities: session.capabilities, version });
    const result = { protocolVersion: version, capabilities: { ...CAPABILITIES, logging: {} }, serverInfo: INFO, instructions: about.instructions };
    return json(response, 200, { jsonrpc: '2.0', id, result }, { 'mcp-session-id': session.id });
  }
  // Discovery by a modern client is an unknown method here only if it does not say its revision.
  const handle = request.headers['mcp-session-id'];
  if (!handle) return json(response, 400, failed(id, { code: -32000, message: 'no session' }));
  const session = sessions.get(handle);
  if (!session) return json(response, 404, failed(id, { code: -32001, message: 'no such session' }));
  if (method === undefined) return answered(response, session, message);
  if (id === undefined) {
    if (method === 'notifications/cancelled') {
      note('notified', { method, known: session.running.has(params.requestId) });
      session.running.get(params.requestId)?.abort();
    }
    return json(response, 202);
  }
  const own = ownMethod(session, method, params);
  if (own) return json(response, own.error ? 200 : 200, { jsonrpc: '2.0', id, ...own });
  const abort = new AbortController();
  session.running.set(id, abort);
  const streams = method === 'tools/call' ? session.open() : null;
  streams?.attach(response);
  const finish = (answer) => {
    session.running.delete(id);
    if (abort.signal.aborted) return streams ? streams.end() : response.end();
    if (streams) { streams.send(answer); streams.end(); } else json(response, 200, answer);
  };
  const context = call({ session, stream: () => streams, meta: params._meta, id, capabilities: session.capabilities, signal: abort.signal });
  try {
    finish({ jsonrpc: '2.0', id, result: await perform(method, params, { ...context, session }) });
  } catch (error) {
    finish(failed(id, error));
  }
}

/** The requests that only a session has. */
function ownMethod(session, method, params) {
  switch (method) {
    case 'ping': return { result: {} };
    case 'logging/setLevel':
      if (!LEVELS.includes(params.level)) return { error: { code: -32602, message: 'no such level' } };
      session.level = params.level;
      return { result: {} };
    case 'resources/subscribe': session.subscribed.add(params.uri); note('subscribe', { uri: params.uri }); return { result: {} };
    case 'resources/unsubscribe': session.subscribed.delete(params.uri); return { result: {} };
    default: return null;
  }
}

function answered(response, session, message) {
  const waiting = session.pending.get(message.id);
  session.pending.delete(message.id);
  note('answer', { id: message.id, known: Boolean(waiting), result: message.result, error: message.error });
  if (message.error) waiting?.reject(new Error(message.error.message)); else waiting?.resolve(message.result);
  json(response, 202);
}

function standing(request, response) {
  const session = sessions.get(request.headers['mcp-session-id']);
  if (!session) return json(response, request.headers['mcp-session-id'] ? 404 : 400, failed(null, { code: -32000, message: 'no session' }));
  const last = request.headers['last-event-id'];
  if (last) {
    const [id, number] = last.split('.');
    const stream = session.streams.get(id);
    if (!stream) return json(response, 404, failed(null, { code: -32000, message: 'no such event' }));
    note('resumed', { after: Number(number) });
    stream.leave();
    return stream.attach(response, Number(number));
  }
  if (session.standing?.response) return json(response, 409, failed(null, { code: -32000, message: 'one such stream is open' }));
  session.standing = session.open();
  session.standing.attach(response);
}

const local = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/;
const server = createServer(async (request, response) => {
  const { origin, host } = request.headers;
  note('request', { method: request.method, headers: request.headers });
  if (!local.test(host ?? '') || (origin && !local.test(origin.replace(/^https?:\/\//, '')))) return json(response, 403, failed(null, { code: -32000, message: 'not here' }));
  if (request.url !== '/mcp') return json(response, 404, failed(null, { code: -32000, message: 'not here' }));
  const isModern = request.headers['mcp-protocol-version'] === MODERN;
  if (request.method === 'GET') return isModern ? json(response, 405) : standing(request, response);
  if (request.method === 'DELETE') {
    if (isModern) return json(response, 405);
    const known = sessions.delete(request.headers['mcp-session-id']);
    note('deleted', { known });
    return json(response, known ? 200 : 404);
  }
  if (request.method !== 'POST') return json(response, 405);
  const parts = [];
  for await (const part of request) parts.push(part);
  let message;
  try { message = JSON.parse(Buffer.concat(parts)); } catch { return json(response, 400, failed(null, { code: -32700, message: 'not JSON' })); }
  const named = message?.params?._meta?.[`${META}protocolVersion`];
  const version = request.headers['mcp-protocol-version'];
  const lives = message.method !== 'initialize' || named;
  // A client that names the revision before headers had one is in a session as well.
  const old = LEGACY.includes(version) || version === '2025-03-26';
  return lives && (named || (version && !old)) ? modern(request, response, message) : legacy(request, response, message);
});
server.listen(0, '127.0.0.1', () => console.log(`listening 127.0.0.1:${server.address().port}`));
