/** TEA workflows in a web page, with a model that stays in the visitor's browser. */

export { TeaError, type TeaErrorCode } from './errors.js';
export type { Json, State, TeaEvent } from './host.js';
export { type ModelRow, modelOf, models } from './models.js';
export type { Warning } from './opening.js';
export { openModelStore, type StoreOptions } from './store/store.js';
export {
  createTea,
  InvalidWorkflow,
  type Problem,
  type RunOptions,
  type Tea,
  type TeaOptions,
  WorkflowFailed,
} from './tea.js';
export type {
  LongOptions,
  ModelFile,
  ModelSource,
  ModelStore,
  Progress,
  StoredModel,
} from './types.js';
