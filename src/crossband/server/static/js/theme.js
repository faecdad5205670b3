// Runs before the first paint: the color scheme that was chosen, or the system's.
(() => {
  const kept = localStorage.getItem("crossband.theme");
  const dark = kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
