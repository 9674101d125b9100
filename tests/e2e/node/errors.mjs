// One failing request through the official Node SDK; what the SDK made of it is printed as one line of JSON.
// BASE_URL says where, STREAM and HELPER how the answer is read, API_KEY who asks.

import OpenAI from 'openai';

const client = new OpenAI({
  baseURL: process.env.BASE_URL,
  apiKey: process.env.API_KEY ?? 'none',
  maxRetries: 0,
  timeout: 10_000,
});
const request = { model: process.env.MODEL ?? 'm', messages: [{ role: 'user', content: 'hi' }] };

async function read(way) {
  let heard = '';
  try {
    if (way === 'whole') {
      heard = (await client.chat.completions.create(request)).choices[0].message.content;
    } else if (way === 'stream') {
      for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
        heard += chunk.choices[0]?.delta.content ?? '';
      }
    } else {
      const stream = client.chat.completions.stream(request);
      stream.on('content', (delta) => (heard += delta));
      await stream.finalChatCompletion();
    }
    return { way, heard, error: null };
  } catch (error) {
    const { status = null, code = null, type = null, message } = error;
    return { way, heard, error: error.constructor.name, status, code, type, message };
  }
}

for (const way of ['whole', 'stream', 'helper']) {
  console.log(JSON.stringify(await read(way)));
}
