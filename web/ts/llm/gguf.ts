import { TeaError } from '../errors.js';

/** What the head of a GGUF file says. Source: the GGUF specification, versions 2 and 3. */
export interface GgufHead {
  readonly architecture: string;
  readonly name: string | undefined;
  /** The context that the model was trained for, in tokens. */
  readonly context: number | undefined;
  readonly chatTemplate: string | undefined;
  /** As the vocabulary writes them; empty where there is none. */
  readonly bosToken: string;
  readonly eosToken: string;
  /** The names of the tokens that steer the model, such as those that begin and end a turn. */
  readonly controlTokens: readonly string[];
  /** Whether the model has a way of its own to make one vector of a text. */
  readonly pools: boolean;
  /** Bytes of one token in the key-value cache, at 16 bits a number; 0 where it is not told. */
  readonly cachePerToken: number;
}

type Scalar = number | boolean | string;

const FIRST_READ = 8 * 1024 * 1024;
// biome-ignore format: one table
const TYPES = {
  u8: 0, i8: 1, u16: 2, i16: 3, u32: 4, i32: 5, f32: 6, bool: 7, text: 8, list: 9, u64: 10,
  i64: 11, f64: 12,
} as const;
const BYTES: readonly number[] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
const TOKENS = 'tokenizer.ggml.tokens';
const TOKEN_TYPES = 'tokenizer.ggml.token_type';
const CONTROL = 3;

const OTHER_FILES: readonly (readonly [RegExp, string])[] = [
  [/^version https:\/\/git-lfs\.github\.com\//, 'it is a pointer of Git LFS'],
  [/^\s*<(!doctype html|html|head)/i, 'it is an HTML page'],
  [/^\s*<\?xml/, 'it is an XML text'],
  [/^\s*\{/, 'it is a JSON text'],
  [/^PK/, 'it is a ZIP archive'],
];

/** The bytes at hand end before the head does. */
class Short extends Error {}

/**
 * Read the head of the first file of a model.
 *
 * Rejects with a TeaError, `model-damaged`: it is not a GGUF file, or is cut off.
 */
export async function readHead(file: Blob): Promise<GgufHead> {
  for (let size = FIRST_READ; ; size *= 2) {
    const bytes = await file.slice(0, size).arrayBuffer();
    try {
      return new Head(bytes).read();
    } catch (error) {
      if (!(error instanceof Short)) throw error;
      if (size >= file.size) throw damaged('its head is cut off');
    }
  }
}

function damaged(why: string): TeaError {
  return new TeaError('model-damaged', `the model is no good GGUF file: ${why}`, {
    hint: 'remove it from the store and download it again',
  });
}

class Head {
  readonly #view: DataView;
  readonly #text = new TextDecoder();
  readonly #facts = new Map<string, Scalar>();
  #at = 0;
  #tokens: number | undefined; // where the vocabulary begins
  #control: number[] = []; // the tokens of that type, in order

  constructor(bytes: ArrayBuffer) {
    this.#view = new DataView(bytes);
  }

  read(): GgufHead {
    if (this.#view.byteLength < 4 || this.#word(4) !== 'GGUF') throw damaged(this.#otherFile());
    const version = this.#number(TYPES.u32);
    if (version < 2 || version > 3) throw damaged(`its version is ${version}, not 2 or 3`);
    this.#number(TYPES.u64); // tensors
    const entries = this.#number(TYPES.u64);
    for (let index = 0; index < entries; index += 1) this.#entry();
    return this.#head();
  }

  /** What lies in place of a model when a download went wrong. */
  #otherFile(): string {
    const head = this.#text.decode(this.#view.buffer.slice(0, 512));
    if (head === '') return 'it is empty';
    return OTHER_FILES.find(([pattern]) => pattern.test(head))?.[1] ?? 'it does not begin like one';
  }

  #entry(): void {
    const key = this.#string();
    const type = this.#number(TYPES.u32);
    if (type !== TYPES.list) {
      this.#facts.set(key, this.#scalar(type));
      return;
    }
    const inner = this.#number(TYPES.u32);
    const count = this.#number(TYPES.u64);
    if (key === TOKENS && inner === TYPES.text) this.#tokens = this.#at;
    if (key === TOKEN_TYPES && inner === TYPES.i32) {
      for (let index = 0; index < count; index += 1)
        if (this.#number(inner) === CONTROL) this.#control.push(index);
    } else if (inner === TYPES.text) {
      for (let index = 0; index < count; index += 1) this.#skip(this.#number(TYPES.u64));
    } else {
      this.#skip(count * this.#size(inner));
    }
  }

  #head(): GgufHead {
    const architecture = this.#said('general.architecture') ?? '';
    const of = (key: string): number | undefined => this.#count(`${architecture}.${key}`);
    const heads = of('attention.head_count') ?? 0;
    const width = heads > 0 ? (of('embedding_length') ?? 0) / heads : 0;
    const shared = of('attention.head_count_kv') ?? heads;
    const numbers = (of('attention.key_length') ?? width) + (of('attention.value_length') ?? width);
    return {
      architecture,
      name: this.#said('general.name'),
      context: of('context_length'),
      chatTemplate: this.#said('tokenizer.chat_template'),
      bosToken: this.#named('tokenizer.ggml.bos_token_id'),
      eosToken: this.#named('tokenizer.ggml.eos_token_id'),
      controlTokens: this.#texts(this.#control),
      pools: (of('pooling_type') ?? 0) !== 0,
      cachePerToken: 2 * (of('block_count') ?? 0) * shared * numbers,
    };
  }

  #said(key: string): string | undefined {
    const value = this.#facts.get(key);
    return typeof value === 'string' && value.trim() !== '' ? value : undefined;
  }

  #count(key: string): number | undefined {
    const value = this.#facts.get(key);
    return typeof value === 'number' ? value : undefined;
  }

  /** The text of the token that `key` names. */
  #named(key: string): string {
    const wanted = this.#count(key);
    return wanted === undefined ? '' : (this.#texts([wanted])[0] ?? '');
  }

  /** The texts of `tokens`, which are in order. */
  #texts(tokens: readonly number[]): string[] {
    if (this.#tokens === undefined) return [];
    this.#at = this.#tokens;
    let next = 0;
    return tokens.map((token) => {
      for (; next < token; next += 1) this.#skip(this.#number(TYPES.u64));
      next += 1;
      return this.#string();
    });
  }

  #scalar(type: number): Scalar {
    if (type === TYPES.text) return this.#string();
    const value = this.#number(type);
    return type === TYPES.bool ? value !== 0 : value;
  }

  #size(type: number): number {
    const size = BYTES[type];
    if (size === undefined || size === 0) throw damaged(`it has a value of the type ${type}`);
    return size;
  }

  #number(type: number): number {
    const size = this.#size(type);
    const at = this.#skip(size);
    const view = this.#view;
    switch (type) {
      case TYPES.i8:
        return view.getInt8(at);
      case TYPES.u16:
        return view.getUint16(at, true);
      case TYPES.i16:
        return view.getInt16(at, true);
      case TYPES.u32:
        return view.getUint32(at, true);
      case TYPES.i32:
        return view.getInt32(at, true);
      case TYPES.f32:
        return view.getFloat32(at, true);
      case TYPES.u64:
        return Number(view.getBigUint64(at, true));
      case TYPES.i64:
        return Number(view.getBigInt64(at, true));
      case TYPES.f64:
        return view.getFloat64(at, true);
      default:
        return view.getUint8(at);
    }
  }

  #string(): string {
    return this.#word(this.#number(TYPES.u64));
  }

  #word(length: number): string {
    const at = this.#skip(length);
    return this.#text.decode(new Uint8Array(this.#view.buffer, at, length));
  }

  /** Go on by `length` bytes; returns where they begin. */
  #skip(length: number): number {
    const at = this.#at;
    if (at + length > this.#view.byteLength) throw new Short();
    this.#at = at + length;
    return at;
  }
}
