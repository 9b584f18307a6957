// The keyboard: whatever has it (a point, a corner) is moved by the arrows; letters choose what is drawn.

import { round } from "./store.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The listener of keydown. */
export function keyboard({ store, picture, floor, tools, setMode, save }) {
  function nudge(event) {
    const handle = document.activeElement?.dataset?.handle;
    const step = ARROWS[event.key];
    if (!step || handle === undefined) return false;
    const fine = event.shiftKey ? 0.1 : 1;
    if (floor.svg.contains(document.activeElement)) {
      const point = store.camera.points[handle];
      const up = floor.floor.y_down ? 1 : -1;
      const [x, y] = [point.x + 0.1 * fine * step[0], point.y + up * 0.1 * fine * step[1]];
      store.movePoint(Number(handle), { x: round(x, 3), y: round(y, 3) }, `nudge floor ${handle}`);
    } else if (tools.mode === "points") {
      const point = store.camera.points[handle];
      const [u, v] = picture.kept([point.u + fine * step[0], point.v + fine * step[1]]);
      store.movePoint(Number(handle), { u, v }, `nudge ${handle}`);
      picture.magnify([u, v]);
    } else {
      const [u, v] = tools.corner(handle);
      tools.moveCorner(handle, picture.kept([u + fine * step[0], v + fine * step[1]]), `nudge ${handle}`);
    }
    return true;
  }

  function remove() {
    const handle = document.activeElement?.dataset?.handle;
    if (tools.mode !== "points" && handle !== undefined && picture.svg.contains(document.activeElement)) tools.removeCorner(handle);
    else if (store.chosen !== null && tools.mode === "points") store.removePoint(store.chosen);
    else return false;
    return true;
  }

  const KEYS = {
    p: () => setMode("points"),
    r: () => setMode("region"),
    h: () => setMode("handoff"),
    f: () => (picture.fit(), floor.fit()),
    "+": () => picture.zoom(1.25),
    "-": () => picture.zoom(0.8),
    "?": () => document.getElementById("help").showModal(),
    Enter: () => tools.close(),
    Escape: () => (tools.polygon.length ? tools.giveUp() : store.choose(null)),
  };

  return (event) => {
    if (document.querySelector("dialog[open]")) return;
    const typing = event.target.matches("input, select");
    if (event.ctrlKey || event.metaKey) {
      const key = event.key.toLowerCase();
      if (key === "s") save();
      else if (key === "z" && !typing) event.shiftKey ? store.redo() : store.undo();
      else if (key === "y" && !typing) store.redo();
      else return;
      event.preventDefault();
      return;
    }
    if (typing || event.altKey) return;
    if (nudge(event)) event.preventDefault();
    else if (event.key === "Delete" || event.key === "Backspace") remove() && event.preventDefault();
    else if (/^[1-9]$/.test(event.key)) store.chooseCamera(Number(event.key) - 1);
    else if (event.key === "Enter" && event.target.matches("button")) return;
    else KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key]?.();
  };
}
