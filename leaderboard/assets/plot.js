// SPDX-License-Identifier: Apache-2.0
// Curves over the steps as SVG, with reference lines, error bars, a running minimum and a keyboard cursor. What the
// plots are, GDZ.get("plots") says; of which runs, the data-shown of their place (leaderboard/site/figure.py makes both).
"use strict";
(function () {
  const NS = "http://www.w3.org/2000/svg";
  const LEFT = 62;
  const RIGHT = 40;
  const TOP = 12;
  const BOTTOM = 40;
  const HEIGHT = 280;
  const DASHES = ["", "7 4", "2 3", "9 3 2 3", "12 4", "4 2"];
  const KINDS = 4; // series colours in the style sheet

  function node(name, attributes, text) {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function button(label, action) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", () => action(made));
    return made;
  }

  const { show, raised } = GDZ;

  /** What lies across: steps (from 0, so by log(1 + step)), or eta times steps. */
  const across = {
    log: { word: "log", label: "step", at: (step) => Math.log10(1 + step) },
    linear: { word: "linear", label: "step", at: (step) => step },
    time: { word: "as time η·t", label: "time η·t of gradient flow", at: (time) => time },
  };

  function stepTicks(kind, last) {
    if (kind !== "log") return linearTicks(0, last, 6);
    const ticks = [0];
    for (let tick = 1; tick <= last; tick *= 10) ticks.push(tick);
    if (last > 2 * ticks[ticks.length - 1]) ticks.push(last);
    return ticks;
  }

  function linearTicks(low, high, count) {
    const raw = (high - low || 1) / count;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = unit * ([1, 2, 5].find((factor) => factor * unit >= raw) || 10);
    const ticks = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) {
      ticks.push(Number((k * step).toPrecision(12)));
    }
    return ticks;
  }

  function logTicks(low, high) {
    const first = Math.floor(Math.log10(low));
    const decades = Math.ceil(Math.log10(high)) - first;
    const every = Math.max(1, Math.ceil(decades / 6));
    const ticks = [];
    for (let power = first; power <= first + decades; power += 1) {
      const factors = decades <= 1 ? [1, 2, 3, 5] : decades <= 2 ? [1, 2, 5] : power % every ? [] : [1];
      for (const factor of factors) ticks.push(Number((factor * 10 ** power).toPrecision(12)));
    }
    return ticks.filter((tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9));
  }

  function tickLabel(value, log) {
    const power = Math.log10(Math.abs(value));
    if (log && Math.abs(power - Math.round(power)) < 1e-9 && Math.abs(power) > 2.5) return "10" + raised(Math.round(power));
    return show(value);
  }

  /** Returns the series of a plot: points (t, value, error, lower), null where there is none; t is a step or a time. */
  function seriesOf(plot, kind) {
    if (plot.series) return plot.series(kind);
    return plot.runs.flatMap(([name, label], index) => {
      const data = GDZ.get(name);
      const values = data && data.curves[plot.metric];
      if (!values) return [];
      const errors = (plot.error && data.curves[plot.error]) || [];
      const lowers = (plot.lower && data.curves[plot.lower]) || [];
      const unit = kind === "time" ? data.eta : 1;
      const points = data.steps.map((step, at) => ({
        t: unit * step, value: values[at], error: errors[at] || 0, lower: lowers[at] > 0 ? lowers[at] : null,
      }));
      return [{ label, index, points }];
    });
  }

  /** Says whether every run of a plot has one step size, so that its steps are times. */
  function timed(plot) {
    return plot.runs.every(([name]) => GDZ.get(name) && GDZ.get(name).eta);
  }

  /** Returns the vertical axis, a function to [0, 1]; what a log axis cannot show sits at its foot. */
  function valueAxis(plot, series) {
    const log = plot.scale === "log";
    const known = series.flatMap((one) => one.points).flatMap((point) => [point.value, point.lower]).filter((value) => value !== null);
    const all = known.concat(plot.lines.map(([value]) => value)).filter((value) => !log || value > 0);
    if (!all.length) return null;
    let low = Math.min(...all);
    let high = Math.max(...all);
    if (log) {
      const room = Math.max(Math.log10(high / low) * 0.06, 0.04);
      low = 10 ** (Math.log10(low) - room);
      high = 10 ** (Math.log10(high) + room);
      const width = Math.log(high / low);
      return { log, low, high, ticks: logTicks(low, high), at: (v) => (v <= low ? 0 : Math.min(1, Math.log(v / low) / width)) };
    }
    const room = (high - low || Math.abs(high) || 1) * 0.07;
    low = low >= 0 && low - room < (high - low) * 0.6 ? 0 : low - room;
    high += room;
    if (plot.within) [low, high] = plot.within;
    return { log, low, high, ticks: linearTicks(low, high, 5), at: (v) => Math.max(0, Math.min(1, (v - low) / (high - low))) };
  }

  function pathOf(points, x, y) {
    let pen = false;
    return points.map(function (point) {
      if (point.value === null) {
        pen = false;
        return "";
      }
      const move = pen ? "L" : "M";
      pen = true;
      return move + x(point.t).toFixed(1) + " " + y(point.value).toFixed(1);
    }).join("");
  }

  function drawAxes(svg, frame, kind, axis, label) {
    for (const tick of stepTicks(kind, frame.last)) {
      const at = frame.x(tick);
      svg.append(node("line", { class: "grid", x1: at, x2: at, y1: TOP, y2: frame.height - BOTTOM }));
      svg.append(node("text", { class: "tick", x: at, y: frame.height - BOTTOM + 16, "text-anchor": "middle" }, show(tick)));
    }
    for (const tick of axis.ticks) {
      const at = frame.y(tick);
      svg.append(node("line", { class: "grid", x1: LEFT, x2: frame.width - RIGHT, y1: at, y2: at }));
      svg.append(node("text", { class: "tick", x: LEFT - 8, y: at + 4, "text-anchor": "end" }, tickLabel(tick, axis.log)));
    }
    const middle = (LEFT + frame.width - RIGHT) / 2;
    svg.append(node("text", { class: "axis", x: middle, y: frame.height - 6, "text-anchor": "middle" }, across[kind].label));
    const side = { class: "axis", x: 14, y: (TOP + frame.height - BOTTOM) / 2, "text-anchor": "middle" };
    side.transform = "rotate(-90 14 " + side.y + ")";
    const written = node("text", side);
    label.split(/_(max|min)\b/).forEach(function (part, at) {
      const low = at % 2 === 1;
      written.append(node("tspan", low ? { dy: 3, "font-size": 9 } : { dy: at ? -3 : 0 }, part));
    });
    svg.append(written);
  }

  /** Shades the stay at a saddle. */
  function drawStay(svg, frame, [from, to]) {
    const left = frame.x(from);
    svg.append(node("rect", { class: "stay", x: left, y: TOP, width: frame.x(to) - left, height: frame.height - TOP - BOTTOM }));
  }

  function drawLines(svg, frame, lines) {
    for (const [value, label] of lines) {
      const at = frame.y(value);
      svg.append(node("line", { class: "reference", x1: LEFT, x2: frame.width - RIGHT, y1: at, y2: at, "data-line": label }));
      svg.append(node("text", { class: "reference", x: frame.width - RIGHT + 6, y: at + 4 }, label));
    }
  }

  function drawSeries(svg, frame, plot, one) {
    const kind = "series kind" + (one.index % KINDS);
    const { x, y } = frame;
    for (const point of one.points) {
      if (point.value === null || !(point.error > 0 || point.lower !== null)) continue;
      const [top, foot] = [y(point.value + point.error), y(point.lower === null ? point.value - point.error : point.lower)];
      if (foot - top < 1) continue;
      const at = x(point.t);
      const whisker = "M" + at + " " + top + "V" + foot + "M" + (at - 3) + " " + top + "h6M" + (at - 3) + " " + foot + "h6";
      svg.append(node("path", { class: kind + " error", d: whisker }));
    }
    const dash = plot.runs.length > 1 ? DASHES[one.index % DASHES.length] : "";
    const thin = plot.floor ? " thin" : "";
    svg.append(node("path", { class: kind + " curve" + thin, d: pathOf(one.points, x, y), "stroke-dasharray": dash }));
    for (const point of one.points) {
      if (point.value === null) continue;
      const low = frame.log && !(point.value > 0);
      const [at, up] = [x(point.t), y(point.value)];
      if (low) svg.append(node("path", { class: kind + " dot", d: "M" + (at - 4) + " " + (up - 7) + "h8l-4 7z" }));
      else svg.append(node("circle", { class: kind + " dot", cx: at, cy: up, r: plot.runs.length > 1 ? 1.8 : 2.6 }));
    }
    if (plot.floor) svg.append(node("path", { class: kind + " floor", d: floorOf(one.points, x, y), "stroke-dasharray": dash }));
    const near = one.points.filter((point) => point.value !== null && plot.near && point.value <= plot.near * point.error);
    if (near.length) {
      const rug = near.map((point) => "M" + x(point.t).toFixed(1) + " " + (frame.height - BOTTOM) + "v-10").join("");
      svg.append(node("path", { class: "rug", d: rug, "data-steps": near.length }));
    }
  }

  /** The least value so far, as a staircase. */
  function floorOf(points, x, y) {
    let least = Infinity;
    let path = "";
    for (const point of points) {
      if (point.value === null) continue;
      const at = x(point.t).toFixed(1);
      if (path) path += "H" + at;
      least = Math.min(least, point.value);
      path += (path ? "V" : "M" + at + " ") + y(least).toFixed(1);
    }
    return path;
  }

  function drawLegend(figure, plot, series) {
    const old = figure.querySelector(".legend");
    if (old) old.remove();
    if (plot.runs.length < 2) return;
    const legend = document.createElement("p");
    legend.className = "legend";
    for (const one of series) {
      const item = document.createElement("span");
      const sample = node("svg", { width: 30, height: 10, "aria-hidden": "true" });
      const dash = DASHES[one.index % DASHES.length];
      sample.append(node("path", { class: "series curve kind" + (one.index % KINDS), d: "M1 5H29", "stroke-dasharray": dash }));
      item.append(sample, one.label);
      legend.append(item);
    }
    figure.querySelector("figcaption").append(legend);
  }

  function draw(figure, plot, state) {
    const canvas = figure.querySelector(".canvas");
    const series = seriesOf(plot, state.across);
    const axis = valueAxis(plot, series);
    if (!axis) {
      canvas.textContent = "No finite number to draw.";
      return;
    }
    const height = plot.height || HEIGHT;
    const width = Math.max(280, Math.round(canvas.clientWidth));
    const furthest = Math.max(0, ...series.flatMap((one) => one.points.map((point) => point.t)));
    const last = state.across === "time" ? furthest || 1 : Math.max(1, furthest);
    const transform = across[state.across].at;
    const frame = {
      width,
      height,
      last,
      log: axis.log,
      x: (t) => LEFT + (transform(t) / transform(last)) * (width - LEFT - RIGHT),
      y: (value) => TOP + (1 - axis.at(value)) * (height - TOP - BOTTOM),
    };
    const svg = node("svg", {
      viewBox: "0 0 " + width + " " + height, width, height, tabindex: "0", role: "img",
      "aria-label": plot.title + ": " + plot.label + " over the steps. Arrow keys move along the logged steps.",
    });
    if (plot.stay) drawStay(svg, frame, plot.stay.map((step) => step * (state.across === "time" ? GDZ.get(plot.runs[0][0]).eta : 1)));
    drawAxes(svg, frame, state.across, axis, plot.label);
    drawLines(svg, frame, plot.lines);
    for (const one of series) (plot.draw || drawSeries)(svg, frame, plot, one);
    const cursor = node("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
    svg.append(cursor);
    canvas.replaceChildren(svg);
    drawLegend(figure, plot, series);
    follow(figure, svg, cursor, frame, plot, series, state);
  }

  /** Moves the cursor by pointer or keys and says what stands under it. */
  function follow(figure, svg, cursor, frame, plot, series, state) {
    const places = Array.from(new Set(series.flatMap((one) => one.points.map((point) => point.t)))).sort((a, b) => a - b);
    const status = figure.querySelector(".status");

    function go(at) {
      state.at = Math.max(0, Math.min(places.length - 1, at));
      const place = places[state.at];
      const found = series.map(function (one) {
        const point = one.points.find((each) => each.t === place);
        if (!point) return "";
        const error = point.error > 0 ? " ± " + show(Number(point.error.toPrecision(2))) : "";
        const known = point.lower === null || point.lower >= point.value - 2 * point.error;
        const said = known ? " = " + show(point.value) + error : " in [" + show(point.lower) + ", " + show(point.value + point.error) + "]";
        return (series.length > 1 ? one.label + said.replace(" =", ":") : plot.label + said);
      });
      status.textContent = (state.across === "time" ? "η·t = " : "step ") + show(place) + " · " + found.filter(Boolean).join(" · ");
      cursor.setAttribute("x1", frame.x(place));
      cursor.setAttribute("x2", frame.x(place));
      cursor.setAttribute("visibility", "visible");
    }

    svg.addEventListener("keydown", function (event) {
      const here = state.at === undefined ? -1 : state.at;
      const target = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: places.length - 1 }[event.key];
      if (target === undefined) return;
      event.preventDefault();
      go(target);
    });
    svg.addEventListener("pointermove", function (event) {
      const box = svg.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * frame.width;
      const distances = places.map((place) => Math.abs(frame.x(place) - at));
      go(distances.indexOf(Math.min(...distances)));
    });
    if (state.at !== undefined) go(state.at);
  }

  /** Returns a plot as it is for some runs. */
  function of(plot, shown) {
    const notes = Object.keys(plot.notes).filter((key) => shown[key]);
    return {
      ...plot,
      caption: [plot.caption].concat(notes.map((key) => plot.notes[key])).join(" "),
      lines: plot.alone ? shown.lines || [] : plot.lines,
      runs: shown.curves,
      stay: plot.notes.stay ? shown.stay : undefined,
    };
  }

  function empty(plot) {
    const [figure, caption, canvas] = ["figure", "figcaption", "div"].map((name) => document.createElement(name));
    const [title, words] = ["h2", "p"].map((name) => document.createElement(name));
    figure.className = "plot";
    canvas.className = "canvas";
    title.textContent = plot.title;
    words.textContent = plot.caption;
    caption.append(title, words);
    figure.append(caption, canvas);
    return figure;
  }

  /** Fills a place of the page with the plots of some runs, whose data are there. */
  function fill(place, shown) {
    const suit = (plot) => plot.metric !== shown.without && (plot.alone === null || plot.alone === Boolean(shown.alone));
    const plots = shown.curves.length ? GDZ.get("plots").filter(suit).map((plot) => of(plot, shown)) : [];
    const figures = plots.map(empty);
    place.replaceChildren(...figures);
    figures.forEach((figure, at) => start(figure, plots[at]));
  }

  /** Uses what takes a plot out of the page, loaded when first asked for. */
  function taken(use) {
    GDZ.load("a/take.js", "take").then((take) => take && use(take));
  }

  /** Draws a plot into its figure. */
  function start(figure, plot) {
    const state = { across: "log", at: undefined };
    const tools = document.createElement("div");
    tools.className = "tools";
    const status = document.createElement("p");
    status.className = "status";
    status.setAttribute("role", "status");
    const steps = button("Steps: log", function (self) {
      const kinds = ["log", "linear"].concat(timed(plot) ? ["time"] : []);
      state.across = kinds[(kinds.indexOf(state.across) + 1) % kinds.length];
      state.at = undefined;
      self.textContent = "Steps: " + across[state.across].word;
      draw(figure, plot, state);
      if (numbers.hasChildNodes()) taken((take) => numbers.replaceChildren(take.table(plot, now())));
    });
    const now = () => ({ series: seriesOf(plot, state.across), heading: state.across === "time" ? "η·t" : "step" });
    const numbers = document.createElement("div");
    const table = button("Show as table", (self) => taken(function (take) {
      const open = !numbers.hasChildNodes();
      numbers.replaceChildren(...(open ? [take.table(plot, now())] : []));
      self.textContent = open ? "Hide the table" : "Show as table";
      self.setAttribute("aria-expanded", String(open));
    }));
    table.setAttribute("aria-expanded", "false");
    const csv = button("Save CSV", () => taken((take) => take.csv(plot, now())));
    tools.append(status, steps, table, csv, button("Save SVG", () => taken((take) => take.svg(plot, figure))));
    figure.append(tools, numbers);
    draw(figure, plot, state);
    let width = figure.clientWidth;
    new ResizeObserver(function () {
      if (figure.clientWidth === width) return;
      width = figure.clientWidth;
      draw(figure, plot, state);
    }).observe(figure);
  }

  for (const place of document.querySelectorAll(".plots[data-shown]")) fill(place, JSON.parse(place.dataset.shown));
  GDZ.put("plot", { fill, node, pathOf, start });
})();
