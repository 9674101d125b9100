// Leaves an endless stream in the way argv names, says so, and stays alive until its input ends: so that what
// the gateway notices is the SDK closing the stream and not the end of this process.

import OpenAI from 'openai';

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: 'none', maxRetries: 0 });
const request = { model: 'm', messages: [{ role: 'user', content: 'hi' }], stream: true };

const ways = {
  async break() {
    for await (const chunk of await client.chat.completions.create(request)) if (chunk.choices.length) break;
  },
  async abort() {
    const stream = await client.chat.completions.create(request);
    for await (const chunk of stream) if (chunk.choices.length) stream.controller.abort();
  },
  async signal() {
    const control = new AbortController();
    try {
      for await (const _ of await client.chat.completions.create(request, { signal: control.signal }))
        control.abort();
    } catch (error) {
      if (!(error instanceof OpenAI.APIUserAbortError) && error.name !== 'AbortError') throw error;
    }
  },
  async helper() {
    const stream = client.chat.completions.stream(request);
    stream.on('content', () => stream.abort());
    try {
      await stream.done();
    } catch (error) {
      if (!(error instanceof OpenAI.APIUserAbortError)) throw error;
    }
  },
};

await ways[process.argv[2]]();
console.log('left');
process.stdin.resume();
