// Stands for packages that a dependency loads but the product never calls. Any use is a defect and fails at once.
'use strict';
module.exports = new Proxy(function unused() {}, {
  get(_target, name) {
    if (name === 'default' || name === '__esModule' || typeof name === 'symbol') return undefined;
    throw new Error('this package is not part of the bundle');
  },
  apply() {
    return () => undefined;
  },
});
