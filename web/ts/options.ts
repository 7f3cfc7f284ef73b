import type { LongOptions, ModelSource, ModelStore } from './types.js';

/** What the user of a page should know. */
export interface Warning {
  readonly code: 'one-thread';
  readonly message: string;
}

/** How to make a Tea. */
export interface TeaOptions extends LongOptions {
  /**
   * The model: one of the table (`modelOf`), an address, or GGUF files that are at hand already.
   * Without one, workflows can use an API alone.
   */
  readonly model?: ModelSource | string | Blob | readonly Blob[];
  /** Where models are kept; one in IndexedDB, when none is given. */
  readonly store?: ModelStore;
  /** Where the .wasm files are, if not beside this module. */
  readonly wasmUrl?: { readonly engine?: string | URL; readonly wllama?: string | URL };
  /** Tokens; the model's default, when none is given. */
  readonly context?: number;
  /** As many as the processor has, but for one, when none is given. */
  readonly threads?: number;
  /** Seconds that loading the model into memory may take; grows with its size, when not given. */
  readonly loadTimeout?: number;
  /** What the user of the page should know. */
  readonly onWarning?: (warning: Warning) => void;
}
