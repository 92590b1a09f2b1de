// SPDX-License-Identifier: Apache-2.0
// The tables of cells and runs: views, search, facets, sorting, pages, choosing, saving. The whole state lives in the
// hash, so that a link shows what the sender saw; unknown keys are ignored, defaults left out. The page loads what does
// not grow with the rows; blocks of rows and what filters, sorts and searches all of them come when they are asked for.
// Data: leaderboard/site/rows.py.
"use strict";
(function () {
  const table = document.querySelector("table[data-source]");
  if (!table) return;
  const name = table.dataset.source;
  const data = GDZ.get("table/" + name);
  if (!data) return;
  const PAGE = 50;
  const MOST = 8; // runs that can be compared
  const MANY = 20; // values that a control offers before it is used
  const NUMBER = /^[\d.,×⁰¹²³⁴-⁹⁻−]+$/; // as GDZ.show prints it, or a part of it
  const ID = /^[a-z0-9][a-z0-9_-]*\/[0-9a-f]{12}(-s\d+)?$/;
  const own = name === "cells" ? "cell/" : "run/";
  const find = (id) => document.getElementById(id);
  const form = find("filter");
  const shown = find("shown");
  const count = data.count;
  const views = Object.keys(data.views);
  const home = new Map(); // the first view that has a column
  for (const view of views) for (const key of data.views[view].columns) if (!home.has(key)) home.set(key, view);
  const facets = Object.keys(data.facets);
  const flags = new Set(data.flags);
  const blocks = new Map(); // what block() made
  const lists = new Map(); // what all() made
  let order = [];
  let turn = 0; // of what was asked last; what comes too late is not drawn

  /** Undoes rows._told: repeated strings are told once. */
  function list(packed, length) {
    if (Array.isArray(packed)) return packed;
    if ("same" in packed) return new Array(length).fill(packed.same);
    return packed.all || packed.at.map((at) => packed.words[at]);
  }

  function infinite(value) {
    return value === "inf" ? Infinity : value === "-inf" ? -Infinity : value;
  }

  function part(key) {
    return GDZ.get("table/" + name + "/" + key);
  }

  /** A value for each row of the table, from a script that is there. */
  function all(key) {
    if (!lists.has(key)) lists.set(key, list(part(key), count).map(infinite));
    return lists.get(key);
  }

  /** Some rows and the columns of a view, from a script that is there. */
  function block(view, number) {
    const key = view + "-" + number;
    if (!blocks.has(key)) {
      const told = part(key);
      const made = new Map();
      const rows = Math.min(data.block, count - number * data.block);
      const of = (packed) => list(packed, rows);
      for (const [column, packed] of Object.entries(told.columns || told)) {
        made.set(column, { sort: of(packed.sort).map(infinite), main: of(packed.main), note: of(packed.note), mark: of(packed.mark) });
      }
      blocks.set(key, { columns: made, ids: told.ids, seeds: told.seeds && of(told.seeds), strips: told.strips });
    }
    return blocks.get(key);
  }

  /** What a row has beside its columns: one of `ids`, `seeds` and `strips`. */
  function fact(key, at) {
    return block(views[0], Math.floor(at / data.block))[key][at % data.block];
  }

  /** What stands in a row in a column. */
  function of(key, at) {
    const place = at % data.block;
    const one = block(home.get(key), Math.floor(at / data.block)).columns.get(key);
    const sort = one.sort[place];
    const main = one.main[place] || (typeof sort === "string" ? sort : GDZ.show(sort));
    return { sort, main, note: one.note[place], mark: one.mark[place] };
  }

  function read() {
    const found = new URLSearchParams(location.hash.slice(1));
    const state = { view: views[0], q: (found.get("q") || "").slice(0, 200), show: "", sort: "", dir: "", page: 1, sel: [] };
    if (views.includes(found.get("view"))) state.view = found.get("view");
    if (flags.has(found.get("show"))) state.show = found.get("show");
    for (const key of facets) {
      const value = found.get(key);
      state[key] = value !== null && data.facets[key].includes(value) ? value : "";
    }
    for (const key of ["least", "most"]) {
      const value = found.get(key);
      state[key] = value && Number.isFinite(Number(value)) ? value : "";
    }
    state.cols = (found.get("cols") || "").split(",").filter((key) => home.has(key));
    if (columnsOf(state).includes(found.get("sort"))) {
      state.sort = found.get("sort");
      state.dir = found.get("dir") === "down" ? "down" : "up";
    }
    const page = Number(found.get("page"));
    if (Number.isInteger(page) && page > 1) state.page = page;
    state.sel = (found.get("sel") || "").split(",").filter((id) => ID.test(id)).slice(0, MOST);
    return state;
  }

  /** The columns that are shown: those that a reader chose, else those of the view. */
  function columnsOf(state) {
    return state.cols.length ? ["cell", ...state.cols.filter((key) => key !== "cell")] : data.views[state.view].columns;
  }

  function write(state, typing) {
    const kept = new URLSearchParams();
    for (const [key, value] of Object.entries(state)) {
      const usual = key === "view" ? views[0] : key === "page" ? 1 : "";
      if (Array.isArray(value) ? value.length : value && value !== usual && !(key === "dir" && value === "up")) {
        kept.set(key, String(value));
      }
    }
    const hash = kept.toString().replace(/%2F/g, "/").replace(/%2C/g, ",");
    history[typing ? "replaceState" : "pushState"](null, "", hash ? "#" + hash : location.pathname + location.search);
    apply();
  }

  function wordsOf(state) {
    return state.q.toLowerCase().split(/\s+/).filter(Boolean);
  }

  /** Which rows hold a word; each different text is looked at once. */
  function searched(word) {
    const found = new Uint8Array(count);
    const told = part("search");
    for (const packed of Object.values(told)) {
      const has = (text) => text.toLowerCase().includes(word);
      if ("same" in packed) has(packed.same) && found.fill(1);
      else if (packed.all) packed.all.forEach((text, at) => has(text) && (found[at] = 1));
      else {
        const hits = packed.words.map(has);
        if (hits.includes(true)) packed.at.forEach((place, at) => hits[place] && (found[at] = 1));
      }
    }
    if (word.includes("-")) { // may reach from the name of a run into its seed
      const [names, seeds] = [list(told.name, count), list(told.seed, count)];
      names.forEach((one, at) => (one + seeds[at]).includes(word) && (found[at] = 1));
    }
    if (NUMBER.test(word)) all("sort-eta").forEach((value, at) => GDZ.show(value).includes(word) && (found[at] = 1));
    return found;
  }

  /** The scripts that say which rows a state shows, and in which order. */
  function keysOf(state) {
    const keys = facets.filter((key) => state[key]).map((key) => "facet-" + key);
    const words = wordsOf(state);
    const sort = state.sort || data.views[state.view].sort;
    if (state.show) keys.push("flags");
    if (words.length) keys.push("search");
    if (words.some((word) => NUMBER.test(word))) keys.push("sort-eta");
    if (state.least !== "" || state.most !== "") keys.push("sort-eta_lambda_start");
    if (sort) keys.push("sort-" + sort);
    return Array.from(new Set(keys));
  }

  function chosen(state) {
    const tests = wordsOf(state).map(searched).map((found) => (at) => found[at]);
    for (const key of facets.filter((each) => state[each])) {
      const packed = part("facet-" + key);
      if ("same" in packed) continue; // it is a value that some row has, so all have it
      const wanted = packed.all ? state[key] : packed.words.indexOf(state[key]);
      const values = packed.all || packed.at;
      tests.push((at) => values[at] === wanted);
    }
    if (state.show) {
      const values = all("flags");
      tests.push((at) => values[at].split(" ").includes(state.show));
    }
    if (state.least !== "" || state.most !== "") {
      const start = all("sort-eta_lambda_start");
      const [low, high] = [state.least === "" ? -Infinity : Number(state.least), state.most === "" ? Infinity : Number(state.most)];
      tests.push((at) => start[at] !== null && start[at] >= low && start[at] <= high);
    }
    const found = [];
    for (let at = 0; at < count; at += 1) if (tests.every((test) => test(at))) found.push(at);
    const view = data.views[state.view];
    const key = state.sort || view.sort;
    if (key) {
      const sort = all("sort-" + key);
      const sign = (state.sort ? state.dir === "down" : view.down) ? -1 : 1;
      // what is missing goes last whichever way it goes
      found.sort(function (a, b) {
        const [x, y] = [sort[a], sort[b]];
        if (x === null || y === null) return x === y ? a - b : x === null ? 1 : -1;
        return (x === y ? 0 : x < y ? -sign : sign) || a - b;
      });
    }
    return found;
  }

  function node(tag, properties, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(properties || {})) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function maths(target, written) {
    written.split(/_(max|min)\b/).forEach((part, at) => part && target.append(at % 2 ? node("sub", {}, part) : part));
    return target;
  }

  function strip(where) {
    const NS = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(NS, "svg");
    const set = (made, fields) => Object.entries(fields).forEach(([key, value]) => made.setAttribute(key, value));
    set(svg, { class: "strip", viewBox: "-4 0 108 10", width: 108, height: 10, role: "img" });
    svg.setAttribute("aria-label", "the seeds on the scale that all rows share, least margin on the left");
    const [low, high, median] = where;
    for (const [kind, x1, x2, y1, y2] of [["span", low, high, 5, 5], ["median", median, median, 0.5, 9.5]]) {
      const line = document.createElementNS(NS, "line");
      set(line, { class: kind, x1, x2, y1, y2 });
      svg.append(line);
    }
    return svg;
  }

  function entry(key, at, state) {
    const { main, note, mark } = of(key, at);
    const head = data.heads[key];
    const box = node(key === "cell" ? "th" : "td", key === "cell" ? { scope: "row" } : head.numeric ? { class: "number" } : {});
    if (key === "cell") {
      const id = fact("ids", at);
      if (name === "runs") {
        const box_ = node("input", { type: "checkbox", "aria-label": "choose " + main + ", seed " + fact("seeds", at) });
        box_.checked = state.sel.includes(id);
        box_.addEventListener("change", function () {
          const now = read();
          write({ ...now, sel: now.sel.filter((each) => each !== id).concat(box_.checked ? [id] : []).slice(-MOST) }, false);
        });
        box.append(box_, " ");
      }
      const link = node("a", ID.test(id) ? { href: GDZ.root + own + id + ".html" } : {}, node("bdi", {}, main));
      box.append(link);
      if (name === "runs") box.append(" ", node("span", { class: "seed" }, "seed " + fact("seeds", at)));
      box.append(node("small", {}, note));
      return box;
    }
    if (mark && data.signs[mark] !== undefined && main !== data.signs[mark]) {
      const kind = data.verdicts.includes(mark) ? "verdict " : "mark ";
      box.append(node("span", { class: kind + mark.replace("/", ""), title: mark }, data.signs[mark] + " " + main));
    } else if (mark) {
      box.append(node("span", { class: "mark " + mark.replace("/", "") }, main), node("span", { class: "aside" }, mark));
    } else {
      maths(box, main);
    }
    for (const words of note.split("; ")) if (words) box.append(maths(node("small"), words));
    if (key === "seeds" && name === "cells") {
      const links = node("small", { class: "links" }, "seed");
      for (const seed of fact("seeds", at).split(" ")) {
        links.append(" ", node("a", { href: GDZ.root + "run/" + fact("ids", at) + "-s" + seed + ".html",
          "aria-label": "run of seed " + seed }, seed));
      }
      box.append(links);
    }
    if (key === "margin" && fact("strips", at)) box.append(strip(fact("strips", at)));
    return box;
  }

  function drawHead(state) {
    const view = data.views[state.view];
    const row = node("tr");
    for (const key of columnsOf(state)) {
      const head = data.heads[key];
      const button = maths(node("button", { type: "button" }), head.label);
      const th = node("th", { scope: "col", "data-key": key, title: head.definition }, button);
      if (head.numeric) th.className = "number";
      const [sorted, down] = state.sort ? [state.sort, state.dir === "down"] : [view.sort, view.down];
      th.setAttribute("aria-sort", key === sorted ? (down ? "descending" : "ascending") : "none");
      button.addEventListener("click", function () {
        const now = read();
        const again = now.sort === key;
        write({ ...now, sort: again && now.dir === "down" ? "" : key, dir: again && now.dir !== "down" ? "down" : "up", page: 1 }, false);
      });
      row.append(th);
    }
    const held = table.tHead.contains(document.activeElement) && document.activeElement.closest("th");
    table.tHead.replaceChildren(row);
    const again = held && table.tHead.querySelector('th[data-key="' + held.dataset.key + '"] button');
    if (again) again.focus();
  }

  /** The rows of the page that a state shows, once `order` is known. */
  function shownRows(state) {
    const page = Math.min(state.page, Math.max(1, Math.ceil(order.length / PAGE)));
    return order.slice((page - 1) * PAGE, page * PAGE);
  }

  /** Draws the table; at first its controls alone, for the rows of the default view stand in the page. */
  function draw(rowsStand) {
    const state = read();
    const pages = Math.max(1, Math.ceil(order.length / PAGE));
    const page = Math.min(state.page, pages);
    drawHead(state);
    const body = document.createDocumentFragment();
    for (const at of rowsStand === true ? [] : shownRows(state)) {
      const row = node("tr", { "data-id": fact("ids", at) });
      for (const key of columnsOf(state)) row.append(entry(key, at, state));
      body.append(row);
    }
    if (rowsStand !== true) table.tBodies[0].replaceChildren(body);
    table.setAttribute("aria-busy", "false");
    const unit = (name === "cells" ? " configuration" : " run") + (count === 1 ? "" : "s");
    shown.textContent = (order.length === count ? "" : order.length.toLocaleString("en-US") + " of ") + count.toLocaleString("en-US") + unit;
    find("everything").hidden = !location.hash;
    find("pager").hidden = pages === 1;
    find("page").textContent = "page " + page + " of " + pages;
    find("before").disabled = page === 1;
    find("after").disabled = page === pages;
    const query = find("query");
    if (document.activeElement !== query) query.value = state.q;
    for (const key of [...facets, "least", "most"]) {
      const control = find("facet-" + key);
      if (!control) continue;
      if (control.tagName === "SELECT" && state[key]) offer(control, [state[key]]);
      if (document.activeElement !== control || control.tagName === "SELECT") control.value = state[key];
    }
    for (const radio of form.querySelectorAll('input[name="view"]')) radio.checked = radio.value === state.view;
    for (const box of find("columns").querySelectorAll("input")) box.checked = columnsOf(state).includes(box.value);
    for (const link of document.querySelectorAll(".tallies a")) {
      if (link.hash === "#show=" + state.show) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    const compare = find("compare");
    if (compare) {
      compare.hidden = !state.sel.length;
      compare.href = GDZ.root + "compare.html#runs=" + state.sel.join(",");
      compare.textContent = "Compare " + state.sel.length + " chosen run" + (state.sel.length === 1 ? "" : "s") + " (at most " + MOST + ")";
    }
  }

  /** Loads parts of the table, then calls: at once where they are there already, never where one cannot be had. */
  function load(keys, then) {
    const missing = keys.filter((key) => !part(key));
    if (!missing.length) return then();
    const asked = missing.map((key) => GDZ.load("data/" + name + "/" + key + ".js", "table/" + name + "/" + key));
    return Promise.all(asked).then(function (found) {
      if (found.every(Boolean)) return then();
      shown.textContent = "the data of this view could not be loaded";
    });
  }

  /** The scripts that hold some rows, in the columns that a state shows. */
  function blocksOf(state, rows) {
    const numbers = Array.from(new Set(rows.map((at) => Math.floor(at / data.block))));
    const needed = Array.from(new Set([views[0], ...columnsOf(state).map((key) => home.get(key))]));
    return numbers.flatMap((number) => needed.map((view) => view + "-" + number));
  }

  function apply() {
    const mine = (turn += 1);
    const state = read();
    table.setAttribute("aria-busy", "true");
    return load(keysOf(state), function () {
      if (mine !== turn) return;
      order = chosen(state);
      return load(blocksOf(state, shownRows(state)), () => mine === turn && draw());
    });
  }

  /** The rows of the current view, all its pages: as objects of words. */
  function rows() {
    const keys = columnsOf(read());
    return order.map(function (at) {
      const row = { id: fact("ids", at), seeds: fact("seeds", at) };
      for (const key of keys) {
        const { sort, main, note } = of(key, at);
        row[key] = main;
        if (data.heads[key].numeric && key !== "seeds") row[key + "_value"] = Number.isFinite(sort) ? sort : sort === null ? null : String(sort);
        if (note) row[key + "_note"] = note;
      }
      return row;
    });
  }

  function csv() {
    const found = rows();
    const keys = Array.from(new Set(found.flatMap((row) => Object.keys(row))));
    return GDZ.csv([keys, ...found.map((row) => keys.map((key) => row[key]))]);
  }

  for (const key of facets) {
    const select = find("facet-" + key);
    if (!select) continue; // there is nothing to choose
    const values = data.facets[key].filter(Boolean);
    const full = () => offer(select, values);
    if (values.length <= MANY) full();
    else for (const event of ["focus", "pointerdown"]) select.addEventListener(event, full, { once: true });
    select.addEventListener("change", () => write({ ...read(), [key]: select.value, page: 1 }, false));
  }

  /** Makes a control offer some values, beside those that it offers already. */
  function offer(select, values) {
    const there = new Set(Array.from(select.options, (option) => option.value));
    select.append(...values.filter((value) => !there.has(value)).map((value) => node("option", { value }, value)));
  }

  for (const key of ["least", "most"]) {
    find("facet-" + key).addEventListener("input", (event) => write({ ...read(), [key]: event.target.value, page: 1 }, true));
  }
  find("query").addEventListener("input", (event) => write({ ...read(), q: event.target.value, page: 1 }, true));
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const radio of form.querySelectorAll('input[name="view"]')) {
    radio.addEventListener("change", () => write({ ...read(), view: radio.value, cols: [], sort: "", dir: "", page: 1 }, false));
  }
  // 25 boxes that most readers never open: made when they are
  find("columns").parentElement.addEventListener("toggle", fill, { once: true });

  function fill() {
    const checked = columnsOf(read());
    for (const key of home.keys()) {
      if (key === "cell") continue;
      const box = node("input", { type: "checkbox", value: key });
      box.checked = checked.includes(key);
      find("columns").append(maths(node("label", { title: data.heads[key].definition }, box, " "), data.heads[key].label));
      box.addEventListener("change", function () {
        const now = read();
        const kept = columnsOf(now).filter((each) => each !== "cell" && each !== key).concat(box.checked ? [key] : []);
        const usual = data.views[now.view].columns;
        const same = kept.length + 1 === usual.length && usual.every((each) => each === "cell" || kept.includes(each));
        write({ ...now, cols: same || !kept.length ? [] : kept, sort: kept.includes(now.sort) ? now.sort : "" }, false);
      });
    }
  }

  find("everything").addEventListener("click", function () {
    find("query").value = "";
    history.pushState(null, "", location.pathname + location.search);
    apply();
  });
  for (const [id, step] of [["before", -1], ["after", 1]]) {
    find(id).addEventListener("click", () => write({ ...read(), page: read().page + step }, false));
  }
  const file = (ending) => "gdzoo-" + name + "-" + read().view + ending;
  const whole = (then) => load(blocksOf(read(), order), then);
  find("save-csv").addEventListener("click", () => whole(() => GDZ.save(csv(), "text/csv", file(".csv"))));
  find("save-json").addEventListener("click", () =>
    whole(() => GDZ.save(JSON.stringify(rows(), null, 1) + "\n", "application/json", file(".json"))));
  addEventListener("popstate", apply);
  addEventListener("hashchange", apply);
  form.hidden = false;
  order = Array.from({ length: count }, (_, at) => at);
  if (name === "cells" && !location.hash) draw(true);
  else apply();
  performance.mark("ready");
})();
