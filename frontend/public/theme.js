// Runs before the first paint, so that the theme never flashes. External because the CSP allows no inline script.
(function () {
  var chosen = null;
  try {
    chosen = localStorage.getItem("microtome.theme");
  } catch (e) {
    /* storage may be refused */
  }
  var dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
