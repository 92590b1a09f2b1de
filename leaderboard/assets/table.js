// SPDX-License-Identifier: Apache-2.0
// The tables of cells and runs: views, search, facets, sorting, pages, choosing, saving. The whole state lives in the
// hash, so that a link shows what the sender saw; unknown keys are ignored, defaults left out. Data: leaderboard/site/rows.py.
"use strict";
(function () {
  const table = document.querySelector("table[data-source]");
  if (!table) return;
  const name = table.dataset.source;
  const data = GDZ.get("table/" + name);
  if (!data) return;
  const PAGE = 50;
  const MOST = 8; // runs that can be compared
  const ID = /^[a-z0-9][a-z0-9_-]*\/[0-9a-f]{12}(-s\d+)?$/;
  const own = name === "cells" ? "cell/" : "run/";
  const find = (id) => document.getElementById(id);
  const form = find("filter");
  const shown = find("shown");
  const count = data.ids.length;
  const views = Object.keys(data.views);
  const home = new Map(); // the first view that has a column
  for (const view of views) for (const key of data.views[view].columns) if (!home.has(key)) home.set(key, view);
  const facets = Object.keys(data.facets);
  const flagged = list(data.flags).map((flags) => new Set(flags.split(" ").filter(Boolean)));
  const flags = new Set(flagged.flatMap((some) => Array.from(some)));
  const columns = new Map(Object.entries(data.columns));
  const facetValues = new Map(facets.map((key) => [key, list(data.facets[key])]));
  const seeds = list(data.seeds);
  const unpacked = new Map(); // what column() made
  let words = null;
  let order = [];

  /** Undoes rows._words: repeated strings are told once. */
  function list(packed) {
    if (Array.isArray(packed)) return packed;
    return packed.all || packed.at.map((at) => packed.words[at]);
  }

  function column(key) {
    if (!unpacked.has(key)) {
      const packed = columns.get(key);
      if (!packed) return null;
      const sort = list(packed.sort).map((value) => (value === "inf" ? Infinity : value === "-inf" ? -Infinity : value));
      const notes = packed.note || (GDZ.get("table/" + name + "/notes") || {})[key];
      if (!notes) return null; // not loaded yet
      unpacked.set(key, { sort, main: list(packed.main), note: list(notes), mark: list(packed.mark) });
    }
    return unpacked.get(key);
  }

  function text(key, at) {
    const one = column(key);
    return one.main[at] || (typeof one.sort[at] === "string" ? one.sort[at] : GDZ.show(one.sort[at]));
  }

  function read() {
    const found = new URLSearchParams(location.hash.slice(1));
    const state = { view: views[0], q: (found.get("q") || "").slice(0, 200), show: "", sort: "", dir: "", page: 1, sel: [] };
    if (views.includes(found.get("view"))) state.view = found.get("view");
    if (flags.has(found.get("show"))) state.show = found.get("show");
    for (const key of facets) {
      const value = found.get(key);
      state[key] = value !== null && facetValues.get(key).includes(value) ? value : "";
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

  function searched(at) {
    if (!words) {
      const keys = Array.from(columns.keys()).filter((key) => !data.heads[key].numeric || key === "eta" || key === "seeds");
      words = data.ids.map((id, row) =>
        [id, ...keys.map((key) => text(key, row) + " " + column(key).note[row])].join(" ").toLowerCase());
    }
    return words[at];
  }

  function chosen(state) {
    const asked = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const narrow = facets.filter((key) => state[key]).map((key) => [facetValues.get(key), state[key]]);
    const start = column("eta_lambda_start").sort;
    const [low, high] = [state.least === "" ? null : Number(state.least), state.most === "" ? null : Number(state.most)];
    const found = [];
    for (let at = 0; at < count; at += 1) {
      if (state.show && !flagged[at].has(state.show)) continue;
      if (narrow.some(([values, value]) => values[at] !== value)) continue;
      if (low !== null && !(start[at] !== null && start[at] >= low)) continue;
      if (high !== null && !(start[at] !== null && start[at] <= high)) continue;
      if (asked.length && !asked.every((word) => searched(at).includes(word))) continue;
      found.push(at);
    }
    const view = data.views[state.view];
    const key = state.sort || view.sort;
    if (key) {
      const sort = column(key).sort;
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
    const one = column(key);
    const mark = one.mark[at];
    const head = data.heads[key];
    const box = node(key === "cell" ? "th" : "td", key === "cell" ? { scope: "row" } : head.numeric ? { class: "number" } : {});
    if (key === "cell") {
      const id = data.ids[at];
      if (name === "runs") {
        const box_ = node("input", { type: "checkbox", "aria-label": "choose " + text(key, at) + ", seed " + seeds[at] });
        box_.checked = state.sel.includes(id);
        box_.addEventListener("change", function () {
          const now = read();
          write({ ...now, sel: now.sel.filter((each) => each !== id).concat(box_.checked ? [id] : []).slice(-MOST) }, false);
        });
        box.append(box_, " ");
      }
      const link = node("a", ID.test(id) ? { href: GDZ.root + own + id + ".html" } : {}, node("bdi", {}, text(key, at)));
      box.append(link);
      if (name === "runs") box.append(" ", node("span", { class: "seed" }, "seed " + seeds[at]));
      box.append(node("small", {}, one.note[at]));
      return box;
    }
    if (mark && data.signs[mark] !== undefined && text(key, at) !== data.signs[mark]) {
      const kind = data.verdicts.includes(mark) ? "verdict " : "mark ";
      box.append(node("span", { class: kind + mark.replace("/", ""), title: mark }, data.signs[mark] + " " + text(key, at)));
    } else if (mark) {
      box.append(node("span", { class: "mark " + mark.replace("/", "") }, text(key, at)), node("span", { class: "aside" }, mark));
    } else {
      maths(box, text(key, at));
    }
    for (const part of one.note[at].split("; ")) if (part) box.append(maths(node("small"), part));
    if (key === "seeds" && name === "cells") {
      const links = node("small", { class: "links" }, "seed");
      for (const seed of seeds[at].split(" ")) {
        links.append(" ", node("a", { href: GDZ.root + "run/" + data.ids[at] + "-s" + seed + ".html",
          "aria-label": "run of seed " + seed }, seed));
      }
      box.append(links);
    }
    if (key === "margin" && data.strips[at]) box.append(strip(data.strips[at]));
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
        table.tHead.querySelector('th[data-key="' + key + '"] button').focus();
      });
      row.append(th);
    }
    table.tHead.replaceChildren(row);
  }

  /** Draws the table; at first its controls alone, for the rows of the default view stand in the page. */
  function draw(rowsStand) {
    const state = read();
    order = rowsStand === true ? Array.from(data.ids.keys()) : chosen(state);
    const pages = Math.max(1, Math.ceil(order.length / PAGE));
    const page = Math.min(state.page, pages);
    drawHead(state);
    const body = document.createDocumentFragment();
    for (const at of rowsStand === true ? [] : order.slice((page - 1) * PAGE, page * PAGE)) {
      const row = node("tr", { "data-id": data.ids[at] });
      for (const key of columnsOf(state)) row.append(entry(key, at, state));
      body.append(row);
    }
    if (rowsStand !== true) table.tBodies[0].replaceChildren(body);
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

  /** Loads what the state needs beyond the first script, then calls. */
  function ready(then) {
    const state = read();
    const needed = new Set([state.view, ...columnsOf(state).map((key) => home.get(key))]);
    needed.delete(views[0]);
    const asked = [];
    if (name === "cells") asked.push(["notes", GDZ.load("data/cells-notes.js", "table/cells/notes")]);
    for (const view of needed) asked.push([view, GDZ.load("data/" + name + "-" + view + ".js", "table/" + name + "/" + view)]);
    if (asked.every(([part]) => GDZ.get("table/" + name + "/" + part))) return go();
    return Promise.all(asked.map(([, one]) => one)).then(go);

    function go() {
      for (const view of needed) {
        for (const [key, packed] of Object.entries(GDZ.get("table/" + name + "/" + view) || {})) columns.set(key, packed);
      }
      if (columnsOf(state).every((key) => column(key))) then();
      else shown.textContent = "the data of this view could not be loaded";
    }
  }

  function apply() {
    return ready(draw);
  }

  /** The rows of the current view, all its pages: as objects of words. */
  function rows() {
    const keys = columnsOf(read());
    return order.map(function (at) {
      const row = { id: data.ids[at], seeds: seeds[at] };
      for (const key of keys) {
        const sort = column(key).sort[at];
        row[key] = text(key, at);
        if (data.heads[key].numeric && key !== "seeds") row[key + "_value"] = Number.isFinite(sort) ? sort : sort === null ? null : String(sort);
        if (column(key).note[at]) row[key + "_note"] = column(key).note[at];
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
    for (const value of Array.from(new Set(facetValues.get(key))).filter(Boolean).sort()) {
      select.append(node("option", { value }, value));
    }
    select.parentElement.hidden = select.options.length < 3;
    select.addEventListener("change", () => write({ ...read(), [key]: select.value, page: 1 }, false));
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
  find("save-csv").addEventListener("click", () => ready(() => GDZ.save(csv(), "text/csv", file(".csv"))));
  find("save-json").addEventListener("click", () =>
    ready(() => GDZ.save(JSON.stringify(rows(), null, 1) + "\n", "application/json", file(".json"))));
  addEventListener("popstate", apply);
  addEventListener("hashchange", apply);
  form.hidden = false;
  if (name === "cells" && !location.hash) draw(true);
  else apply();
  performance.mark("ready");
})();
