// SPDX-License-Identifier: Apache-2.0
// What takes a plot out of its picture: the table of its numbers, and files of them and of the drawing. plot.js loads it
// when it is first asked for.
"use strict";
GDZ.put("take", (function () {
  const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity",
    "font-family", "font-size", "font-weight", "text-anchor"];

  /** Returns what is drawn as rows: headings, then t, the value of each curve, and its error bar where it has any. */
  function rowsOf(plot, { series, heading }) {
    const columns = series.map(function (one) {
      const points = new Map(one.points.map((point) => [point.t, point]));
      const name = series.length > 1 ? one.label : plot.label;
      const barred = one.points.some((point) => point.error);
      const at = (t) => points.get(t) || { value: null, error: null };
      return { names: barred ? [name, "±"] : [name], of: (t) => (barred ? [at(t).value, at(t).error] : [at(t).value]) };
    });
    const places = Array.from(new Set(series.flatMap((one) => one.points.map((point) => point.t)))).sort((a, b) => a - b);
    const head = [heading, ...columns.flatMap((column) => column.names)];
    return [head, ...places.map((t) => [t, ...columns.flatMap((column) => column.of(t))])];
  }

  function fileOf(plot, ending) {
    return plot.runs[0][0].replace(/[^0-9a-z-]+/g, "_") + "-" + plot.metric + ending;
  }

  return Object.freeze({
    /** Returns the numbers as a table that can be scrolled. */
    table(plot, shown) {
      const frame = document.createElement("div");
      const table = document.createElement("table");
      frame.className = "scroll";
      frame.tabIndex = 0;
      frame.setAttribute("role", "region");
      frame.setAttribute("aria-label", plot.title + ": the numbers");
      rowsOf(plot, shown).forEach(function (row, at) {
        const line = (at ? table.tBodies[0] || table.createTBody() : table.createTHead()).insertRow();
        row.forEach(function (value, column) {
          const cell = document.createElement(at && column ? "td" : "th");
          if (cell.tagName === "TH") cell.scope = at ? "row" : "col";
          cell.textContent = at ? GDZ.show(value) : value;
          line.append(cell);
        });
      });
      frame.append(table);
      return frame;
    },

    /** Saves the numbers as a file. */
    csv(plot, shown) {
      GDZ.save(GDZ.csv(rowsOf(plot, shown)), "text/csv", fileOf(plot, ".csv"));
    },

    /** Saves the drawing as a file of its own, with the colours it has now. */
    svg(plot, figure) {
      const shown = figure.querySelector(".canvas svg");
      if (!shown) return;
      const copy = shown.cloneNode(true);
      const originals = [shown, ...shown.querySelectorAll("*")];
      [copy, ...copy.querySelectorAll("*")].forEach(function (element, at) {
        const style = getComputedStyle(originals[at]);
        for (const name of STYLES) element.setAttribute(name, style.getPropertyValue(name));
        element.removeAttribute("class");
      });
      copy.setAttribute("xmlns", shown.namespaceURI);
      const ground = document.createElementNS(shown.namespaceURI, "rect");
      const colour = getComputedStyle(document.body).backgroundColor;
      for (const [key, value] of Object.entries({ width: "100%", height: "100%", fill: colour })) ground.setAttribute(key, value);
      copy.prepend(ground);
      GDZ.save(new XMLSerializer().serializeToString(copy), "image/svg+xml", fileOf(plot, ".svg"));
    },
  });
})());
