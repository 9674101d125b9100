// A real browser and the gateway: BASE_URL says where it is, MODEL and API_KEY what to ask it with.
// The page comes from PAGE_PORT of 127.0.0.1, an origin that may ask, and of localhost, one that may not. Served is
// nothing but itself and the official SDK's modules; whatever is said to the gateway is said in the page.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import chromium from '@sparticuz/chromium';
import puppeteer from 'puppeteer-core';

const { BASE_URL: gateway, MODEL: model, API_KEY: key, PAGE_PORT: port } = process.env;
const request = { model, messages: [{ role: 'user', content: 'Count to 20, please.' }], stream: true };
const COUNTED = Array.from({ length: 20 }, (_, number) => number + 1).join(', ') + '.';
const SDK = fileURLToPath(new URL('.', import.meta.resolve('openai')));

const origin = `http://127.0.0.1:${port}/`;
let browser, page, pages;
const complaints = [];

before(async () => {
  pages = createServer(async ({ url }, response) => {
    const path = new URL(url, 'http://page').pathname;
    if (path === '/') return response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>A chat</title>');
    const module = await readFile(SDK + path.slice('/openai/'.length)).catch(() => null);
    if (module === null) return response.writeHead(404).end();
    response.setHeader('Content-Type', 'text/javascript').end(module);
  });
  await new Promise((listens) => pages.listen(Number(port), '127.0.0.1', listens));
  browser = await puppeteer.launch({
    executablePath: await chromium.executablePath(),
    headless: 'shell',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server', '--disable-background-networking'],
  });
  page = await browser.newPage();
  page.on('console', (message) => ['error', 'warning', 'warn'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
});

after(async () => {
  await browser?.close();
  pages.close();
});

async function visit(address) {
  complaints.length = 0;
  await page.goto(address);
}

test('a page of another origin reads a stream as it comes', async () => {
  await visit(origin);
  const told = await page.evaluate(
    async (gateway, key, request) => {
      const response = await fetch(`${gateway}/v1/chat/completions`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
        body: JSON.stringify(request),
      });
      const reads = [];
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let read; !(read = await reader.read()).done; ) reads.push(read.value);
      return { status: response.status, id: response.headers.get('x-request-id'), reads };
    },
    gateway, key, request,
  );
  const events = told.reads.join('').split('\n\n').filter((event) => event.startsWith('data: '));
  const words = events.slice(0, -1).map((event) => JSON.parse(event.slice(6)).choices[0].delta.content ?? '');
  assert.equal(told.status, 200);
  assert.match(told.id, /^req_/);
  assert.equal(words.join(''), COUNTED);
  assert.equal(events.at(-1), 'data: [DONE]');
  assert.ok(told.reads.length > 5, `only ${told.reads.length} reads`);
  assert.deepEqual(complaints, []);
});

test('the official SDK streams in a page', async () => {
  await visit(origin);
  const told = await page.evaluate(
    async (gateway, key, request) => {
      const { default: OpenAI } = await import('/openai/index.mjs');
      const client = new OpenAI({ baseURL: `${gateway}/v1`, apiKey: key, dangerouslyAllowBrowser: true, maxRetries: 0 });
      const words = [];
      for await (const chunk of await client.chat.completions.create(request))
        words.push(chunk.choices[0]?.delta.content ?? '');
      const models = await client.models.list();
      const refused = await client.chat.completions.create({ ...request, temperature: 'hot' }).catch((error) => error);
      return { words: words.join(''), models: models.data.map(({ id }) => id), error: [refused.status, refused.param] };
    },
    gateway, key, request,
  );
  assert.equal(told.words, COUNTED);
  assert.ok(told.models.includes(model));
  assert.deepEqual(told.error, [400, 'temperature']);
});

test('a page that is not allowed hears nothing', async () => {
  await visit(origin.replace('127.0.0.1', 'localhost'));
  const told = await page.evaluate(
    async (gateway, key) =>
      fetch(`${gateway}/v1/models`, { headers: { Authorization: `Bearer ${key}` } }).then(
        (response) => response.status,
        (error) => error.name,
      ),
    gateway, key,
  );
  assert.equal(told, 'TypeError');
});

test('the documentation shows the routes and loads nothing that its policy forbids', async () => {
  const asked = [];
  page.on('request', (one) => asked.push(one.url()));
  await visit(`${gateway}/docs`);
  const shown = () => document.querySelector('rapi-doc')?.shadowRoot?.textContent ?? '';
  await page.waitForFunction(`(${shown})().includes('/v1/chat/completions')`, { timeout: 15_000 });
  assert.deepEqual(complaints, []);
  assert.deepEqual(asked.filter((url) => !url.startsWith(`${gateway}/`) && !url.startsWith('data:')), []);
});
