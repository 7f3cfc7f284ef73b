import { TeaError } from '../errors.js';
import { TransientError } from './failures.js';

/** Gives a connection up that nobody wants any more, or that sends nothing for `stall` ms. */
export class StallTimer {
  readonly #stalled = new AbortController();
  readonly signal: AbortSignal;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    outer: AbortSignal,
    readonly stall: number,
  ) {
    this.signal = AbortSignal.any([outer, this.#stalled.signal]);
  }

  /** Wait for the server from now on. */
  start(): void {
    this.stop();
    this.#timer = setTimeout(() => {
      const text = `nothing has come from the server for ${Math.round(this.stall / 1000)} seconds`;
      this.#stalled.abort(new TransientError(new TeaError('download-failed', text)));
    }, this.stall);
  }

  /** Something has come; what we do with it is not the server's fault. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
