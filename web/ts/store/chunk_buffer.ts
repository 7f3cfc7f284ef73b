/** Gathers the pieces that a network gives into chunks of one length; the last may be shorter. */
export class ChunkBuffer {
  readonly #buffer: Uint8Array<ArrayBuffer>;
  #filled = 0;
  #start: number;

  /** `start` is the position of the first byte to come, at the beginning of a chunk. */
  constructor(
    readonly size: number,
    readonly chunkBytes: number,
    start: number,
  ) {
    this.#buffer = new Uint8Array(Math.min(chunkBytes, size - start));
    this.#start = start;
  }

  /** Of the next byte in the file. */
  get position(): number {
    return this.#start + this.#filled;
  }

  /** Take a piece and yield what it completes. A chunk is overwritten after the next step. */
  *fill(piece: Uint8Array<ArrayBuffer>): Generator<Uint8Array<ArrayBuffer>, void, void> {
    for (let taken = 0; taken < piece.length; ) {
      const length = Math.min(this.chunkBytes, this.size - this.#start);
      const part = piece.subarray(taken, taken + length - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === length) {
        yield this.#buffer.subarray(0, length);
        this.#start += length;
        this.#filled = 0;
      }
    }
  }
}
