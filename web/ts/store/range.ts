import { TeaError } from '../errors.js';
import { Changed, PassingFailure } from './failures.js';
import type { Surroundings } from './surroundings.js';
import type { Watch } from './watch.js';

const PASSING_STATUS = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Bytes `start` up to, not including, `end` of a file of `size` bytes. */
export interface Part {
  readonly url: string;
  readonly start: number;
  readonly end: number;
  readonly size: number;
  /** The strong ETag that earlier bytes of the file came with, if one was to be seen. */
  readonly etag: string | null;
  /** Whether a digest will show that the bytes fit the earlier ones. */
  readonly pinned: boolean;
}

/** An answer whose body begins `skip` bytes before what was asked for. */
export interface Answer {
  readonly etag: string | null;
  readonly skip: number;
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>;
}

/**
 * Ask for a part of a file.
 *
 * The page's own site is told with If-Range which file is meant. Another site is not: browsers
 * let a plain Range through, but ask first about If-Range, which few hosts of files answer. There
 * the ETag of the answer is compared, which finds the same before a byte is read.
 *
 * Rejects with a PassingFailure: no answer, or one that may be better the next time; Changed: the
 * file is not the one of `etag`; a TeaError (`offline`, `http-status`, `download-changed`): what
 * no further try mends.
 */
export async function ask(part: Part, from: Surroundings, watch: Watch): Promise<Answer> {
  const headers = new Headers();
  if (part.start > 0 || part.end < part.size) {
    headers.set('Range', `bytes=${part.start}-${part.end === part.size ? '' : part.end - 1}`);
    if (part.etag !== null && isOwnSite(part.url, from)) headers.set('If-Range', part.etag);
  }
  const response = await request(part.url, { headers }, from, watch);
  try {
    return judge(response, part, from);
  } catch (error) {
    void response.body?.cancel().catch(() => undefined);
    throw error;
  }
}

/**
 * The length of a file in bytes, as its server says.
 *
 * Rejects as `ask`, and with a TeaError, `bad-argument`, where the server does not say.
 */
export async function sizeAt(url: string, from: Surroundings, watch: Watch): Promise<number> {
  const response = await request(url, { method: 'HEAD' }, from, watch);
  if (!response.ok) throw refusal(response, url, from);
  const size = Number(response.headers.get('Content-Length'));
  if (!size || response.headers.has('Content-Encoding')) {
    throw new TeaError('bad-argument', `${hostOf(url, from)} does not tell the length of ${url}`, {
      hint: 'give the size of the file, in bytes, with its address',
    });
  }
  return size;
}

/**
 * The bytes of an answer that were asked for, piece by piece.
 *
 * Rejects with a PassingFailure: the connection broke, stalled or ended too soon.
 */
export async function* bytes(
  answer: Answer,
  part: Part,
  from: Surroundings,
  watch: Watch,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const reader = answer.body.getReader();
  let { skip } = answer;
  let left = part.end - part.start;
  try {
    while (left > 0) {
      watch.start();
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw broken(part.url, error, from, watch);
      });
      watch.stop();
      if (done) break;
      const over = Math.min(skip, value.length);
      skip -= over;
      const piece = value.subarray(over, over + left);
      left -= piece.length;
      if (piece.length > 0) yield piece;
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
  if (left > 0) {
    const text = `${hostOf(part.url, from)} ended the file ${left} bytes before its end`;
    throw new PassingFailure(new TeaError('download-failed', text));
  }
}

async function request(
  url: string,
  init: RequestInit,
  from: Surroundings,
  watch: Watch,
): Promise<Response> {
  watch.start();
  try {
    return await from.fetch(new URL(url, from.base), {
      ...init,
      signal: watch.signal,
      cache: 'no-store', // the store has the one copy
      referrerPolicy: 'no-referrer',
    });
  } catch (error) {
    throw broken(url, error, from, watch);
  } finally {
    watch.stop();
  }
}

/** What to throw for a connection that failed, or never came about. */
function broken(url: string, cause: unknown, from: Surroundings, watch: Watch): unknown {
  if (watch.signal.aborted) return watch.signal.reason;
  if (!from.online()) {
    return new TeaError('offline', 'there is no network connection', {
      cause,
      hint: 'what has come so far is kept; try again when the connection is back',
    });
  }
  const error = new TeaError('download-failed', `${hostOf(url, from)} cannot be reached`, {
    cause,
    hint: `open ${url} in a tab of its own; if that works, the site does not let other pages read it`,
  });
  return new PassingFailure(error);
}

function judge(response: Response, part: Part, from: Surroundings): Answer {
  const { status, body } = response;
  const etag = strong(response.headers.get('ETag'));
  const other = part.etag !== null && etag !== null && etag !== part.etag;
  if (status === 416) throw wrongLength(part, 'shorter', from);
  if ((status !== 200 && status !== 206) || body === null) throw refusal(response, part.url, from);
  if (other) throw new Changed('the file has another ETag than the one that was begun');
  if (status === 206) {
    checkRange(response, part, from);
    return { etag, skip: 0, body };
  }
  const length = Number(response.headers.get('Content-Length'));
  if (length > part.size) throw wrongLength(part, `${length} bytes long`, from);
  // The server does not do ranges, or If-Range told it that its file is another one.
  const same = part.etag === null ? part.pinned : etag === part.etag;
  if (part.start > 0 && !same) throw new Changed('the file may be another than the one begun');
  return { etag, skip: part.start, body };
}

/** A 206 must say that it is what was asked for. */
function checkRange(response: Response, part: Part, from: Surroundings): void {
  const range = response.headers.get('Content-Range');
  if (range === null && !isOwnSite(part.url, from)) {
    // Another site may keep Content-Range to itself; its length is always to be seen.
    if (Number(response.headers.get('Content-Length')) === part.end - part.start) return;
  }
  const found = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range ?? '');
  if (found?.[3] !== undefined && found[3] !== '*' && Number(found[3]) !== part.size) {
    throw wrongLength(part, `${found[3]} bytes long`, from);
  }
  if (!found || Number(found[1]) !== part.start || Number(found[2]) >= part.end) {
    const text = `${hostOf(part.url, from)} sent another part of the file than was asked for`;
    throw new PassingFailure(new TeaError('range-not-honoured', text));
  }
}

function wrongLength(part: Part, what: string, from: Surroundings): TeaError {
  const text = `the file at ${hostOf(part.url, from)} is ${what}, ${part.size} bytes were expected`;
  return new TeaError('download-changed', text, { hint: 'check the address and the size' });
}

function refusal(response: Response, url: string, from: Surroundings): Error {
  const { status, redirected } = response;
  const text = `${hostOf(url, from)} answers ${status} for ${url}`;
  const error = new TeaError('http-status', text, { status });
  // A signed address that was redirected to may have expired; each try gets a fresh one.
  if (!PASSING_STATUS.has(status) && !(status === 403 && redirected)) return error;
  return new PassingFailure(error, retryAfter(response.headers.get('Retry-After')));
}

/** Milliseconds, from seconds or a date. */
function retryAfter(text: string | null): number | null {
  if (text === null) return null;
  if (/^\d+$/.test(text.trim())) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

function strong(etag: string | null): string | null {
  return etag?.startsWith('"') ? etag : null;
}

function isOwnSite(url: string, from: Surroundings): boolean {
  return new URL(url, from.base).origin === new URL(from.base).origin;
}

function hostOf(url: string, from: Surroundings): string {
  return new URL(url, from.base).host;
}
