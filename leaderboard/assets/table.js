// SPDX-License-Identifier: Apache-2.0
// Sorting and filtering of the tables of cells. The state lives in the hash, so that a link shows what the sender saw:
// q (words), show (one of the counts), sort (column), dir. Unknown keys are ignored, defaults left out.
"use strict";
(function () {
  const tables = Array.from(document.querySelectorAll("table[data-sortable]"));
  if (!tables.length) return;
  const form = document.getElementById("filter");
  const query = document.getElementById("query");
  const everything = document.getElementById("everything");
  const shown = document.getElementById("shown");
  const columns = new Set(Array.from(tables[0].tHead.rows[0].cells, (th) => th.dataset.key));
  const rows = tables.flatMap((table) =>
    Array.from(table.tBodies[0].rows, (row, place) => ({
      table,
      row,
      place,
      words: row.textContent.toLowerCase(),
      flags: new Set(row.dataset.flags.split(" ")),
      values: new Map(Array.from(row.cells, (cell, at) => [table.tHead.rows[0].cells[at].dataset.key, cell.dataset.sort])),
    })),
  );
  const allFlags = new Set(rows.flatMap((item) => Array.from(item.flags)).filter(Boolean));
  const counted = new Set(Array.from(document.querySelectorAll(".tallies a"), (a) => a.hash.slice("#show=".length)));

  function read() {
    const found = new URLSearchParams(location.hash.slice(1));
    const state = { q: (found.get("q") || "").slice(0, 200), show: "", sort: "", dir: "" };
    if (counted.has(found.get("show")) || allFlags.has(found.get("show"))) state.show = found.get("show");
    if (columns.has(found.get("sort"))) {
      state.sort = found.get("sort");
      state.dir = found.get("dir") === "down" ? "down" : "up";
    }
    return state;
  }

  function write(state, typing) {
    const kept = new URLSearchParams();
    for (const [key, value] of Object.entries(state)) {
      if (value && !(key === "dir" && value === "up")) kept.set(key, value);
    }
    const hash = kept.toString();
    const address = hash ? "#" + hash : location.pathname + location.search;
    history[typing ? "replaceState" : "pushState"](null, "", address);
    apply();
  }

  /** Numbers as numbers, words as words, what is missing last whichever way it goes. */
  function compare(key, sign) {
    return function (a, b) {
      const x = a.values.get(key);
      const y = b.values.get(key);
      if (x === "" || y === "") return x === y ? a.place - b.place : x === "" ? 1 : -1;
      const numeric = Number(x.replace("inf", "Infinity")) - Number(y.replace("inf", "Infinity"));
      const order = x === y ? 0 : Number.isNaN(numeric) ? (x < y ? -1 : 1) : numeric;
      return sign * order || a.place - b.place;
    };
  }

  function apply() {
    const state = read();
    if (document.activeElement !== query) query.value = state.q;
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const item of rows) {
      const fits = words.every((word) => item.words.includes(word)) && (!state.show || item.flags.has(state.show));
      item.row.hidden = !fits;
      if (fits) count += 1;
    }
    for (const table of tables) {
      const own = rows.filter((item) => item.table === table);
      const order = state.sort ? compare(state.sort, state.dir === "down" ? -1 : 1) : (a, b) => a.place - b.place;
      table.tBodies[0].append(...own.sort(order).map((item) => item.row));
      for (const th of table.tHead.rows[0].cells) {
        const sorted = th.dataset.key === state.sort;
        th.setAttribute("aria-sort", sorted ? (state.dir === "down" ? "descending" : "ascending") : "none");
      }
      table.closest("section").hidden = own.every((item) => item.row.hidden);
    }
    for (const link of document.querySelectorAll(".tallies a")) {
      if (link.hash === "#show=" + state.show) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    everything.hidden = !(state.q || state.show || state.sort);
    const unit = rows.length === 1 ? " cell" : " cells";
    shown.textContent = (count === rows.length ? "" : count + " of ") + rows.length + unit;
  }

  for (const table of tables) {
    for (const th of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      button.addEventListener("click", function () {
        const state = read();
        const again = state.sort === th.dataset.key;
        const key = again && state.dir === "down" ? "" : th.dataset.key;
        write({ ...state, sort: key, dir: key && again ? "down" : "up" }, false);
      });
      th.append(button);
    }
  }
  query.addEventListener("input", () => write({ ...read(), q: query.value }, true));
  form.addEventListener("submit", (event) => event.preventDefault());
  everything.addEventListener("click", function () {
    query.value = "";
    write({}, false);
  });
  addEventListener("popstate", apply);
  addEventListener("hashchange", apply);
  form.hidden = false;
  apply();
})();
