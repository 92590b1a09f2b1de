// SPDX-License-Identifier: Apache-2.0
// Light or dark: the system decides until the reader does. Runs before the first paint.
"use strict";
(function () {
  const KEY = "gdzoo-theme";
  const root = document.documentElement;

  function stored() {
    try {
      return localStorage.getItem(KEY);
    } catch (error) {
      return null; // storage may be forbidden; then the choice lasts for one page
    }
  }

  function dark() {
    const chosen = root.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function choose(theme) {
    root.dataset.theme = theme;
    try {
      localStorage.setItem(KEY, theme);
    } catch (error) {
      // see above
    }
  }

  const before = stored();
  if (before === "light" || before === "dark") root.dataset.theme = before;

  document.addEventListener("DOMContentLoaded", function () {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "theme";
    const name = function () {
      button.textContent = dark() ? "Light" : "Dark";
      button.setAttribute("aria-label", dark() ? "Switch to light colours" : "Switch to dark colours");
    };
    button.addEventListener("click", function () {
      choose(dark() ? "light" : "dark");
      name();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
    name();
    document.querySelector("header.top nav").append(button);
  });
})();
