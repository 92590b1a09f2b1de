// SPDX-License-Identifier: Apache-2.0
// The trace of a run: eta times its eigenvalues at the trace points, with a circle where one comes to the other side of
// 1, and the loss step by step. The page has captions and keys, GDZ.get("trace") the numbers (both made by
// leaderboard/site/tracing.py); plot.js draws axes, cursor and buttons.
"use strict";
(function () {
  const { node, pathOf, start } = GDZ.get("plot");
  const told = GDZ.get("trace");
  const runs = [[told.run, ""]];

  /** Returns the points of a curve on an axis of steps, or of time. */
  function pointsOf(kind, steps, values, errors) {
    const unit = kind === "time" ? GDZ.get(told.run).eta : 1;
    return steps.map((step, at) => ({ t: unit * step, value: values[at], error: errors[at] || 0, lower: null }));
  }

  function circle(svg, frame, before, after) {
    const share = (1 - before.value) / (after.value - before.value);
    const at = frame.x(before.t) + share * (frame.x(after.t) - frame.x(before.t));
    svg.append(node("circle", { class: "crossing", cx: at.toFixed(1), cy: frame.y(1), r: 4 }));
  }

  /** Says at the lines of reference what they are, behind the first step, between which and the next most curves fall. */
  function drawWords(svg, frame, unit) {
    for (const [level, words] of told.levels) {
      svg.append(node("text", { class: "reference level", x: frame.x(unit) + 6, y: frame.y(level) - 5 }, words));
    }
  }

  /** Marks the steps at which a survey found more than the trace had. */
  function drawMissed(svg, frame, unit) {
    if (!told.missed.length) return;
    const feet = told.missed.map((step) => "M" + frame.x(unit * step).toFixed(1) + " " + frame.y(told.within[0]) + "v-12");
    svg.append(node("path", { class: "rug", d: feet.join(""), "data-steps": told.missed.length }));
  }

  /** Draws one curve of the flow over its band, and its circles; with the first of them what belongs to all. */
  function draw(svg, frame, plot, one) {
    const { x, y } = frame;
    if (!one.index) drawWords(svg, frame, one.unit);
    const known = one.points.filter((point) => point.value !== null);
    const [upper, lower] = [1, -1].map((sign) => known.map((point) => ({ t: point.t, value: point.value + sign * point.error })));
    const band = pathOf(upper.concat(lower.reverse()), x, y);
    if (known.some((point) => point.error > 0)) svg.append(node("path", { class: "band " + one.look, d: band + "Z" }));
    svg.append(node("path", { class: "series curve " + one.look, d: pathOf(one.points, x, y) }));
    if (one.look === "first" || one.look === "rest") {
      known.slice(1).forEach(function (point, at) {
        if (point.value > 1 !== known[at].value > 1) circle(svg, frame, known[at], point);
      });
    }
    if (!one.index) drawMissed(svg, frame, one.unit);
  }

  const plots = {
    flow: {
      runs, draw, metric: "flow", title: "Flow of the eigenvalues", label: "η·λ", scale: "linear", within: told.within, height: 400,
      lines: told.levels.map(([level]) => [level, String(level)]),
      series: (kind) => told.curves.map(([label, look, values, errors], index) => ({
        label, look, index, unit: kind === "time" ? GDZ.get(told.run).eta : 1, points: pointsOf(kind, told.steps, values, errors),
      })),
    },
    losses: {
      runs, draw: (svg, frame, plot, one) => svg.append(node("path", { class: "series curve seen", d: pathOf(one.points, frame.x, frame.y) })),
      metric: "losses", title: "Loss, step by step", label: "loss", scale: "log", lines: [],
      series: (kind) => [{ label: "loss", index: 0, points: pointsOf(kind, told.loss_steps, told.losses, []) }],
    },
  };

  for (const figure of document.querySelectorAll("figure[data-trace]")) start(figure, plots[figure.dataset.trace]);
})();
