// SPDX-License-Identifier: Apache-2.0
// The registry: data files are scripts that call GDZ.put, because a page on file:// may load nothing else.
"use strict";
const GDZ = (function () {
  const kept = new Map();
  return Object.freeze({
    /** @param {string} name @param {{steps: number[], curves: Object<string, (number|null)[]>}} value */
    put(name, value) {
      kept.set(String(name), value);
    },
    /** @param {string} name */
    get(name) {
      return kept.get(name);
    },
  });
})();
