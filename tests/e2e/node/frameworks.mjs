// Two frameworks that speak to OpenAI-shaped servers, as their users set them up: the Vercel AI SDK with its
// openai-compatible provider, and LangChain's ChatOpenAI.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { HumanMessage } from '@langchain/core/messages';
import { tool as langchainTool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { generateText, isStepCount, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

const { BASE_URL: baseURL, MODEL: model } = process.env;
const COUNTED = Array.from({ length: 20 }, (_, number) => number + 1).join(', ') + '.';
const city = z.object({ city: z.string() });

const vercel = createOpenAICompatible({ name: 'deltawire', baseURL, apiKey: 'none', includeUsage: true })(model);

test('Vercel AI SDK: a stream, its reasoning and its usage', async () => {
  const result = streamText({ model: vercel, prompt: 'Count to 20, please.', maxRetries: 0 });
  let text = '';
  for await (const piece of result.textStream) text += piece;
  assert.equal(text, COUNTED);
  assert.equal(await result.finishReason, 'stop');
  assert.equal((await result.usage).outputTokens, 40);
  const thinking = streamText({
    model: vercel,
    prompt: 'Count to 20, please.',
    providerOptions: { deltawire: { reasoningEffort: 'medium' } },
  });
  assert.equal(await thinking.text, COUNTED);
  assert.match(await thinking.reasoningText, /^The user wants/);
});

test('Vercel AI SDK: a tool is run and its result heard', async () => {
  const calls = [];
  const weather = tool({
    description: 'The weather in a city.',
    inputSchema: city,
    execute: async (input) => {
      calls.push(input);
      return 'Rain, 12 degrees.';
    },
  });
  const options = { model: vercel, prompt: 'Weather in Paris?', tools: { weather } };
  const { text } = await generateText({ ...options, stopWhen: (stepCountIs ?? isStepCount)(3) });
  assert.match(text, /Rain, 12 degrees\./);
  assert.equal(calls.length, 1);
});

const langchain = new ChatOpenAI({
  model,
  apiKey: 'none',
  maxRetries: 0,
  streamUsage: true,
  configuration: { baseURL },
});

test('LangChain: invoke and stream', async () => {
  const message = await langchain.invoke('Count to 20, please.');
  assert.equal(message.content, COUNTED);
  assert.equal(message.usage_metadata.output_tokens, 40);
  let whole;
  for await (const piece of await langchain.stream([new HumanMessage('Count to 20, please.')])) {
    whole = whole ? whole.concat(piece) : piece;
  }
  assert.equal(whole.content, COUNTED);
  assert.equal(whole.usage_metadata.output_tokens, 40);
});

test('LangChain: a streamed tool call', async () => {
  const weather = langchainTool(async () => 'Rain.', { name: 'get_weather', schema: city });
  let whole;
  for await (const piece of await langchain.bindTools([weather]).stream('Weather in Paris?')) {
    whole = whole ? whole.concat(piece) : piece;
  }
  assert.equal(whole.tool_calls.length, 1);
  assert.equal(whole.tool_calls[0].name, 'get_weather');
  assert.ok(city.safeParse(whole.tool_calls[0].args).success);
});
