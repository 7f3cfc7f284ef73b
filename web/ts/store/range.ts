import { TeaError } from '../errors.js';
import { FileChangedError, TransientError } from './failures.js';
import type { Environment } from './environment.js';
import { TRANSIENT_STATUS } from './retry.js';
import type { StallTimer } from './stall_timer.js';

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
 * Rejects with a TransientError: no answer, or one that may be better the next time; FileChangedError: the
 * file is not the one of `etag`; a TeaError (`offline`, `http-status`, `download-changed`): what
 * no further try mends.
 */
export async function ask(
  part: Part,
  environment: Environment,
  timer: StallTimer,
): Promise<Answer> {
  const headers = new Headers();
  if (part.start > 0 || part.end < part.size) {
    headers.set('Range', `bytes=${part.start}-${part.end === part.size ? '' : part.end - 1}`);
    if (part.etag !== null && isOwnSite(part.url, environment)) headers.set('If-Range', part.etag);
  }
  const response = await request(part.url, { headers }, environment, timer);
  try {
    return judge(response, part, environment);
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
export async function sizeAt(
  url: string,
  environment: Environment,
  timer: StallTimer,
): Promise<number> {
  const response = await request(url, { method: 'HEAD' }, environment, timer);
  if (!response.ok) throw refusal(response, url, environment);
  const size = Number(response.headers.get('Content-Length'));
  if (!size || response.headers.has('Content-Encoding')) {
    throw new TeaError(
      'bad-argument',
      `${hostOf(url, environment)} does not tell the length of ${url}`,
      {
        hint: 'give the size of the file, in bytes, with its address',
      },
    );
  }
  return size;
}

/**
 * The bytes of an answer that were asked for, piece by piece.
 *
 * Rejects with a TransientError: the connection broke, stalled or ended too soon.
 */
export async function* bytes(
  answer: Answer,
  part: Part,
  environment: Environment,
  timer: StallTimer,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const reader = answer.body.getReader();
  let { skip } = answer;
  let left = part.end - part.start;
  try {
    while (left > 0) {
      timer.start();
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw broken(part.url, error, environment, timer);
      });
      timer.stop();
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
    const text = `${hostOf(part.url, environment)} ended the file ${left} bytes before its end`;
    throw new TransientError(new TeaError('download-failed', text));
  }
}

async function request(
  url: string,
  init: RequestInit,
  environment: Environment,
  timer: StallTimer,
): Promise<Response> {
  timer.start();
  try {
    return await environment.fetch(new URL(url, environment.base), {
      ...init,
      signal: timer.signal,
      cache: 'no-store', // the store has the one copy
      referrerPolicy: 'no-referrer',
    });
  } catch (error) {
    throw broken(url, error, environment, timer);
  } finally {
    timer.stop();
  }
}

/** What to throw for a connection that failed, or never came about. */
function broken(url: string, cause: unknown, environment: Environment, timer: StallTimer): unknown {
  if (timer.signal.aborted) return timer.signal.reason;
  if (!environment.online()) {
    return new TeaError('offline', 'there is no network connection', {
      cause,
      hint: 'what has come so far is kept; try again when the connection is back',
    });
  }
  const error = new TeaError('download-failed', `${hostOf(url, environment)} cannot be reached`, {
    cause,
    hint: `open ${url} in a tab of its own; if that works, the site does not let other pages read it`,
  });
  return new TransientError(error);
}

function judge(response: Response, part: Part, environment: Environment): Answer {
  const { status, body } = response;
  const etag = strong(response.headers.get('ETag'));
  const other = part.etag !== null && etag !== null && etag !== part.etag;
  if (status === 416) throw wrongLength(part, 'shorter', environment);
  if ((status !== 200 && status !== 206) || body === null)
    throw refusal(response, part.url, environment);
  if (other) throw new FileChangedError('the file has another ETag than the one that was begun');
  if (status === 206) {
    checkRange(response, part, environment);
    return { etag, skip: 0, body };
  }
  const length = Number(response.headers.get('Content-Length'));
  if (length > part.size) throw wrongLength(part, `${length} bytes long`, environment);
  // The server does not do ranges, or If-Range told it that its file is another one.
  const same = part.etag === null ? part.pinned : etag === part.etag;
  if (part.start > 0 && !same)
    throw new FileChangedError('the file may be another than the one begun');
  return { etag, skip: part.start, body };
}

/** A 206 must say that it is what was asked for. */
function checkRange(response: Response, part: Part, environment: Environment): void {
  const range = response.headers.get('Content-Range');
  if (range === null && !isOwnSite(part.url, environment)) {
    // Another site may keep Content-Range to itself; its length is always to be seen.
    if (Number(response.headers.get('Content-Length')) === part.end - part.start) return;
  }
  const found = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range ?? '');
  if (found?.[3] !== undefined && found[3] !== '*' && Number(found[3]) !== part.size) {
    throw wrongLength(part, `${found[3]} bytes long`, environment);
  }
  if (!found || Number(found[1]) !== part.start || Number(found[2]) >= part.end) {
    const text = `${hostOf(part.url, environment)} sent another part of the file than was asked for`;
    throw new TransientError(new TeaError('range-not-honoured', text));
  }
}

function wrongLength(part: Part, what: string, environment: Environment): TeaError {
  const text = `the file at ${hostOf(part.url, environment)} is ${what}, ${part.size} bytes were expected`;
  return new TeaError('download-changed', text, { hint: 'check the address and the size' });
}

function refusal(response: Response, url: string, environment: Environment): Error {
  const { status, redirected } = response;
  const text = `${hostOf(url, environment)} answers ${status} for ${url}`;
  const error = new TeaError('http-status', text, { status });
  // A signed address that was redirected to may have expired; each try gets a fresh one.
  if (!TRANSIENT_STATUS.has(status) && !(status === 403 && redirected)) return error;
  return new TransientError(error, retryAfter(response.headers.get('Retry-After')));
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

function isOwnSite(url: string, environment: Environment): boolean {
  return new URL(url, environment.base).origin === new URL(environment.base).origin;
}

function hostOf(url: string, environment: Environment): string {
  return new URL(url, environment.base).host;
}
