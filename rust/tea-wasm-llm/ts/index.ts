/** TEA workflows in a web page, with a model that stays in the visitor's browser. */

export { TeaError, type TeaErrorCode } from './errors.js';
export { modelOf, models } from './models.js';
export { openModelStore, type StoreOptions } from './store/store.js';
export type {
  LongOptions,
  ModelFile,
  ModelSource,
  ModelStore,
  Progress,
  StoredModel,
} from './types.js';
