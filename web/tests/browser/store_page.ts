/** What the page of the store's tests has: the package's store, within a test's reach. */

import { openModelStore } from '../../ts/store/store.js';

Object.assign(globalThis, { openModelStore });
