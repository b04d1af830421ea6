// Light or dark: the system's wish until a person chooses. Runs before the first paint.
(() => {
  const KEY = "xwe.theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  const chosen = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off; the system's wish will do
    }
  };
  const show = () => {
    root.dataset.theme = chosen() ?? (system.matches ? "dark" : "light");
  };

  show();
  system.addEventListener("change", show);

  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const next = root.dataset.theme === "dark" ? "light" : "dark";
      try {
        // Who chooses what the system has anyway follows the system again.
        if ((next === "dark") === system.matches) localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, next);
      } catch {
        // It holds for this page then.
      }
      root.dataset.theme = next;
    });
  });
})();
