import { PassingFailure } from './failures.js';
import type { Surroundings } from './surroundings.js';
import { Watch } from './watch.js';

/** When to try again, and when to stop. Waits in milliseconds. */
export interface Pace {
  /** Tries in a row that bring nothing. */
  readonly tries: number;
  readonly firstWait: number;
  readonly longestWait: number;
  /** Of what a server may ask for with Retry-After. */
  readonly longestAsked: number;
  /** Without a byte, after which a connection is given up. */
  readonly stall: number;
}

export const PACE: Pace = {
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
export class Patience {
  #fruitless = 0;

  constructor(
    readonly pace: Pace,
    readonly from: Pick<Surroundings, 'sleep' | 'random'>,
    readonly signal: AbortSignal,
    /** Called before each wait. */
    readonly onWait: () => void,
  ) {}

  /** Something new has come: start counting again. */
  progressed(): void {
    this.#fruitless = 0;
  }

  /**
   * The result of the first attempt that does not end in a PassingFailure.
   *
   * Rejects with what the attempt threw; after `tries` fruitless ones, with the last one's error.
   */
  async run<T>(attempt: (watch: Watch) => Promise<T>): Promise<T> {
    for (;;) {
      const watch = new Watch(this.signal, this.pace.stall);
      try {
        return await attempt(watch);
      } catch (failure) {
        if (!(failure instanceof PassingFailure)) throw failure;
        this.#fruitless += 1;
        if (this.#fruitless >= this.pace.tries) throw failure.error;
        this.onWait();
        await this.from.sleep(this.#wait(failure.asked), this.signal);
      } finally {
        watch.stop();
      }
    }
  }

  /** Doubles from try to try; half of it is chance, so that many visitors do not come at once. */
  #wait(asked: number | null): number {
    const { firstWait, longestWait, longestAsked } = this.pace;
    const doubled = Math.min(firstWait * 2 ** (this.#fruitless - 1), longestWait);
    const wait = doubled * (0.5 + this.from.random() / 2);
    return asked === null ? wait : Math.max(Math.min(asked, longestAsked), wait);
  }
}
