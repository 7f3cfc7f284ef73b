/// <reference lib="esnext.disposable" preserve="true" />

/** One file of a model. */
export interface ModelFile {
  readonly url: string;
  /** Bytes. Where it is not given, the server's word counts. */
  readonly size?: number;
  /** Of the whole file, as 64 hexadecimal digits. Where it is given, no other bytes are used. */
  readonly sha256?: string;
}

/** A model: where it is, and what it must be. */
export interface ModelSource {
  /** Its name in the store. */
  readonly id: string;
  readonly title?: string;
  /** One file, or the GGUF shards of one model in order. */
  readonly files: readonly [ModelFile, ...ModelFile[]];
  /** The default context in tokens; the model's own, up to 8192, where it is not given. */
  readonly context?: number;
  readonly architecture?: string;
  /** A Jinja chat template, for a file that has none of its own. */
  readonly chatTemplate?: string;
  /** The system text for a conversation, where the user gives none. */
  readonly chatSystem?: string;
}

/** A model that the project knows, as in its model table. */
export interface ModelRow {
  readonly id: string;
  readonly title: string;
  readonly architecture: string;
  readonly quantization: string;
  /** The default context in tokens. */
  readonly context: number;
  readonly license: string;
  readonly licenseUrl: string;
  /** The name of the file. */
  readonly file: string;
  /** Where it can be fetched from; a model that has none must be served beside the page. */
  readonly url?: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: string;
  readonly chatTemplate?: string;
  readonly chatSystem?: string;
}

/** How far something long is. */
export interface Progress {
  readonly phase:
    | 'wait' // another tab is at work on the model; the figures are its
    | 'verify' // what is stored is read and compared with its digests
    | 'download'
    | 'retry' // the connection is lost, and another try comes
    | 'load'; // into memory
  /** Bytes of all files of the model. */
  readonly loaded: number;
  readonly total: number;
  /** Of the last seconds; 0 until it is known. */
  readonly bytesPerSecond: number;
  /** Infinity until it is known. */
  readonly secondsLeft: number;
}

export interface LongOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** Keeps models in the browser. */
export interface ModelStore extends AsyncDisposable {
  /**
   * The model's files, complete and verified; what is missing is downloaded. One Blob a file.
   * Rejects with a TeaError.
   */
  get(model: ModelSource, options?: LongOptions): Promise<Blob[]>;
  /** Every model that is there, whole or in part. */
  list(): Promise<StoredModel[]>;
  /** Forget a model; one that is not there is no error. */
  remove(id: string): Promise<void>;
  /** Ask the browser never to evict the store by itself; whether it agreed. */
  persist(): Promise<boolean>;
  /** The browser's own guess, in bytes; undefined where it tells nothing. */
  estimate(): Promise<{ usage: number; quota: number } | undefined>;
}

/** A model in the store. */
export interface StoredModel {
  readonly id: string;
  readonly title?: string;
  /** Bytes that are there, and of the whole. */
  readonly stored: number;
  readonly size: number;
  readonly complete: boolean;
}
