// The official Node SDK keeps, lists, reads and deletes files at a live gateway: BASE_URL says where.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import OpenAI, { toFile } from 'openai';

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: 'none', maxRetries: 0, timeout: 10_000 });

async function gathered(list) {
  const ids = [];
  for await (const one of list) ids.push(one.id);
  return ids;
}

test('files are kept, listed, read and deleted', async () => {
  const name = 'wörter "und" mehr.txt';
  const kept = await client.files.create({
    file: await toFile(Buffer.from('some words'), name),
    purpose: 'user_data',
    expires_after: { anchor: 'created_at', seconds: 7200 },
  });
  assert.equal(kept.filename, name);
  assert.equal(kept.bytes, 10);
  assert.equal(kept.expires_at, kept.created_at + 7200);
  const other = await client.files.create({ file: await toFile(Buffer.alloc(300_000, 7), 'b'), purpose: 'batch' });

  assert.deepEqual(await client.files.retrieve(kept.id), kept);
  assert.deepEqual(await gathered(client.files.list({ limit: 1 })), [other.id, kept.id]);
  assert.deepEqual(await gathered(client.files.list({ purpose: 'user_data' })), [kept.id]);
  assert.equal(await (await client.files.content(kept.id)).text(), 'some words');
  assert.equal((await (await client.files.content(other.id)).arrayBuffer()).byteLength, 300_000);

  assert.deepEqual(await client.files.delete(kept.id), { id: kept.id, object: 'file', deleted: true });
  await assert.rejects(client.files.retrieve(kept.id), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.param, 'id');
    return true;
  });
  await assert.rejects(client.files.create({ file: await toFile(Buffer.from('x'), 'x'), purpose: 'fun' }), {
    status: 400,
    param: 'purpose',
  });
});

test('a file comes in parts', async () => {
  const pieces = [Buffer.alloc(70_000, 1), Buffer.alloc(30_000, 2)];
  const upload = await client.uploads.create({
    bytes: 100_000,
    filename: 'parts.bin',
    mime_type: 'application/octet-stream',
    purpose: 'user_data',
  });
  const parts = [];
  for (const piece of pieces) {
    parts.push(await client.uploads.parts.create(upload.id, { data: await toFile(piece, 'piece') }));
  }
  const md5 = createHash('md5').update(Buffer.concat(pieces)).digest('hex');
  const done = await client.uploads.complete(upload.id, { part_ids: parts.map((part) => part.id), md5 });
  assert.equal(done.status, 'completed');
  const content = Buffer.from(await (await client.files.content(done.file.id)).arrayBuffer());
  assert.ok(content.equals(Buffer.concat(pieces)));
});
