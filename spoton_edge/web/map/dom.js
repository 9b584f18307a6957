// Elements without markup: what comes from messages only ever becomes text.

/** An element: element("li", {class: "x"}, child or text, ...). */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Sets a text, if it is another. */
export function say(node, words) {
  const written = String(words);
  if (node.textContent !== written) node.textContent = written;
}

/** Has a parent hold one child for each key, in this order; make(key) makes those that are new. Returns them by key. */
export function keyed(parent, keys, make) {
  const held = (parent.held ??= new Map());
  const wanted = new Set(keys);
  for (const [key, child] of held) {
    if (!wanted.has(key)) {
      child.remove();
      held.delete(key);
    }
  }
  let before = parent.firstElementChild;
  for (const key of keys) {
    let child = held.get(key);
    if (!child) held.set(key, (child = make(key)));
    if (child === before) before = before.nextElementSibling;
    else parent.insertBefore(child, before);
  }
  return held;
}

export const fixed = (value, digits, unit = "") =>
  value === null || value === undefined ? "–" : `${value.toFixed(digits)}${unit}`;

const times = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export const clock = (seconds) => (seconds === null ? "" : times.format(seconds * 1000));
