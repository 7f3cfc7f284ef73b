import type { Sampling } from '../spec.js';

/** What the engine asks of a model: see the crate's model.rs. */
export interface ChatRequest extends Sampling {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  /** Only where a prompt without a system text was given: plain text for a model without template. */
  readonly prompt: string | null;
  readonly seed: number | null;
  readonly stop: readonly string[];
  /** What the answer is held to: a key of a call with its value. */
  readonly shape: Readonly<Record<string, unknown>> | null;
  readonly tools: readonly unknown[];
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
}

export interface EmbedReply {
  readonly embeddings: readonly (readonly number[])[];
  readonly model: string;
  readonly tokens: number;
}
