/** TEA workflows in a web page, with a model that stays in the visitor's browser. */

export { TeaError, type TeaErrorCode } from './errors.js';
export type { Json, State, TeaEvent } from './host.js';
export { modelOf, models } from './models.js';
export type { TeaOptions, Warning } from './options.js';
export { openModelStore, type StoreOptions } from './store/store.js';
export {
  createTea,
  InvalidWorkflow,
  type Problem,
  type RunOptions,
  type Tea,
  WorkflowFailed,
} from './tea.js';
export type {
  LongOptions,
  ModelFile,
  ModelRow,
  ModelSource,
  ModelStore,
  Progress,
  StoredModel,
} from './types.js';
