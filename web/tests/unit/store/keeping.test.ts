import { describe, expect, test, vi } from 'vitest';

import { CHUNK_BYTES } from '../../../ts/store/database.js';
import { models } from '../../../ts/models.js';
import { noise } from '../../support/server.js';
import { CHUNK, CONTENT, contentOf, damage, ETAG, Fixture, reports, SIZE } from './fixture.js';

const fixture = new Fixture();
const DAMAGED = new Blob([noise(CHUNK, 'damage')]);

/** The name of a store that has the whole model. */
async function stored(): Promise<string> {
  fixture.serve();
  const name = fixture.newName();
  await (await fixture.store(name)).get(fixture.model());
  fixture.server.forget();
  return name;
}

describe('a stored model', () => {
  test.each([
    ['changed', DAMAGED],
    ['cut short', DAMAGED.slice(1)],
    ['lost', null],
  ])('of which a chunk is %s has that chunk alone fetched again', async (_how, content) => {
    const name = await stored();
    await damage(name, 2, content);
    const store = await fixture.store(name);
    expect(await contentOf(await store.get(fixture.model()))).toEqual(CONTENT);
    expect(fixture.server.log).toMatchObject([{ range: 'bytes=2000-2999', sent: CHUNK }]);

    fixture.server.forget();
    expect(await contentOf(await (await fixture.store(name)).get(fixture.model()))).toEqual(
      CONTENT,
    );
    expect(fixture.server.log).toEqual([]);
  });

  test('whose last chunk is damaged has its end fetched again', async () => {
    const name = await stored();
    await damage(name, 4, DAMAGED.slice(0, 500));
    expect(await contentOf(await (await fixture.store(name)).get(fixture.model()))).toEqual(
      CONTENT,
    );
    expect(fixture.server.log).toMatchObject([{ range: 'bytes=4000-', sent: 500 }]);
  });

  test('is mended though the server has no ranges', async () => {
    const name = await stored();
    await damage(name, 1, DAMAGED);
    fixture.server.faults.push({ kind: 'no-range' });
    expect(await contentOf(await (await fixture.store(name)).get(fixture.model()))).toEqual(
      CONTENT,
    );
  });

  test('that is damaged and has changed at its address comes anew', async () => {
    const name = await stored();
    const url = `${fixture.server.url}/model.gguf`;
    const unpinned = { id: 'small', files: [{ url, size: SIZE }] as const };
    await (await fixture.store(name)).get(unpinned);
    await damage(name, 1, DAMAGED);
    const other = noise(SIZE, 'another edition');
    fixture.serve(other, '"second"');
    expect(await contentOf(await (await fixture.store(name)).get(unpinned))).toEqual(other);
  });

  test('that is damaged stays as it is while there is no network', async () => {
    const name = await stored();
    await damage(name, 2, DAMAGED);
    fixture.server.files.clear();
    const store = await fixture.store(name);
    await expect(store.get(fixture.model())).rejects.toMatchObject({ status: 404 });
    fixture.serve();
    fixture.server.forget();
    expect(await contentOf(await store.get(fixture.model()))).toEqual(CONTENT);
    expect(fixture.server.sent).toBe(CHUNK);
  });

  test('is verified once by a page, and by the next page again', async () => {
    const name = await stored();
    const store = await fixture.store(name);
    const [first, second] = [reports(), reports()];
    await store.get(fixture.model(), first);
    await store.get(fixture.model(), second);
    expect(first.all.at(-1)).toMatchObject({ phase: 'verify', loaded: SIZE, total: SIZE });
    expect(second.all).toEqual([]);
  });

  test('is listed, and gone once removed', async () => {
    const name = await stored();
    const store = await fixture.store(name);
    const all = await store.list();
    expect(all).toEqual([
      { id: 'small', title: 'small', stored: SIZE, size: SIZE, complete: true },
    ]);
    await store.remove('small');
    await store.remove('small');
    expect(await store.list()).toEqual([]);
    await store.get(fixture.model());
    expect(fixture.server.sent).toBe(SIZE);
  });

  test('whose file has moved needs no download', async () => {
    const name = await stored();
    const [file] = fixture.model().files;
    const model = fixture.model({ files: [{ ...file, url: '/elsewhere' }] });
    expect(await contentOf(await (await fixture.store(name)).get(model))).toEqual(CONTENT);
    expect(fixture.server.log).toEqual([]);
  });
});

describe('a half-stored model', () => {
  test('with a damaged chunk has that chunk and the rest fetched', async () => {
    fixture.serve();
    const name = fixture.newName();
    fixture.server.faults.push({ kind: 'cut', after: 3_100 }, { kind: 'status', status: 404 });
    await expect((await fixture.store(name)).get(fixture.model())).rejects.toMatchObject({
      status: 404,
    });
    await damage(name, 0, DAMAGED);
    fixture.server.forget();
    expect(await contentOf(await (await fixture.store(name)).get(fixture.model()))).toEqual(
      CONTENT,
    );
    const ranges = fixture.server.log.map((asked) => asked.range);
    expect(ranges).toEqual(['bytes=0-999', 'bytes=3000-']);
  });
});

describe('two tabs', () => {
  test('share one download, and the waiting one sees how far it is', async () => {
    fixture.serve();
    fixture.server.rate = 20_000;
    const name = fixture.newName();
    const waiting = reports();
    const [one, other] = await Promise.all([fixture.store(name), fixture.store(name)]);
    const both = await Promise.all([one.get(fixture.model()), other.get(fixture.model(), waiting)]);
    fixture.server.rate = Number.POSITIVE_INFINITY;
    for (const blobs of both) expect(await contentOf(blobs)).toEqual(CONTENT);
    expect(fixture.server.sent).toBe(SIZE);
    const shared = waiting.all.filter((progress) => progress.phase === 'wait');
    expect(shared.length).toBeGreaterThan(1);
    expect(shared.at(-1)).toMatchObject({ total: SIZE });
  });

  test('resume where the tab before was closed', async () => {
    fixture.serve();
    fixture.server.faults.push({ kind: 'stall', after: 2_200 });
    const name = fixture.newName();
    const [one, other] = await Promise.all([fixture.store(name), fixture.store(name)]);
    const first = one.get(fixture.model());
    const second = other.get(fixture.model());
    const closed = expect(first).rejects.toMatchObject({ code: 'aborted' });
    await vi.waitFor(async () => expect((await other.list())[0]?.stored).toBe(2_000));
    await one[Symbol.asyncDispose]();
    await closed;
    expect(await contentOf(await second)).toEqual(CONTENT);
    expect(fixture.server.log.at(-1)).toMatchObject({ range: 'bytes=2000-', ifRange: ETAG });
  });

  test('do not wait for one another once they are stopped', async () => {
    fixture.serve();
    fixture.server.faults.push({ kind: 'stall', after: 100 });
    const name = fixture.newName();
    const [one, other] = await Promise.all([fixture.store(name), fixture.store(name)]);
    const working = new AbortController();
    const first = one.get(fixture.model(), { signal: working.signal });
    const stopped = expect(first).rejects.toMatchObject({ code: 'aborted' });
    const waiting = new AbortController();
    const second = other.get(fixture.model(), { signal: waiting.signal });
    waiting.abort(new Error('changed my mind'));
    await expect(second).rejects.toMatchObject({ code: 'aborted', cause: waiting.signal.reason });
    working.abort();
    await stopped;
  });
});

describe('room', () => {
  test('that a model clearly lacks is found before a request', async () => {
    fixture.serve();
    fixture.storage = { estimate: async () => ({ usage: 3_000, quota: 7_000 }) };
    const failing = (await fixture.store()).get(fixture.model());
    await expect(failing).rejects.toMatchObject({ code: 'quota-exceeded', need: SIZE });
    expect(fixture.server.log).toEqual([]);
  });

  test('is not asked about by a model that is stored', async () => {
    const name = await stored();
    fixture.storage = { estimate: async () => ({ usage: 7_000, quota: 7_000 }) };
    expect(await contentOf(await (await fixture.store(name)).get(fixture.model()))).toEqual(
      CONTENT,
    );
  });

  test('of a record is below any limit, and Gemma 3 1B below 1 GiB', () => {
    expect(CHUNK_BYTES).toBeLessThanOrEqual(16 * 2 ** 20);
    const gemma = models.find((row) => row.id === 'gemma3-1b');
    expect(gemma?.size).toBeGreaterThan(1e9);
    expect(gemma?.size).toBeLessThan(2 ** 30);
  });
});

describe('a store', () => {
  test('asks the browser to keep it, unless it does already', async () => {
    const persist = vi.fn(async () => true);
    fixture.storage = { persisted: async () => false, persist };
    expect(await (await fixture.store()).persist()).toBe(true);
    fixture.storage = { persisted: async () => true, persist };
    expect(await (await fixture.store()).persist()).toBe(true);
    fixture.storage = undefined;
    expect(await (await fixture.store()).persist()).toBe(false);
    expect(persist).toHaveBeenCalledTimes(1);
  });

  test('that is closed refuses work', async () => {
    const store = await fixture.store();
    await store[Symbol.asyncDispose]();
    await expect(store.get(fixture.model())).rejects.toMatchObject({ code: 'aborted' });
    await expect(store.list()).rejects.toMatchObject({ code: 'store-unavailable' });
  });
});
