import type { Progress } from '../types.js';

const WINDOW = 8_000; // ms that a rate is taken over
const MATURE = 500; // ms before which a rate says nothing
const INTERVAL = 100; // ms between two reports of the same phase

/** Counts bytes and reports them, not oftener than anyone can read. */
export class Meter {
  #phase: Progress['phase'] = 'verify';
  #loaded = 0;
  #samples: { readonly at: number; readonly loaded: number }[] = [];
  #reported = Number.NEGATIVE_INFINITY;

  constructor(
    readonly total: number,
    readonly now: () => number,
    readonly report: (progress: Progress) => void,
  ) {}

  /** Begin a phase where `loaded` bytes are there already; its rate starts anew. */
  enter(phase: Progress['phase'], loaded: number): void {
    this.#phase = phase;
    this.#loaded = loaded;
    this.#samples = [{ at: this.now(), loaded }];
    this.#tell(this.now());
  }

  /** The connection is lost, and another try comes. */
  pause(): void {
    this.enter('retry', this.#loaded);
  }

  /** Count bytes of the phase. */
  advance(bytes: number): void {
    this.#loaded += bytes;
    const at = this.now();
    if (at - this.#reported < INTERVAL && this.#loaded < this.total) return;
    this.#samples = this.#samples.filter((sample) => at - sample.at <= WINDOW);
    this.#samples.push({ at, loaded: this.#loaded });
    this.#tell(at);
  }

  #tell(at: number): void {
    this.#reported = at;
    const bytesPerSecond = this.#rate(at);
    this.report({
      phase: this.#phase,
      loaded: this.#loaded,
      total: this.total,
      bytesPerSecond,
      secondsLeft: bytesPerSecond > 0 ? (this.total - this.#loaded) / bytesPerSecond : Infinity,
    });
  }

  #rate(at: number): number {
    const first = this.#samples[0];
    if (first === undefined || at - first.at < MATURE) return 0;
    return ((this.#loaded - first.loaded) * 1000) / (at - first.at);
  }
}
