/** What can go wrong, as a word that a page can act on. */
export type TeaErrorCode =
  | 'aborted' // the AbortSignal, or dispose()
  | 'bad-argument'
  | 'invalid-workflow' // the file is wrong; `problems` has the places
  | 'workflow-failed' // a node failed; `kind` and `node` say which way and where
  | 'no-model'
  | 'model-too-large' // for this browser's memory or for WebAssembly
  | 'model-damaged' // no GGUF, or not loadable
  | 'load-timeout' // the model or the engine did not come up in time
  | 'wasm-unavailable' // a .wasm file cannot be fetched or compiled: address, headers or policy
  | 'unsupported-browser'
  | 'engine-crashed'
  | 'offline' // before all is downloaded
  | 'http-status' // the server refuses the file; `status` says how
  | 'range-not-honoured' // the server sends other parts of the file than are asked for
  | 'download-failed' // no connection, or one that breaks again and again
  | 'download-changed' // the file at the address is another than the one begun
  | 'digest-mismatch'
  | 'quota-exceeded' // the browser has no room; `need` says how many bytes are missing
  | 'store-unavailable'; // no IndexedDB: private mode, blocked, or a damaged database

/** The one class of errors that this package throws. */
export class TeaError extends Error {
  override readonly name = 'TeaError';

  constructor(
    readonly code: TeaErrorCode,
    message: string,
    /** `hint` says what to do about it. */
    options: {
      readonly hint?: string;
      readonly cause?: unknown;
      readonly status?: number;
      readonly need?: number;
    } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.hint = options.hint;
    this.status = options.status;
    this.need = options.need;
  }

  /** What to do about it, where that is known. */
  readonly hint: string | undefined;

  /** Of HTTP, for `http-status`. */
  readonly status: number | undefined;

  /** Bytes, for `quota-exceeded`. */
  readonly need: number | undefined;
}

/** The error of a signal that was aborted; what the signal gave as reason is its cause. */
export function aborted(signal: AbortSignal): TeaError {
  return new TeaError('aborted', 'stopped', { cause: signal.reason });
}

/** Throw where the signal is aborted already. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal);
}
