import { createSHA256, type IHasher } from 'hash-wasm';

import { TeaError } from '../errors.js';
import { ChunkBuffer } from './chunk_buffer.js';
import {
  type Database,
  type FileRecord,
  type ModelRecord,
  storedBytes,
  withFile,
} from './database.js';
import { FileChangedError } from './failures.js';
import { type RetryPolicy, Retrier } from './retry.js';
import type { Meter } from './progress.js';
import { ask, bytes, type Part } from './range.js';
import { total } from './source.js';
import type { Environment } from './environment.js';
import type { StallTimer } from './stall_timer.js';

const RESTARTS = 2;

type Bytes = Uint8Array<ArrayBuffer>;

/** A model that is being completed; `record` is always what the database has. */
export interface Job {
  readonly db: Database;
  record: ModelRecord;
  readonly environment: Environment;
  readonly policy: RetryPolicy;
  readonly meter: Meter;
  readonly signal: AbortSignal;
}

/** Brings one file of a model to be there, whole and as it was published. */
export class FileWork {
  readonly #job: Job;
  readonly #index: number;
  readonly #retrier: Retrier;
  /** Bytes of the files before this one. */
  readonly #before: number;
  /** That the bytes came with, also those that are not stored yet. */
  #etag: string | null;
  /** Where stored chunks are read to, one after the other. */
  #scratch: Bytes | undefined;

  constructor(job: Job, index: number) {
    this.#job = job;
    this.#index = index;
    this.#before = total(job.record.files.slice(0, index));
    this.#etag = this.#file.etag;
    this.#retrier = new Retrier(job.policy, job.environment, job.signal, () => job.meter.pause());
  }

  get #file(): FileRecord {
    const file = this.#job.record.files[this.#index];
    if (file === undefined) throw new RangeError(`no file ${this.#index}`);
    return file;
  }

  /**
   * Verify what is stored, fetch damaged chunks again, and download what is missing.
   *
   * A file that has changed at its address is begun anew. Rejects with a TeaError, or the reason
   * of the signal; what is stored then is kept, unless it is known to be wrong.
   */
  async complete(): Promise<void> {
    for (let restarts = 0; ; restarts += 1) {
      try {
        return await this.#once();
      } catch (error) {
        if (!(error instanceof FileChangedError)) throw error;
        await this.#clear();
        if (restarts === RESTARTS) {
          const text = `${this.#file.url} is another file at each try`;
          throw new TeaError('download-changed', text, { cause: error });
        }
      }
    }
  }

  async #once(): Promise<void> {
    const { complete, chunks, sha256, url } = this.#file;
    const hasher = complete ? null : await createSHA256();
    await this.#verify(hasher);
    if (hasher === null) return;
    await this.#download(hasher);
    const digest = hasher.digest();
    if (sha256 !== null && digest !== sha256) {
      if (chunks.length > 0)
        throw new FileChangedError('what was stored before does not fit the rest');
      await this.#clear();
      throw new TeaError('digest-mismatch', `the sha256 of ${url} is ${digest}`, {
        hint: `${sha256} was expected; the download was deleted`,
      });
    }
    const record = withFile(this.#job.record, this.#index, { ...this.#file, complete: true });
    await this.#job.db.put(record);
    this.#job.record = record;
  }

  /** Read every stored chunk. The hasher is given their bytes. */
  async #verify(hasher: IHasher | null): Promise<void> {
    if (this.#file.chunks.length > 0) this.#job.meter.enter('verify', this.#before);
    for (let chunk = 0; chunk < this.#file.chunks.length; chunk += 1) {
      this.#job.signal.throwIfAborted();
      const content = (await this.#intact(chunk)) ?? (await this.#repair(chunk));
      hasher?.update(content);
      this.#job.meter.advance(content.length);
    }
  }

  /**
   * The bytes of a stored chunk, until the next one is read; null where they are lost or not
   * what was stored.
   */
  async #intact(chunk: number): Promise<Bytes | null> {
    const blob = await this.#job.db.chunk(this.#job.record.id, this.#index, chunk);
    if (blob?.size !== this.#range(chunk).length) return null;
    this.#scratch ??= new Uint8Array(this.#job.record.chunkBytes);
    const content = await contentOf(blob, this.#scratch).catch(() => null);
    if (content === null || (await digestOf(content)) !== this.#file.chunks[chunk]) return null;
    return content;
  }

  /** Fetch one chunk again. Rejects with FileChangedError where the server has other bytes for it. */
  async #repair(chunk: number): Promise<Bytes> {
    const { start, length } = this.#range(chunk);
    const content = new Uint8Array(length);
    const part = { ...this.#part(start), end: start + length, pinned: true };
    await this.#retrier.run(async (timer) => {
      const answer = await ask(part, this.#job.environment, timer);
      let filled = 0;
      for await (const piece of bytes(answer, part, this.#job.environment, timer)) {
        content.set(piece, filled);
        filled += piece.length;
      }
    });
    if ((await digestOf(content)) !== this.#file.chunks[chunk]) {
      throw new FileChangedError('the file has other bytes than the ones stored');
    }
    await this.#store(this.#job.record, chunk, content);
    return content;
  }

  async #download(hasher: IHasher): Promise<void> {
    const { size } = this.#file;
    const { chunkBytes } = this.#job.record;
    const buffer = new ChunkBuffer(size, chunkBytes, storedBytes(this.#file, chunkBytes));
    await this.#retrier.run(async (timer) => {
      if (buffer.position < size) await this.#receive(buffer, hasher, timer);
    });
  }

  /** One request for all that is missing. */
  async #receive(buffer: ChunkBuffer, hasher: IHasher, timer: StallTimer): Promise<void> {
    const part = this.#part(buffer.position);
    const answer = await ask(part, this.#job.environment, timer);
    this.#etag = answer.etag ?? this.#etag;
    this.#job.meter.enter('download', this.#before + buffer.position);
    for await (const piece of bytes(answer, part, this.#job.environment, timer)) {
      hasher.update(piece);
      for (const content of buffer.fill(piece)) await this.#append(content);
      this.#job.meter.advance(piece.length);
      this.#retrier.progressed();
    }
  }

  async #append(content: Bytes): Promise<void> {
    const chunks = [...this.#file.chunks, await digestOf(content)];
    const file = { ...this.#file, etag: this.#etag, chunks };
    const record = withFile(this.#job.record, this.#index, file);
    await this.#store(record, chunks.length - 1, content);
    this.#job.record = record;
  }

  /** The Blob takes a copy of the bytes. */
  async #store(record: ModelRecord, chunk: number, content: Bytes): Promise<void> {
    this.#job.signal.throwIfAborted();
    await this.#job.db.putChunk(record, this.#index, chunk, new Blob([content]));
  }

  async #clear(): Promise<void> {
    const file = { ...this.#file, etag: null, chunks: [], complete: false };
    const record = withFile(this.#job.record, this.#index, file);
    await this.#job.db.clearFile(record, this.#index);
    this.#job.record = record;
    this.#etag = null;
  }

  #part(start: number): Part {
    const { url, size, sha256 } = this.#file;
    return { url, start, end: size, size, etag: this.#etag, pinned: sha256 !== null };
  }

  #range(chunk: number): { start: number; length: number } {
    const start = chunk * this.#job.record.chunkBytes;
    return { start, length: Math.min(this.#job.record.chunkBytes, this.#file.size - start) };
  }
}

/**
 * The bytes of a Blob, in `room`. `Blob.arrayBuffer()` would leave as much garbage behind as the
 * model is large: 1.4 GB at the peak for one of 1.07 GB in Chromium 156, against 0.7 GB this way.
 */
async function contentOf(blob: Blob, room: Bytes): Promise<Bytes> {
  let filled = 0;
  const reader = blob.stream().getReader(); // Safari cannot iterate over a stream
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return room.subarray(0, filled);
    room.set(value, filled);
    filled += value.length;
  }
}

async function digestOf(content: Bytes): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
