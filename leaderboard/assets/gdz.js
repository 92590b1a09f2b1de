// SPDX-License-Identifier: Apache-2.0
// The registry: data files are scripts that call GDZ.put, because a page on file:// may load nothing else.
// And how a number is printed, as leaderboard/board/number.py prints it.
"use strict";
const GDZ = (function () {
  const kept = new Map();
  const asked = new Map();
  const root = document.currentScript ? document.currentScript.src.replace(/a\/gdz\.js.*$/, "") : "";

  function raised(power) {
    return String(power).replace(/./g, (sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(sign)]));
  }

  /** A cell of a CSV file; what a spreadsheet would take for a formula gets an apostrophe. */
  function quoted(value) {
    let said = value === null || value === undefined ? "" : String(value);
    if (/^[=+\-@\t\r]/.test(said) && Number.isNaN(Number(said))) said = "'" + said;
    return /[",\r\n]/.test(said) ? '"' + said.replace(/"/g, '""') + '"' : said;
  }

  return Object.freeze({
    root,
    raised,
    /** @param {string} name @param {object} value */
    put(name, value) {
      kept.set(String(name), value);
    },
    /** @param {string} name */
    get(name) {
      return kept.get(name);
    },
    /** Loads a data script of this site once; the path holds nothing but names that the caller has checked.
     * @param {string} path @param {string} name @returns {Promise<object|undefined>} */
    load(path, name) {
      if (kept.has(name)) return Promise.resolve(kept.get(name));
      if (!asked.has(path)) {
        asked.set(path, new Promise(function (done) {
          const script = document.createElement("script");
          script.src = root + path;
          script.addEventListener("load", () => done(kept.get(name)));
          script.addEventListener("error", () => done(undefined));
          document.head.append(script);
        }));
      }
      return asked.get(path);
    },
    /** Four significant digits. @param {number|null|undefined} value */
    show(value) {
      if (value === null || value === undefined) return "–";
      if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
      if (value === Math.trunc(value) && Math.abs(value) < 1e6) return value.toLocaleString("en-US").replace("-", "−");
      const [mantissa, exponent] = value.toExponential(3).split("e");
      const power = Number(exponent);
      const short = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text).replace("-", "−");
      if (power >= -4 && power < 4) return short(value.toPrecision(4));
      return short(mantissa) + "×10" + raised(power);
    },
    /** Rows as a CSV file (RFC 4180). @param {Array<Array<string|number|null|undefined>>} rows */
    csv(rows) {
      return rows.map((row) => row.map(quoted).join(",") + "\r\n").join("");
    },
    /** Saves a text as a file. @param {string} text @param {string} type @param {string} name */
    save(text, type, name) {
      const address = URL.createObjectURL(new Blob([text], { type }));
      const link = document.createElement("a");
      link.href = address;
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    },
  });
})();
