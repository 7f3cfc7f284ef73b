import { TeaError } from './errors.js';
import { ROWS } from './models.generated.js';
import type { ModelRow, ModelSource } from './types.js';

/** Every known model whose digest is known too. */
export const models: readonly ModelRow[] = ROWS;

/**
 * The model of the table called `id`, fetched from `url` where one is given.
 *
 * Throws a TeaError, `bad-argument`: there is no such model, or it has no address of its own.
 */
export function modelOf(id: string, url?: string): ModelSource {
  const row = models.find((each) => each.id === id);
  if (row === undefined) {
    const names = models.map((each) => each.id).join(', ');
    throw new TeaError('bad-argument', `there is no model '${id}'`, {
      hint: `there are: ${names}`,
    });
  }
  const address = url ?? row.url;
  if (address === undefined) {
    throw new TeaError('bad-argument', `${id} has no address of its own`, {
      hint: `serve ${row.file} beside the page and give its address`,
    });
  }
  const { title, context, architecture, size, sha256, chatTemplate, chatSystem } = row;
  return {
    id,
    title,
    context,
    architecture,
    files: [{ url: address, size, sha256 }],
    ...(chatTemplate !== undefined && { chatTemplate }),
    ...(chatSystem !== undefined && { chatSystem }),
  };
}
