import { describe, expect, test, vi } from 'vitest';

import { noise, sha256, type Fault } from '../../support/server.js';
import { CHUNK, CONTENT, contentOf, ETAG, Fixture, reports, SIZE } from './fixture.js';

const fixture = new Fixture();

describe('a model that is not stored', () => {
  test('comes in one request, and without any the next time', async () => {
    fixture.serve();
    const name = fixture.newName();
    const store = await fixture.store(name);
    expect(await contentOf(await store.get(fixture.model()))).toEqual(CONTENT);
    expect(fixture.server.log).toHaveLength(1);

    fixture.server.forget();
    const later = await fixture.store(name);
    expect(await contentOf(await later.get(fixture.model()))).toEqual(CONTENT);
    expect(fixture.server.log).toHaveLength(0);
  });

  test('comes in shards where its source has them, a Blob each', async () => {
    const [first, second] = [noise(2_300, 'first'), noise(1_700, 'second')];
    fixture.serve(first, ETAG, '/a');
    fixture.serve(second, ETAG, '/b');
    const store = await fixture.store();
    const blobs = await store.get({
      id: 'sharded',
      files: [
        { url: '/a', size: first.length, sha256: sha256(first) },
        { url: '/b', size: second.length, sha256: sha256(second) },
      ],
    });
    expect(blobs).toHaveLength(2);
    expect(await contentOf(blobs.slice(0, 1))).toEqual(first);
    expect(await contentOf(blobs.slice(1))).toEqual(second);
  });

  test('is asked its length where the source does not say', async () => {
    fixture.serve();
    const store = await fixture.store();
    const blobs = await store.get({ id: 'bare', files: [{ url: '/model.gguf' }] });
    expect(await contentOf(blobs)).toEqual(CONTENT);
    expect(fixture.server.log.map((asked) => asked.method)).toEqual(['HEAD', 'GET']);
  });

  test('reports bytes up to the whole, and the length of it', async () => {
    fixture.serve();
    const { all, onProgress } = reports();
    await (await fixture.store()).get(fixture.model(), { onProgress });
    expect(all.at(-1)).toMatchObject({ phase: 'download', loaded: SIZE, total: SIZE });
    const loaded = all.map((progress) => progress.loaded);
    expect(loaded).toEqual([...loaded].sort((one, other) => one - other));
  });
});

interface Case {
  readonly what: string;
  readonly faults: readonly Fault[];
  /** Bytes of the file that the server may send in all. */
  readonly budget: number;
  readonly waits: readonly number[];
}

const MENDED: readonly Case[] = [
  {
    what: 'a connection that breaks twice',
    faults: [
      { kind: 'cut', after: 1_700 },
      { kind: 'cut', after: 300 },
    ],
    budget: SIZE,
    waits: [1_000, 1_000],
  },
  {
    what: 'a body that ends early',
    faults: [{ kind: 'short', after: 2_500 }],
    budget: SIZE,
    waits: [1_000],
  },
  {
    what: 'a server that goes silent',
    faults: [{ kind: 'stall', after: 1_200 }],
    budget: SIZE,
    waits: [1_000],
  },
  {
    what: 'a server that never answers',
    faults: [{ kind: 'stall', after: null }],
    budget: SIZE,
    waits: [1_000],
  },
  {
    what: 'a server that is busy, whose wait is longer than ours',
    faults: [{ kind: 'status', status: 429, headers: { 'Retry-After': '7' } }],
    budget: SIZE,
    waits: [7_000],
  },
  {
    what: 'a server that asks for a wait of a day',
    faults: [{ kind: 'status', status: 503, headers: { 'Retry-After': '86400' } }],
    budget: SIZE,
    waits: [300_000],
  },
  {
    what: 'errors of a server, each wait twice the last',
    faults: [500, 502, 504].map((status) => ({ kind: 'status', status })),
    budget: SIZE,
    waits: [1_000, 2_000, 4_000],
  },
  {
    what: 'a server without ranges after a broken connection: it sends what is there once more',
    faults: [{ kind: 'cut', after: 2_500 }, { kind: 'no-range' }],
    budget: 2_500 + SIZE,
    waits: [1_000],
  },
  {
    what: 'a 206 that begins elsewhere',
    faults: [
      { kind: 'cut', after: 2_500 },
      { kind: 'wrong-range', by: -100 },
    ],
    budget: SIZE + 2_100,
    waits: [1_000, 2_000],
  },
];

describe.each(MENDED)('$what', ({ faults, budget, waits }) => {
  test('ends with the right bytes, and asks for none in vain', async () => {
    fixture.serve();
    fixture.server.faults.push(...faults);
    const store = await fixture.store(undefined, 1_000);
    expect(await contentOf(await store.get(fixture.model()))).toEqual(CONTENT);
    expect(fixture.server.sent).toBeLessThanOrEqual(budget);
    expect(fixture.waits).toEqual(waits);
  });
});

describe.each([408, 425, 429, 500, 502, 503, 504])('an answer of %i', (status) => {
  test('is tried again, for a file and for its length', async () => {
    fixture.serve();
    fixture.server.faults.push({ kind: 'status', status }); // of the HEAD
    const store = await fixture.store();
    const blobs = store.get({ id: 'bare', files: [{ url: '/model.gguf' }] });
    expect(await contentOf(await blobs)).toEqual(CONTENT);
    fixture.server.faults.push({ kind: 'status', status });
    expect(await contentOf(await store.get(fixture.model()))).toEqual(CONTENT);
    expect(fixture.waits).toEqual([1_000, 1_000]);
  });
});

describe('what no further try mends', () => {
  test.each([400, 401, 403, 404, 410, 451, 501])('an answer of %i is final', async (status) => {
    fixture.serve();
    fixture.server.faults.push({ kind: 'status', status });
    const failing = (await fixture.store()).get(fixture.model());
    await expect(failing).rejects.toMatchObject({ code: 'http-status', status });
    expect(fixture.waits).toEqual([]);
  });

  test('a file that is not there is an error at once', async () => {
    const failing = (await fixture.store()).get(fixture.model());
    await expect(failing).rejects.toMatchObject({ code: 'http-status', status: 404 });
    expect(fixture.waits).toEqual([]);
  });

  test('a server that only fails is given up after a few tries', async () => {
    fixture.serve();
    for (let tries = 0; tries < 9; tries += 1)
      fixture.server.faults.push({ kind: 'status', status: 500 });
    const failing = (await fixture.store()).get(fixture.model());
    await expect(failing).rejects.toMatchObject({ code: 'http-status', status: 500 });
    expect(fixture.server.log).toHaveLength(4);
  });

  test('a server that sends other ranges each time is named so', async () => {
    fixture.serve();
    fixture.server.faults.push({ kind: 'cut', after: 1_500 });
    for (let tries = 0; tries < 9; tries += 1)
      fixture.server.faults.push({ kind: 'wrong-range', by: 1 });
    const failing = (await fixture.store()).get(fixture.model());
    await expect(failing).rejects.toMatchObject({ code: 'range-not-honoured' });
  });

  test('a lost host fails after its tries, a lost network at once', async () => {
    const model = fixture.model({ files: [{ url: 'http://127.0.0.1:9/m', size: SIZE }] });
    const store = await fixture.store();
    await expect(store.get(model)).rejects.toMatchObject({ code: 'download-failed' });
    expect(fixture.waits).toHaveLength(3);
    fixture.online = false;
    await expect(store.get(model)).rejects.toMatchObject({ code: 'offline' });
    expect(fixture.waits).toHaveLength(3);
  });

  test('wrong bytes of the right length are deleted', async () => {
    fixture.serve();
    fixture.server.faults.push({ kind: 'wrong-byte', at: 3_210 });
    const store = await fixture.store();
    await expect(store.get(fixture.model())).rejects.toMatchObject({ code: 'digest-mismatch' });
    expect(await store.list()).toMatchObject([{ stored: 0, complete: false }]);
    expect(await contentOf(await store.get(fixture.model()))).toEqual(CONTENT);
  });

  test.each([-700, 700])('a file %i bytes longer than the source says is refused', async (by) => {
    fixture.serve(noise(SIZE + by));
    const store = await fixture.store();
    await expect(store.get(fixture.model())).rejects.toMatchObject({ code: 'download-changed' });
  });

  test.each([
    { id: '', files: [{ url: '/m', size: 1 }] as const },
    { id: 'm', files: [{ url: '', size: 1 }] as const },
    { id: 'm', files: [{ url: '/m', size: 0 }] as const },
    { id: 'm', files: [{ url: '/m', size: 1.5 }] as const },
    { id: 'm', files: [{ url: '/m', size: 1, sha256: 'abc' }] as const },
  ])('a source that cannot be meant is refused: %j', async (model) => {
    const failing = (await fixture.store()).get(model);
    await expect(failing).rejects.toMatchObject({ code: 'bad-argument' });
    expect(fixture.server.log).toHaveLength(0);
  });
});

describe('a download that is stopped', () => {
  test('keeps its whole chunks, and goes on after with If-Range', async () => {
    fixture.serve();
    fixture.server.faults.push({ kind: 'stall', after: 3_700 });
    const name = fixture.newName();
    const stop = new AbortController();
    const store = await fixture.store(name);
    const failing = store.get(fixture.model(), { signal: stop.signal });
    await vi.waitFor(async () => expect((await store.list())[0]?.stored).toBe(3 * CHUNK));
    stop.abort();
    await expect(failing).rejects.toMatchObject({ code: 'aborted' });
    expect(await store.list()).toMatchObject([{ stored: 3 * CHUNK, size: SIZE, complete: false }]);

    fixture.server.forget();
    expect(await contentOf(await (await fixture.store(name)).get(fixture.model()))).toEqual(
      CONTENT,
    );
    expect(fixture.server.log).toMatchObject([
      { range: 'bytes=3000-', ifRange: ETAG, sent: 1_500 },
    ]);
  });

  test('asks another site for a plain range, and compares ETags', async () => {
    const name = await halfStored();
    const store = await fixture.store(name);
    const url = fixture.server.url.replace('127.0.0.1', 'localhost');
    fixture.server.forget();
    const model = fixture.model({
      files: [{ url: `${url}/model.gguf`, size: SIZE, sha256: sha256(CONTENT) }],
    });
    expect(await contentOf(await store.get(model))).toEqual(CONTENT);
    expect(fixture.server.log).toMatchObject([
      { range: 'bytes=2000-', ifRange: null, sent: 2_500 },
    ]);
  });

  test.each([
    ['its ETag says so', '"second"'],
    ['it has no ETag and the digest says so', null],
  ])('begins anew where the file has changed: %s', async (_how, etag) => {
    const name = await halfStored(etag === null ? null : ETAG);
    const other = noise(SIZE, 'another edition');
    fixture.serve(other, etag);
    const store = await fixture.store(name);
    const url = `${fixture.server.url}/model.gguf`;
    const model = { id: 'small', files: [{ url, size: SIZE, sha256: sha256(CONTENT) }] as const };
    // The digest still asks for the old edition, so the new one is tried once and refused.
    await expect(store.get(model)).rejects.toMatchObject({ code: 'digest-mismatch' });
    const unpinned = { id: 'small', files: [{ url, size: SIZE }] as const };
    expect(await contentOf(await store.get(unpinned))).toEqual(other);
  });

  test('is replaced where the same id now means other bytes', async () => {
    const name = await halfStored();
    const other = noise(3_000, 'smaller');
    fixture.serve(other, '"third"');
    const store = await fixture.store(name);
    const file = { url: '/model.gguf', size: other.length, sha256: sha256(other) };
    expect(await contentOf(await store.get(fixture.model({ files: [file] })))).toEqual(other);
    expect(await store.list()).toMatchObject([{ stored: 3_000, size: 3_000, complete: true }]);
  });
});

/** A store of which two chunks of the model are there. */
async function halfStored(etag: string | null = ETAG): Promise<string> {
  fixture.serve(CONTENT, etag);
  fixture.server.faults.push({ kind: 'cut', after: 2 * CHUNK });
  for (let tries = 0; tries < 4; tries += 1)
    fixture.server.faults.push({ kind: 'status', status: 404 });
  const name = fixture.newName();
  await expect((await fixture.store(name)).get(fixture.model())).rejects.toMatchObject({
    status: 404,
  });
  fixture.server.faults.length = 0;
  return name;
}
