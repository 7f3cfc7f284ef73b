import type { Host } from '../wasm/tea_wasm.js';
import { Fault } from './llm/fault.js';
import type { PageModel } from './llm/model.js';
import { post, sleep } from './network.js';

/** What happens in a run; the same as the lines of `tea run --stream`. */
export type TeaEvent =
  | { readonly type: 'start'; readonly workflow: string | null }
  | { readonly type: 'token'; readonly node: string; readonly text: string }
  | { readonly type: 'node_complete'; readonly node: string; readonly update: State }
  | { readonly type: 'error'; readonly node?: string; readonly error: State }
  | { readonly type: 'complete'; readonly state: State };

/** JSON data. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

/** The state of a run. */
export type State = { readonly [key: string]: Json };

/**
 * The page's side of one run, which `signal` stops.
 *
 * @internal
 */
export function host(
  model: PageModel | undefined,
  onEvent: (event: TeaEvent) => void,
  signal: AbortSignal,
): Host {
  const asked = (): PageModel => {
    if (model === undefined) throw new Fault('ModelError', 'there is no model in this page');
    return model;
  };
  return {
    hasModel: model !== undefined,
    emit: (event) => {
      if (!signal.aborted) onEvent(JSON.parse(event) as TeaEvent);
    },
    sleep: (seconds) => sleep(seconds, signal),
    random: Math.random,
    now: () => Date.now() / 1000,
    chat: async (request, onText) =>
      JSON.stringify(await asked().chat(JSON.parse(request), onText, signal)),
    embed: async (request) => {
      const { texts, n_ctx } = JSON.parse(request) as { texts: string[]; n_ctx: number | null };
      return JSON.stringify(await asked().embed(texts, n_ctx, signal));
    },
    post: (url, headers, body, seconds) => post(url, JSON.parse(headers), body, seconds, signal),
  };
}
