/** What the engine asks of a model: see the crate's model.rs. */
export interface ChatRequest {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  /** Only where a prompt without a system text was given: plain text for a model without template. */
  readonly prompt: string | null;
  readonly temperature: number;
  readonly max_tokens: number;
  readonly top_p: number;
  readonly top_k: number;
  readonly min_p: number;
  readonly seed: number | null;
  readonly stop: readonly string[];
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
