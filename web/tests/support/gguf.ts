/** Heads of GGUF files, as small as a test needs them. */

type Entry = readonly [
  key: string,
  type: number,
  value: number | string | readonly string[] | readonly number[],
];

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function valueBytes(type: number, value: Entry[2]): Buffer {
  if (typeof value === 'string') return text(value);
  if (typeof value === 'number') return type === 7 ? Buffer.from([value]) : u32(value);
  const written = value.map((each) => (typeof each === 'string' ? text(each) : u32(each)));
  return Buffer.concat([u32(typeof value[0] === 'number' ? 5 : 8), u64(value.length), ...written]);
}

/** Types as in the specification: 4 is a whole number, 7 a truth value, 8 a text, 9 a list of texts or whole numbers. */
export function ggufHead(entries: readonly Entry[], version = 3): Buffer<ArrayBuffer> {
  const written = entries.flatMap(([key, type, value]) => [
    text(key),
    u32(type),
    valueBytes(type, value),
  ]);
  return Buffer.concat([
    Buffer.from('GGUF'),
    u32(version),
    u64(0),
    u64(entries.length),
    ...written,
  ]);
}
