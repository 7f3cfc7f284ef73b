import { TransientError } from './failures.js';
import type { Environment } from './environment.js';
import { StallTimer } from './stall_timer.js';

/** Answers of a server that may be others the next time: the same as in tasks/fetch/retry.py. */
export const TRANSIENT_STATUS: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** When to try again, and when to stop. Waits in milliseconds. */
export interface RetryPolicy {
  /** Tries in a row that bring nothing. */
  readonly tries: number;
  readonly firstWait: number;
  readonly longestWait: number;
  /** Of what a server may ask for with Retry-After. */
  readonly longestAsked: number;
  /** Without a byte, after which a connection is given up. */
  readonly stall: number;
}

export const RETRY_POLICY: RetryPolicy = {
  tries: 5,
  firstWait: 1_000,
  longestWait: 30_000,
  longestAsked: 300_000,
  stall: 30_000,
};

/**
 * Runs one attempt after another until one succeeds, fails for good, or nothing moves.
 *
 * Tries and waits are counted from the last progress: a download that goes on a little at each
 * try goes on for ever, and one that does not stops after a few.
 */
export class Retrier {
  #fruitless = 0;

  constructor(
    readonly policy: RetryPolicy,
    readonly environment: Pick<Environment, 'sleep' | 'random'>,
    readonly signal: AbortSignal,
    /** Called before each wait. */
    readonly onWait: () => void,
  ) {}

  /** Something new has come: start counting again. */
  progressed(): void {
    this.#fruitless = 0;
  }

  /**
   * The result of the first attempt that does not end in a TransientError.
   *
   * Rejects with what the attempt threw; after `tries` fruitless ones, with the last one's error.
   */
  async run<T>(attempt: (timer: StallTimer) => Promise<T>): Promise<T> {
    for (;;) {
      const timer = new StallTimer(this.signal, this.policy.stall);
      try {
        return await attempt(timer);
      } catch (failure) {
        if (!(failure instanceof TransientError)) throw failure;
        this.#fruitless += 1;
        if (this.#fruitless >= this.policy.tries) throw failure.error;
        this.onWait();
        await this.environment.sleep(this.#wait(failure.asked), this.signal);
      } finally {
        timer.stop();
      }
    }
  }

  /** Doubles from try to try; half of it is chance, so that many visitors do not come at once. */
  #wait(asked: number | null): number {
    const { firstWait, longestWait, longestAsked } = this.policy;
    const doubled = Math.min(firstWait * 2 ** (this.#fruitless - 1), longestWait);
    const wait = doubled * (0.5 + this.environment.random() / 2);
    return asked === null ? wait : Math.max(Math.min(asked, longestAsked), wait);
  }
}
