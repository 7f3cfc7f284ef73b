import { TeaError } from '../errors.js';
import type { ModelFile, ModelSource } from '../types.js';
import type { Retrier } from './retry.js';
import { sizeAt } from './range.js';
import type { Environment } from './environment.js';

/** A file whose length is known, in bytes. */
export interface SizedFile extends ModelFile {
  readonly size: number;
}

/**
 * Refuse a source that cannot be meant.
 *
 * Throws a TeaError, `bad-argument`: an empty id, no file, or an address, size or digest that
 * is none.
 */
export function check({ id, files }: ModelSource): void {
  if (typeof id !== 'string' || id === '') throw wrong('the id of a model is empty');
  if (files.length === 0) throw wrong(`${id} has no files`);
  for (const { url, size, sha256 } of files) {
    if (typeof url !== 'string' || url === '') throw wrong(`a file of ${id} has no url`);
    if (size !== undefined && (!Number.isSafeInteger(size) || size <= 0)) {
      throw wrong(`the size of ${url} must be a whole number of bytes, got ${String(size)}`);
    }
    if (sha256 !== undefined && !/^[0-9a-f]{64}$/.test(sha256)) {
      throw wrong(`the sha256 of ${url} must be 64 hexadecimal digits in lower case`);
    }
  }
}

/** The files with their lengths; the server is asked where the source does not say. */
export async function sized(
  files: readonly ModelFile[],
  environment: Environment,
  retrier: Retrier,
): Promise<SizedFile[]> {
  const found: SizedFile[] = [];
  for (const file of files) {
    const size = file.size ?? (await retrier.run((timer) => sizeAt(file.url, environment, timer)));
    found.push({ ...file, size });
  }
  return found;
}

/** The length of all files, in bytes. */
export function total(files: readonly { readonly size: number }[]): number {
  return files.reduce((sum, file) => sum + file.size, 0);
}

function wrong(why: string): TeaError {
  return new TeaError('bad-argument', why);
}
