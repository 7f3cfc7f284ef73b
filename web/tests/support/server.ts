/** A server of files on the loopback that misbehaves on demand, one fault a request. */

import { createCipheriv, createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Record<string, string> }
  /** Answers 200 with the whole file, whatever was asked for. */
  | { readonly kind: 'no-range' }
  /** Says and sends bytes that begin elsewhere. */
  | { readonly kind: 'wrong-range'; readonly by: number }
  /** Breaks the connection after so many bytes. */
  | { readonly kind: 'cut'; readonly after: number }
  /** Ends the body early, as if that were all. */
  | { readonly kind: 'short'; readonly after: number }
  /** Goes silent after so many bytes; null: before it has said anything. */
  | { readonly kind: 'stall'; readonly after: number | null }
  /** Another byte at this position of the file. */
  | { readonly kind: 'wrong-byte'; readonly at: number }
  /** Sends the client to another address. */
  | { readonly kind: 'redirect'; readonly to: string };

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly range: string | null;
  readonly ifRange: string | null;
  /** Bytes of the body that were handed to the network. */
  sent: number;
}

export interface Served {
  readonly content: Buffer;
  /** With quotation marks; null sends none. */
  readonly etag: string | null;
  readonly type?: string;
}

export class FileServer {
  readonly files = new Map<string, Served>();
  /** Used up in order, each by the next request for a file. */
  readonly faults: Fault[] = [];
  readonly log: Asked[] = [];
  /** All below this path is answered with 500. */
  broken: string | null = null;
  /** Bytes a second of one answer. */
  rate = Number.POSITIVE_INFINITY;
  /** Whether pages of other sites may read the files. */
  cors: Record<string, string> | null = null;
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch(() => response.destroy());
  });

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this.url;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Bytes of bodies since the last `forget`. */
  get sent(): number {
    return this.log.reduce((sum, asked) => sum + asked.sent, 0);
  }

  forget(): void {
    this.log.length = 0;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', this.url).pathname;
    if (this.cors)
      for (const [name, value] of Object.entries(this.cors)) response.setHeader(name, value);
    const asked: Asked = {
      method: request.method ?? '',
      path,
      range: request.headers.range ?? null,
      ifRange: (request.headers['if-range'] as string | undefined) ?? null,
      sent: 0,
    };
    this.log.push(asked);
    if (this.broken !== null && path.startsWith(this.broken)) {
      return void response.writeHead(500).end();
    }
    const file = this.files.get(path);
    if (!file) return void response.writeHead(404).end();
    const fault = this.faults.shift();
    if (fault?.kind === 'status') {
      return void response.writeHead(fault.status, fault.headers).end('not now');
    }
    if (fault?.kind === 'redirect') {
      return void response.writeHead(302, { Location: fault.to }).end();
    }
    if (fault?.kind === 'stall' && fault.after === null) return;
    await this.#send(file, asked, fault, response);
  }

  async #send(
    file: Served,
    asked: Asked,
    fault: Fault | undefined,
    response: ServerResponse,
  ): Promise<void> {
    const size = file.content.length;
    response.setHeader('Content-Type', file.type ?? 'application/octet-stream');
    if (file.etag !== null) response.setHeader('ETag', file.etag);
    const found = /^bytes=(\d+)-(\d*)$/.exec(asked.range ?? '');
    const current = asked.ifRange === null || asked.ifRange === file.etag;
    let start = 0;
    let end = size;
    if (found && current && fault?.kind !== 'no-range') {
      start = Number(found[1]) + (fault?.kind === 'wrong-range' ? fault.by : 0);
      end = found[2] ? Math.min(Number(found[2]) + 1, size) : size;
      if (start >= size) {
        return void response.writeHead(416, { 'Content-Range': `bytes */${size}` }).end();
      }
      response.statusCode = 206;
      response.setHeader('Content-Range', `bytes ${start}-${end - 1}/${size}`);
    }
    if (fault?.kind !== 'short') response.setHeader('Content-Length', end - start);
    if (asked.method === 'HEAD') return void response.end();
    response.flushHeaders();
    const after = fault && 'after' in fault ? (fault.after ?? 0) : Number.POSITIVE_INFINITY;
    let body = file.content.subarray(start, Math.min(end, start + after));
    if (fault?.kind === 'wrong-byte') {
      body = Buffer.from(body);
      body.writeUInt8((body.readUInt8(fault.at - start) ^ 1) & 255, fault.at - start);
    }
    await this.#pour(body, asked, response);
    if (fault?.kind === 'cut') response.destroy();
    else if (fault?.kind !== 'stall') response.end();
  }

  async #pour(body: Buffer, asked: Asked, response: ServerResponse): Promise<void> {
    const block = Number.isFinite(this.rate) ? Math.ceil(this.rate / 20) : 1 << 20;
    for (let at = 0; at < body.length; at += block) {
      const piece = body.subarray(at, at + block);
      if (response.destroyed) return;
      if (!response.write(piece)) await drained(response);
      asked.sent += piece.length;
      if (Number.isFinite(this.rate)) await wait((piece.length / this.rate) * 1000);
    }
    // What was written must be on its way before the connection is broken.
    await new Promise<void>((resolve) => response.write('', () => resolve()));
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      response.off('drain', end).off('close', end);
      resolve();
    };
    response.on('drain', end).on('close', end);
  });
}

/** Bytes that look like a model's: the same for the same seed, and no two chunks alike. */
export function noise(size: number, seed = 'noise'): Buffer<ArrayBuffer> {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

export function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
