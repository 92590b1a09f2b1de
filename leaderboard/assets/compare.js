// SPDX-License-Identifier: Apache-2.0
// Up to eight runs over each other: the hash names them (#runs=suite/id,...), their data are loaded one by one.
"use strict";
(function () {
  const MOST = 8;
  const ID = /^[a-z0-9][a-z0-9_-]*\/[0-9a-f]{12}-s\d+$/;

  function asked() {
    const found = new URLSearchParams(location.hash.slice(1)).get("runs") || "";
    return Array.from(new Set(found.split(","))).filter((id) => ID.test(id)).slice(0, MOST);
  }

  function row(kind, heading, values) {
    const made = document.createElement("tr");
    const first = document.createElement("th");
    first.scope = kind === "th" ? "col" : "row";
    first.textContent = heading;
    made.append(first);
    for (const value of values) {
      const cell = document.createElement(kind);
      if (kind === "th") cell.scope = "col";
      cell.append(value);
      made.append(cell);
    }
    return made;
  }

  function link(id, label) {
    const made = document.createElement("a");
    made.href = GDZ.root + "run/" + id + ".html";
    made.textContent = label;
    return made;
  }

  async function apply() {
    const ids = asked();
    if (!ids.length) return;
    const loaded = await Promise.all(ids.map((id) => GDZ.load("data/run/" + id + ".js", id)));
    const there = ids.filter((_, at) => loaded[at]);
    const data = loaded.filter(Boolean);
    const missing = ids.length - there.length;
    document.getElementById("chosen").textContent =
      there.length + " run" + (there.length === 1 ? "" : "s") + (missing ? "; " + missing + " not on this board" : "") + ".";
    const keys = Array.from(new Set(data.flatMap((one) => Object.keys(one.settings))));
    const differ = keys.filter((key) => new Set(data.map((one) => one.settings[key])).size > 1);
    const table = document.getElementById("settings");
    const names = data.map((one, at) => link(there[at], one.label));
    table.tHead.replaceChildren(row("th", "Setting", names));
    table.tBodies[0].replaceChildren(...differ.map((key) => row("td", key, data.map((one) => one.settings[key] || "–"))));
    document.getElementById("differing").hidden = !data.length;
    const curves = there.map((id, at) => [id, data[at].label]);
    GDZ.get("plot").fill(document.getElementById("plots"), { curves });
  }

  addEventListener("hashchange", apply);
  apply();
})();
