// What part of the ground is shown: everything, until somebody moves the map; then what they chose. Drag, wheel, pinch.

import { bounds, mapped } from "./geometry.js";

const MARGIN_PX = 44;
const SMALLEST_M = 8;
const SCALES = [0.5, 600]; // px a metre
const EASE_MS = 220;
const CLICK_PX = 6;

export class Framing {
  /** onClick(u, v, reach) and onMove() are called back. */
  constructor(floor, { onClick, onMove }) {
    this.floor = floor;
    this.auto = true;
    this.goal = null; // [x0, y0, x1, y1] on the ground
    this.follow = null; // a place to keep in the middle
    Object.assign(this, { onClick, onMove });
    this.pointers = new Map();
    this.#listen(floor.canvas);
  }

  /** Shows everything, from now on. */
  fit() {
    this.auto = true;
    this.onMove();
  }

  /** Has in view what there is: the floor plan, or what the cameras see well and where people are. */
  include(site, plan, people) {
    let box;
    if (plan) {
      const { perMetre, origin } = site.floor;
      const [w, h] = [plan.width / perMetre, plan.height / perMetre];
      const [x, y] = [-origin[0] / perMetre, origin[1] / perMetre];
      box = site.yUp ? [x, y - h, x + w, y] : [x, -y, x + w, h - y];
    } else {
      box = bounds([...(site?.cameras ?? []).flatMap(nearGround), ...people.map(({ x, y }) => [x, y])]);
    }
    if (!box) return;
    const widen = ([low, high]) => {
      const more = Math.max(0, SMALLEST_M - (high - low)) / 2;
      return [low - more, high + more];
    };
    const [x0, x1] = widen([box[0], box[2]]);
    const [y0, y1] = widen([box[1], box[3]]);
    // It grows with people who walk out of it and does not shrink behind them: the map lies still.
    const old = plan ? null : this.goal;
    this.goal = old
      ? [Math.min(old[0], x0), Math.min(old[1], y0), Math.max(old[2], x1), Math.max(old[3], y1)]
      : [x0, y0, x1, y1];
  }

  forget() {
    this.goal = null;
    this.settled = false;
  }

  /** Moves towards the goal; true: it is still on its way. */
  step(elapsed) {
    const { view } = this.floor;
    let { x, y, scale } = view;
    if (this.auto && this.goal) {
      const [x0, y0, x1, y1] = this.goal;
      const room = [Math.max(view.width - 2 * MARGIN_PX, 40), Math.max(view.height - 2 * MARGIN_PX, 40)];
      scale = clamped(Math.min(room[0] / (x1 - x0), room[1] / (y1 - y0)));
      [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
      if (this.follow) {
        scale = clamped(Math.max(scale * 1.4, scale));
        [x, y] = this.follow;
      }
    } else if (this.follow) {
      [x, y] = this.follow;
    }
    const part = this.settled ? 1 - Math.exp(-Math.max(elapsed, 0) / EASE_MS) : 1;
    this.settled ||= this.goal !== null;
    const far = Math.hypot(x - view.x, y - view.y) * view.scale + Math.abs(Math.log(scale / view.scale)) * 200;
    const whole = part === 1 || far < 0.3;
    view.x += whole ? x - view.x : part * (x - view.x);
    view.y += whole ? y - view.y : part * (y - view.y);
    view.scale = whole ? scale : view.scale * (scale / view.scale) ** part;
    return !whole;
  }

  #zoom(factor, u, v) {
    const { floor } = this;
    const [x, y] = floor.toGround(u, v);
    this.auto = false;
    floor.view.scale = clamped(floor.view.scale * factor);
    const [nx, ny] = floor.toGround(u, v);
    floor.view.x += x - nx;
    floor.view.y += y - ny;
    this.onMove();
  }

  #pan(du, dv) {
    const { view } = this.floor;
    this.auto = false;
    this.follow = null;
    view.x -= du / view.scale;
    view.y += ((view.yUp ? 1 : -1) * dv) / view.scale;
    this.onMove();
  }

  #listen(canvas) {
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.#zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...at(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, at(event));
      this.travelled = this.pointers.size > 1 ? Infinity : 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const now = at(event);
      const [du, dv] = [now[0] - before[0], now[1] - before[1]];
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
      this.travelled += Math.hypot(du, dv);
      if (other) {
        const distance = (point) => Math.max(Math.hypot(point[0] - other[0], point[1] - other[1]), 1);
        this.#pan(du / 2, dv / 2);
        this.#zoom(distance(now) / distance(before), ...other);
      } else if (this.travelled > CLICK_PX) {
        this.#pan(du, dv);
      }
      this.pointers.set(event.pointerId, now);
    });
    const leave = (event) => {
      if (event.type === "pointerup" && this.pointers.size === 1 && this.travelled <= CLICK_PX) {
        this.onClick(...at(event), event.pointerType === "mouse" ? 16 : 26);
      }
      this.pointers.delete(event.pointerId);
    };
    canvas.addEventListener("pointerup", leave);
    canvas.addEventListener("pointercancel", leave);
  }
}

const clamped = (scale) => Math.min(Math.max(scale, SCALES[0]), SCALES[1]);

/** Places on the ground that a camera sees from near: of its picture's lower part. The rest may reach to the horizon. */
function nearGround(camera) {
  if (!camera.homography || !camera.size) return camera.footprint;
  const [width, height] = camera.size;
  const places = [];
  for (const row of [0.5, 0.75, 1]) {
    for (const column of [0, 0.5, 1]) {
      const place = mapped(camera.homography, [width * column, height * row]);
      if (place) places.push(place);
    }
  }
  return places;
}
