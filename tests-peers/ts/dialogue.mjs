// A scripted dialogue of an official TypeScript SDK with a server. Settings are JSON in the first argument:
//   { sdk: "v1" | "v2", era: "modern" | "legacy", url, nonce }
// One line of JSON on standard output per step: { step, said }. What differs from run to run is left out of `said`.

import * as v2 from '@modelcontextprotocol/client';
import { Client as V1Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as V1Transport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as v1Types from '@modelcontextprotocol/sdk/types.js';

const { sdk, era, url, nonce } = JSON.parse(process.argv[2]);
const identity = { name: 'dialogue', version: '1.0.0' };
const capabilities = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} };
const say = (step, said) => process.stdout.write(`${JSON.stringify({ step, said })}\n`);

const heard = [];
const questions = {
  'elicitation/create': ({ params }) => {
    heard.push({ question: params.message, mode: params.mode ?? 'form' });
    return params.mode === 'url' ? { action: 'accept' } : { action: 'accept', content: { response: 'yes', name: 'Ana', context: 'here' } };
  },
  'sampling/createMessage': ({ params }) => {
    heard.push({ sampled: params.messages[0].content.text ?? params.messages[0].content });
    return { model: 'none', role: 'assistant', content: { type: 'text', text: 'sampled' } };
  },
  'roots/list': () => { heard.push({ roots: true }); return { roots: [{ uri: 'file:///here', name: 'here' }] }; },
};
const notifications = {
  'notifications/message': ({ params }) => heard.push({ log: params.data, level: params.level }),
  'notifications/resources/updated': ({ params }) => { if (!heard.some((one) => one.updated)) heard.push({ updated: params.uri }); },
};

async function connect() {
  if (sdk === 'v1') {
    const client = new V1Client(identity, { capabilities });
    client.setRequestHandler(v1Types.ElicitRequestSchema, questions['elicitation/create']);
    client.setRequestHandler(v1Types.CreateMessageRequestSchema, questions['sampling/createMessage']);
    client.setRequestHandler(v1Types.ListRootsRequestSchema, questions['roots/list']);
    client.setNotificationHandler(v1Types.LoggingMessageNotificationSchema, notifications['notifications/message']);
    client.setNotificationHandler(v1Types.ResourceUpdatedNotificationSchema, notifications['notifications/resources/updated']);
    const transport = new V1Transport(new URL(url), { reconnectionOptions: { initialReconnectionDelay: 200, maxReconnectionDelay: 1000, reconnectionDelayGrowFactor: 1, maxRetries: 5 } });
    await client.connect(transport);
    return { client, version: transport.protocolVersion, end: async () => { await transport.terminateSession(); await client.close(); } };
  }
  const mode = era === 'modern' ? { pin: '2026-07-28' } : 'legacy';
  const client = new v2.Client(identity, { capabilities, versionNegotiation: { mode } });
  for (const [method, handler] of Object.entries(questions)) client.setRequestHandler(method, handler);
  for (const [method, handler] of Object.entries(notifications)) client.setNotificationHandler(method, handler);
  const transport = new v2.StreamableHTTPClientTransport(new URL(url), { reconnectionOptions: { initialReconnectionDelay: 200, maxReconnectionDelay: 1000, reconnectionDelayGrowFactor: 1, maxRetries: 5 } });
  await client.connect(transport);
  return { client, version: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion, end: async () => { if (era === 'legacy') await transport.terminateSession(); await client.close(); } };
}

const failure = (error) => ({ failed: String(error?.message ?? error), code: error?.code ?? null });
const plain = ({ _meta, ttlMs, cacheScope, resultType, ...rest }) => rest;
const names = (list, key = 'name') => list.map((one) => one[key]).sort();
const call = (name, args = {}, options) => sdk === 'v1' ? client.callTool({ name, arguments: args }, undefined, options) : client.callTool({ name, arguments: args }, options);

/** One step: what it brought, and what was heard on the way. */
async function step(name, act) {
  heard.length = 0;
  const brought = await Promise.resolve().then(act).then((result) => ({ result })).catch(failure);
  say(name, { ...brought, ...(heard.length ? { heard: [...heard] } : {}) });
}

const { client, version, end } = await connect().catch((error) => { say('connect', failure(error)); process.exit(1); });
say('connect', { version, server: client.getServerVersion()?.name ?? null, capabilities: client.getServerCapabilities(), instructions: client.getInstructions() ?? null });
await step('lists', async () => {
  const { tools } = await client.listTools();
  const structured = tools.find((tool) => tool.name === 'structured');
  return {
    tools: names(tools), structured: plain(structured),
    resources: names((await client.listResources()).resources, 'uri'),
    templates: (await client.listResourceTemplates()).resourceTemplates,
    prompts: (await client.listPrompts()).prompts.sort((one, other) => (one.name < other.name ? -1 : 1)),
  };
});
await step('text', async () => plain(await call('test_simple_text')));
await step('content', async () => plain(await call('test_multiple_content_types')));
await step('structured', async () => plain(await call('structured', { city: 'Kyiv' })));
await step('isError', async () => plain(await call('test_error_handling')));
await step('progress', async () => {
  const onprogress = ({ progress, total, message }) => heard.push({ progress, total, message });
  return plain(await call('test_tool_with_progress', {}, { onprogress }));
});
await step('cancel', async () => {
  const stop = new AbortController();
  const onprogress = () => setTimeout(() => stop.abort(), 50);
  const failed = await call('waits', { nonce }, { signal: stop.signal, onprogress }).then(() => false, () => true);
  return { failed };
});
await step('elicit', async () => plain(await call('test_elicitation', { message: 'May I?' })));
await step('elicit-url', async () => plain(await call('test_url_elicitation', { url: 'https://accounts.example/sign-in' })));
await step('sample', async () => plain(await call('test_sampling', { prompt: 'Say something' })));
if (era === 'modern') {
  await step('rounds', async () => plain(await call('test_input_required_result_multi_round')));
  await step('three', async () => plain(await call('test_input_required_result_multiple_inputs')));
}
await step('resource', async () => plain(await client.readResource({ uri: 'test://static-text' })));
await step('template', async () => plain(await client.readResource({ uri: 'test://template/7/data' })));
await step('no-resource', async () => plain(await client.readResource({ uri: 'test://nothing' })));
await step('prompt', async () => plain(await client.getPrompt({ name: 'test_prompt_with_arguments', arguments: { arg1: 'one', arg2: 'two' } })));
await step('no-prompt', async () => plain(await client.getPrompt({ name: 'nothing' })));
await step('complete', async () => plain(await client.complete({ ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' }, argument: { name: 'arg1', value: 'par' } })));
if (era === 'legacy') {
  await step('log', async () => { await client.setLoggingLevel('info'); return plain(await call('test_tool_with_logging')); });
  await step('ping', async () => plain(await client.ping()));
  await step('subscribe', async () => {
    await client.subscribeResource({ uri: 'test://watched-resource' });
    // The stream on which it is heard opens by itself: what happens before is heard by nobody.
    for (let tries = 0; tries < 160 && !heard.some((one) => one.updated); tries += 1) {
      if (tries % 10 === 0) await call('test_trigger_resource_update');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return plain(await client.unsubscribeResource({ uri: 'test://watched-resource' }));
  });
}
await step('large', async () => {
  const { content: [{ text }] } = await call('large', { bytes: 1_000_000 });
  return { length: text.length, only: /^x+$/.test(text) };
});
await step('slow', async () => plain(await call('slow', { ms: 700 })));
if (era === 'legacy') {
  await step('cut-by-server', async () => plain(await call('test_reconnection')));
  await step('cut-and-resume', async () => plain(await call('resumed', { nonce }, { onprogress: ({ message }) => heard.push({ message }) })));
} else {
  await step('cut', async () => plain(await call('cut', { nonce }, { timeout: 2000, onprogress: ({ message }) => heard.push({ message }) })));
  await step('cut-and-again', async () => plain(await call('cut', { nonce })));
}
await step('unknown-tool', async () => plain(await call('no_such_tool')));
await step('end', async () => { await end(); return {}; });
process.exit(0);
