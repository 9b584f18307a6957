// Light or dark: as the system has it, until the button says otherwise; remembered by this browser.

const KEY = "spoton-theme";
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

let dark = false; // kept, because painters ask for every colour

export function isDark() {
  return dark;
}

/** The resolved colour of a variable of base.css, as in colour("ink"). */
export function colour(name) {
  return getComputedStyle(root).getPropertyValue(`--${name}`);
}

/** Calls back whenever the colours change. */
export function onTheme(callback) {
  listeners.add(callback);
}

/** Has a button switch between light and dark. */
export function themeButton(button) {
  button.addEventListener("click", () => {
    look(); // the system's change is told with the next frame, perhaps not yet
    root.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem(KEY, root.dataset.theme);
    } catch {
      // A browser that keeps nothing still switches.
    }
    tell();
  });
  onTheme(() => label(button));
  label(button);
}

function label(button) {
  const text = dark ? "Switch to light" : "Switch to dark";
  button.setAttribute("aria-label", text);
  button.title = text;
}

function look() {
  dark = root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
}

function tell() {
  look();
  for (const listener of listeners) listener();
}

try {
  const kept = localStorage.getItem(KEY);
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;
} catch {
  // As above.
}
look();
system.addEventListener("change", tell);
