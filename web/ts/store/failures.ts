import type { TeaError } from '../errors.js';

/** A failure that may be gone the next time; `error` is what it is called if it is not. */
export class TransientError extends Error {
  constructor(
    readonly error: TeaError,
    /** The wait that the server asks for, in milliseconds. */
    readonly asked: number | null = null,
  ) {
    super(error.message, { cause: error });
  }
}

/** The server's file is another one than the one that was begun. */
export class FileChangedError extends Error {}
