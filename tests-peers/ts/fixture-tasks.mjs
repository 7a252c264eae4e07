// Tasks as the extension `io.modelcontextprotocol/tasks` (2026-07-28) has them: one that asks for a word before it ends.

import { randomUUID } from 'node:crypto';
import { Wrong } from './fixture-content.mjs';

const EXTENSION = 'io.modelcontextprotocol/tasks';
const tasks = new Map();

const now = () => new Date().toISOString();
const seed = ({ id, status, createdAt }) => ({ taskId: id, status, createdAt, lastUpdatedAt: now(), ttlMs: 60_000, pollIntervalMs: 20 });
const question = {
  method: 'elicitation/create',
  params: { mode: 'form', message: 'Which word?', requestedSchema: { type: 'object', properties: { word: { type: 'string' } }, required: ['word'] } },
};

/** A task instead of a result, for a client that takes one. */
export function begin(args, call) {
  if (!call.capabilities.extensions?.[EXTENSION]) return { content: [{ type: 'text', text: 'done at once' }] };
  const task = { id: randomUUID(), status: 'working', createdAt: now(), asks: args.asks === true, note: call.note };
  tasks.set(task.id, task);
  return { resultType: 'task', ...seed(task) };
}

/** The methods of the extension; undefined if it is none of them. */
export function perform(method, params, context) {
  if (!['tasks/get', 'tasks/update', 'tasks/cancel'].includes(method) || context.session) return undefined;
  const task = tasks.get(params.taskId);
  if (!task) throw new Wrong(-32602, 'Failed to retrieve task: Task not found');
  context.note('task', { method, id: task.id });
  if (method === 'tasks/cancel') {
    task.status = 'cancelled';
    return {};
  }
  if (method === 'tasks/update') {
    const word = params.inputResponses?.word?.content?.word;
    if (word !== undefined) Object.assign(task, { status: 'completed', result: { content: [{ type: 'text', text: `the word is ${word}` }] } });
    return {};
  }
  const told = { resultType: 'complete', ...seed(task), ...(task.result ? { result: task.result } : {}), ...(task.status === 'input_required' ? { inputRequests: { word: question } } : {}) };
  // What a poll finds moves on with the next one.
  if (task.status === 'working') {
    if (task.asks) task.status = 'input_required';
    else Object.assign(task, { status: 'completed', result: { content: [{ type: 'text', text: 'worked' }] } });
  }
  return told;
}
