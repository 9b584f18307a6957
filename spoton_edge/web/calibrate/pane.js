// A view of a plane that can be moved and zoomed, on an SVG. Subclasses draw; coordinates of the plane are "world".

const SVG = "http://www.w3.org/2000/svg";
const CLICK_PX = 4; // a pointer that moved less was a click

/** An SVG element with attributes and children. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

export class Pane {
  /** flip: y of the world grows upwards. */
  constructor(section, { flip = false } = {}) {
    this.section = section;
    this.view = section.querySelector(".view");
    this.flip = flip;
    this.scale = 1;
    this.centre = [0, 0];
    this.touched = false; // whether somebody has moved or zoomed it
    this.world = make("g", { class: "world" });
    this.screen = make("g");
    this.cursor = make("g");
    this.svg = make("svg", {}, this.world, this.screen, this.cursor);
    this.view.append(this.svg);
    this.where = document.createElement("div");
    this.where.className = "where";
    this.where.hidden = true;
    this.view.append(this.where);
    this.dragging = null;
    this.svg.addEventListener("pointerdown", (event) => this.down(event));
    this.svg.addEventListener("pointermove", (event) => this.move(event));
    this.svg.addEventListener("pointerup", (event) => this.up(event));
    this.svg.addEventListener("pointercancel", () => this.drop());
    this.svg.addEventListener("pointerleave", () => this.hover(null));
    this.svg.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    section.querySelector(".fit").addEventListener("click", () => this.fit());
    new ResizeObserver(() => (this.touched ? this.place() : this.fit())).observe(this.view);
  }

  /** [left, low, right, high] of the world: what `fit` shows. */
  bounds() {
    return [0, 0, 1, 1];
  }

  fit() {
    this.touched = false;
    const [left, low, right, high] = this.bounds();
    const { width, height } = this.size();
    this.scale = 0.97 * Math.min(width / Math.max(right - left, 1e-6), height / Math.max(high - low, 1e-6));
    this.centre = [(left + right) / 2, (low + high) / 2];
    this.place();
  }

  size() {
    return { width: this.view.clientWidth || 1, height: this.view.clientHeight || 1 };
  }

  toScreen([x, y]) {
    const { width, height } = this.size();
    const up = this.flip ? -1 : 1;
    return [width / 2 + (x - this.centre[0]) * this.scale, height / 2 + up * (y - this.centre[1]) * this.scale];
  }

  toWorld([a, b]) {
    const { width, height } = this.size();
    const up = this.flip ? -1 : 1;
    return [this.centre[0] + (a - width / 2) / this.scale, this.centre[1] + (up * (b - height / 2)) / this.scale];
  }

  /** Puts everything where the view has it. */
  place() {
    const [a, b] = this.toScreen([0, 0]);
    this.world.setAttribute("transform", `matrix(${this.scale} 0 0 ${this.flip ? -this.scale : this.scale} ${a} ${b})`);
    this.draw();
  }

  zoom(factor, at = null) {
    const { width, height } = this.size();
    const pivot = at ?? [width / 2, height / 2];
    const before = this.toWorld(pivot);
    this.scale *= factor;
    const after = this.toWorld(pivot);
    this.centre = [this.centre[0] + before[0] - after[0], this.centre[1] + before[1] - after[1]];
    this.touched = true;
    this.place();
  }

  at(event) {
    const box = this.svg.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 120) * 0.0022), this.at(event));
  }

  down(event) {
    if (event.button > 1) return;
    const handle = event.target.closest("[data-handle]");
    this.svg.setPointerCapture(event.pointerId);
    this.dragging = { start: this.at(event), last: this.at(event), handle: handle?.dataset.handle ?? null, moved: false };
    if (handle) {
      this.grab(this.dragging.handle);
      event.preventDefault();
    }
  }

  move(event) {
    const at = this.at(event);
    const drag = this.dragging;
    if (drag) {
      if (!drag.moved && Math.hypot(at[0] - drag.start[0], at[1] - drag.start[1]) > CLICK_PX) drag.moved = true;
      if (drag.moved && drag.handle !== null) {
        this.dragTo(drag.handle, this.toWorld(at), event);
      } else if (drag.moved) {
        this.svg.classList.add("panning");
        this.centre = this.centre.map((value, i) => {
          const step = (at[i] - drag.last[i]) / this.scale;
          return value - (i === 1 && this.flip ? -step : step);
        });
        this.touched = true;
        this.place();
      }
      drag.last = at;
    }
    this.hover(this.toWorld(at));
  }

  up(event) {
    const drag = this.dragging;
    this.drop();
    if (drag && !drag.moved && drag.handle === null) this.click(this.toWorld(this.at(event)), event);
    else if (drag?.handle != null) this.release(drag.handle, drag.moved);
  }

  drop() {
    this.dragging = null;
    this.svg.classList.remove("panning");
  }

  // What subclasses do.
  draw() {}
  click() {}
  grab() {}
  dragTo() {}
  release() {}
  hover() {}

  /** A numbered point that can be dragged and has the keyboard; `away` is where its number stands. */
  pointMark(index, at, { wrong, half, chosen, label, away = [14, -14] }) {
    const [x, y] = this.toScreen(at);
    const wide = index + 1 > 9 ? 22 : 17;
    const kind = ["point", wrong && "wrong", half && "half", chosen && "chosen"].filter(Boolean).join(" ");
    return make(
      "g",
      { class: kind, transform: `translate(${x} ${y})`, tabindex: 0, role: "button", "aria-label": label, "data-handle": index },
      make("circle", { class: "reach", r: 14 }),
      make("circle", { class: "ring", r: 6.5 }),
      make("circle", { class: "disc", r: 6.5 }),
      make("circle", { class: "dot", r: 1.3 }),
      make("rect", { x: away[0] - wide / 2, y: away[1] - 9, width: wide, height: 18, rx: 5 }),
      make("text", { x: away[0], y: away[1] + 0.5 }, String(index + 1)),
    );
  }

  /** Draws handles anew, and gives the keyboard back to the one that had it. */
  redraw(layer, children) {
    const held = layer.contains(document.activeElement) ? document.activeElement.dataset.handle : null;
    layer.replaceChildren(...children);
    if (held !== null && held !== undefined) layer.querySelector(`[data-handle="${held}"]`)?.focus({ preventScroll: true });
  }

  crossAt(at) {
    if (!at) return [];
    const [x, y] = this.toScreen(at);
    const path = `M${x - 11} ${y}H${x - 3}M${x + 3} ${y}H${x + 11}M${x} ${y - 11}V${y - 3}M${x} ${y + 3}V${y + 11}`;
    return [make("path", { class: "cross-under", d: path }), make("path", { class: "cross", d: path })];
  }
}

export function path(points, closed = false) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x} ${y}`).join("") + (closed && points.length ? "Z" : "");
}
