import { TeaError } from '../errors.js';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
/** The most that the module of wllama can grow to. */
const HEAP = 4 * GIB;
/** Room that a model needs besides its weights and its cache: buffers, vocabulary, the program. */
const BESIDES = 384 * MIB;
/** The part of a device's memory that one page can hope for. */
const SHARE = 0.75;

/** `navigator.deviceMemory`: GiB, at most 8, and only in some browsers. */
function deviceMemory(): number | undefined {
  const { navigator } = globalThis as { readonly navigator?: { readonly deviceMemory?: number } };
  return navigator?.deviceMemory;
}

/**
 * Refuse a model of `size` bytes that cannot be held in memory, before anything is downloaded.
 *
 * `cache` is the size of its key-value cache in bytes, where that is known already.
 *
 * Throws a TeaError, `model-too-large`.
 */
export function checkMemory(size: number, cache = 0, device = deviceMemory()): void {
  const need = size + cache + BESIDES;
  const shown = `${(need / GIB).toFixed(1)} GiB`;
  if (need > HEAP) {
    throw new TeaError('model-too-large', `the model needs ${shown}, WebAssembly has 4 GiB`, {
      hint: cache > 0 && size + BESIDES <= HEAP ? 'lower the context' : 'use a smaller model',
    });
  }
  // From 8 GiB on, the browser does not tell how much there is.
  if (device !== undefined && device < 8 && need > device * GIB * SHARE) {
    throw new TeaError(
      'model-too-large',
      `the model needs ${shown} of memory, the device has about ${device} GiB`,
      { hint: 'use a smaller model' },
    );
  }
}
