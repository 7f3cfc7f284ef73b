import type { Sampling } from '../spec.js';

/** What the engine asks of a model: see the crate's model.rs. */
export interface ChatRequest extends Sampling {
  readonly messages: readonly unknown[];
  /** Only where a prompt without a system text was given: plain text for a model without template. */
  readonly prompt: string | null;
  readonly seed: number | null;
  readonly stop: readonly string[];
  /** What the answer is held to, as fields of llama.cpp's server. */
  readonly held_to: { readonly json_schema?: unknown; readonly grammar?: string } | null;
  readonly tools: readonly unknown[];
  readonly tool_choice: string;
  readonly thinking: boolean | null;
  /** The context that the workflow wants, in tokens. */
  readonly n_ctx: number | null;
}

export interface ChatReply {
  readonly content: string;
  readonly model: string;
  readonly finish_reason: 'stop' | 'length';
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  /** How the engine is to read calls of tools in the text; not there where there are no tools. */
  readonly tool_form?: string;
}

export interface EmbedReply {
  readonly embeddings: readonly (readonly number[])[];
  readonly model: string;
  readonly tokens: number;
}
