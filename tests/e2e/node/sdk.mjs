// The official Node SDK against a live gateway: BASE_URL and MODEL say where and what to ask.
// Each test looks at the SDK's own objects only. Node's test runner sets the exit code.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

const model = process.env.MODEL;
const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: 'none', maxRetries: 0, timeout: 10_000 });
const chat = client.chat.completions;

const asking = (content) => [{ role: 'user', content }];
const COUNTING = asking('Count to 20, please.');
const COUNTED = Array.from({ length: 20 }, (_, number) => number + 1).join(', ') + '.';
const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
      additionalProperties: false,
    },
  },
};
const Journey = z.object({
  stops: z.array(z.object({ name: z.string(), minutes: z.number().int() })),
  byTrain: z.boolean(),
});

async function streamed(more = {}) {
  const chunks = [];
  for await (const chunk of await chat.create({ model, messages: COUNTING, stream: true, ...more })) {
    chunks.push(chunk);
  }
  return chunks;
}

const textOf = (chunks, index = 0, member = 'content') =>
  chunks
    .flatMap((chunk) => chunk.choices)
    .filter((choice) => choice.index === index)
    .map((choice) => choice.delta[member] ?? '')
    .join('');

test('a stream has one identity, one role and one end', async () => {
  const chunks = await streamed();
  assert.equal(textOf(chunks), COUNTED);
  assert.deepEqual([...new Set(chunks.map((chunk) => chunk.model))], [model]);
  assert.equal(new Set(chunks.map((chunk) => `${chunk.id} ${chunk.created} ${chunk.object}`)).size, 1);
  assert.deepEqual(chunks.map((chunk) => chunk.choices[0].delta.role).filter(Boolean), ['assistant']);
  assert.deepEqual(chunks.map((chunk) => chunk.choices[0].finish_reason).filter(Boolean), ['stop']);
  assert.ok(chunks.every((chunk) => !chunk.usage));
});

test('a whole answer says the same and carries its request id', async () => {
  const { data, request_id: id } = await chat.create({ model, messages: COUNTING }).withResponse();
  assert.equal(data.choices[0].message.content, COUNTED);
  assert.equal(data._request_id, id);
  assert.match(id, /^req_/);
  assert.equal(data.usage.completion_tokens, 40);
});

test('usage is the last chunk, when asked for', async () => {
  const chunks = await streamed({ stream_options: { include_usage: true } });
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 40);
  assert.ok(chunks.slice(0, -1).every((chunk) => !chunk.usage));
});

test('stop, limits, refusals and reasoning', async () => {
  assert.equal(textOf(await streamed({ stop: '5' })), '1, 2, 3, 4, ');
  assert.equal((await streamed({ max_tokens: 5 })).at(-1).choices[0].finish_reason, 'length');
  assert.match(textOf(await streamed({ messages: asking('Refuse this.') }), 0, 'refusal'), /help with that/);
  const chunks = await streamed({ reasoning_effort: 'medium' });
  assert.match(textOf(chunks, 0, 'reasoning_content'), /^The user wants/);
  assert.equal(textOf(chunks), COUNTED);
});

test('the helper tells everything that happens', async () => {
  const heard = { content: '', chunks: 0, done: [], finals: [] };
  const stream = chat.stream({ model, messages: COUNTING, stream_options: { include_usage: true } });
  stream.on('chunk', () => (heard.chunks += 1));
  stream.on('content', (delta) => (heard.content += delta));
  stream.on('content.done', (event) => heard.done.push(event.content));
  stream.on('finalContent', (content) => heard.finals.push(content));
  const final = await stream.finalChatCompletion();
  assert.equal(heard.content, COUNTED);
  assert.deepEqual(heard.done, [COUNTED]);
  assert.deepEqual(heard.finals, [COUNTED]);
  assert.ok(heard.chunks > 20);
  assert.equal(final.choices[0].message.content, COUNTED);
  assert.equal(final.choices[0].message.role, 'assistant');
  assert.equal(final.choices[0].finish_reason, 'stop');
  assert.equal((await stream.totalUsage()).completion_tokens, 40);
});

test('the helper puts tool calls together', async () => {
  const stream = chat.stream({ model, messages: asking('Weather in Paris?'), tools: [WEATHER] });
  let pieces = '';
  const done = [];
  stream.on('tool_calls.function.arguments.delta', (event) => (pieces += event.arguments_delta));
  stream.on('tool_calls.function.arguments.done', (event) => done.push(event));
  const { choices } = await stream.finalChatCompletion();
  const [call, ...others] = choices[0].message.tool_calls;
  assert.equal(others.length, 0);
  assert.equal(call.type, 'function');
  assert.equal(call.function.name, 'get_weather');
  assert.equal(call.function.arguments, pieces);
  assert.deepEqual(done.map((event) => [event.index, event.name, event.arguments]), [[0, 'get_weather', pieces]]);
  assert.equal(choices[0].finish_reason, 'tool_calls');
});

test('logprobs survive beside the words', async () => {
  const stream = chat.stream({ model, messages: COUNTING, logprobs: true, top_logprobs: 1 });
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].logprobs.content.map((token) => token.token).join(''), COUNTED);
});

for (const stream of [false, true]) {
  test(`runTools runs the tool and hears the answer (stream: ${stream})`, async () => {
    const calls = [];
    const parameters = z.object({ city: z.string() });
    const tool = zodFunction({
      name: 'get_weather',
      parameters,
      function: (given) => {
        calls.push(parameters.parse(given));
        return 'Rain, 12 degrees.';
      },
    });
    const runner = chat.runTools({ model, stream, messages: asking('Weather in Paris?'), tools: [tool] });
    assert.match(await runner.finalContent(), /Rain, 12 degrees\./);
    assert.equal(calls.length, 1);
    assert.deepEqual(runner.messages.map((message) => message.role), ['user', 'assistant', 'tool', 'assistant']);
  });
}

test('answers are parsed into a schema', async () => {
  const format = { response_format: zodResponseFormat(Journey, 'journey'), messages: asking('Plan a journey.') };
  const whole = await chat.parse({ model, ...format });
  assert.deepEqual(Journey.parse(whole.choices[0].message.parsed), whole.choices[0].message.parsed);
  const final = await chat.stream({ model, ...format }).finalChatCompletion();
  assert.deepEqual(final.choices[0].message.parsed, whole.choices[0].message.parsed);
  await assert.rejects(chat.parse({ model, ...format, max_tokens: 3 }), OpenAI.LengthFinishReasonError ?? /length/);
});

test('models are listed and retrieved, whatever is in their names', async () => {
  const ids = [];
  for await (const listed of client.models.list()) ids.push(listed.id);
  assert.ok(ids.includes(model));
  assert.equal((await client.models.retrieve(model)).id, model);
  const missing = await client.models.retrieve('no/such:model').catch((error) => error);
  assert.ok(missing instanceof OpenAI.NotFoundError);
  assert.deepEqual([missing.code, missing.param, missing.status], ['model_not_found', 'model', 404]);
});

test('many answers at once do not mix', async () => {
  const said = Array.from({ length: 40 }, (_, number) => `this is ${number} of many`);
  const heard = await Promise.all(
    said.map(async (one) => textOf(await streamed({ messages: asking(`repeat: ${one}`) }))),
  );
  assert.deepEqual(heard, said);
});

test('words in every script arrive unharmed', async () => {
  const said = 'naïve 少しずつ 🚀👩‍👩‍👧 "quoted" \\ back\u2028line\u2029paragraph\u0085end';
  assert.equal(textOf(await streamed({ messages: asking(`repeat: ${said}`) })), said);
});

test('a mistake is a BadRequestError that names the parameter', async () => {
  const error = await chat.create({ model, messages: COUNTING, temperature: 'warm' }).catch((caught) => caught);
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.deepEqual([error.status, error.param, error.code], [400, 'temperature', 'invalid_type']);
  assert.equal(error.type, 'invalid_request_error');
  assert.match(error.requestID, /^req_/);
});
