// The floor from above, in metres: the plan or a metric grid, what each camera sees of it, and the points' places.

import { make, Pane, path } from "./pane.js";
import { round } from "./store.js";

const SNAP_M = 0.1;
const SNAP_PX = 11; // to another camera's mark
const EMPTY_M = [-1, -1, 11, 8]; // shown before anything is known

export class Floor extends Pane {
  constructor(section, store, floor) {
    super(section, { flip: !floor.y_down });
    this.store = store;
    this.floor = floor;
    this.plan = null;
    this.planImage = make("image", { preserveAspectRatio: "none" });
    this.planImage.style.opacity = 0.75;
    this.metres = make("g");
    this.views = make("g");
    this.svg.insertBefore(this.metres, this.world);
    this.world.append(this.planImage, this.views);
    this.hover(null);
  }

  showPlan(plan) {
    this.plan = plan;
    const { pixels_per_metre: scale, origin_px: [u, v], y_down: down } = this.floor;
    const box = { x: -u / scale, y: -v / scale, width: plan.width / scale, height: plan.height / scale };
    for (const [key, value] of Object.entries(box)) this.planImage.setAttribute(key, value);
    if (!down) this.planImage.setAttribute("transform", "scale(1 -1)");
    this.planImage.setAttribute("href", plan.url);
    this.fit();
  }

  bounds() {
    const places = [];
    if (this.plan) {
      const { pixels_per_metre: scale, origin_px: [u, v], y_down: down } = this.floor;
      const sign = down ? 1 : -1;
      places.push([-u / scale, (sign * -v) / scale]);
      places.push([(this.plan.width - u) / scale, (sign * (this.plan.height - v)) / scale]);
      for (const { camera } of this.store.verdicts.values()) if (camera) places.push(camera);
    } else {
      for (const camera of this.store.cameras) {
        for (const point of camera.points) if (point.x !== null) places.push([point.x, point.y]);
        const verdict = this.store.verdicts.get(camera.name);
        if (verdict?.camera && camera.points.length) places.push(verdict.camera);
        else if (!camera.points.length) places.push(...(verdict?.footprint ?? []));
      }
    }
    if (!places.length) return EMPTY_M;
    const xs = places.map((place) => place[0]);
    const ys = places.map((place) => place[1]);
    const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
    const margin = this.plan ? 0.2 : 1.5;
    return [box[0] - margin, box[1] - margin, Math.max(box[2], box[0] + 5) + margin, Math.max(box[3], box[1] + 4) + margin];
  }

  draw() {
    const { store } = this;
    if (!store.camera) return;
    this.metres.replaceChildren(...this.grid());
    const views = [];
    const names = [];
    for (const camera of store.cameras) {
      const verdict = store.verdicts.get(camera.name);
      const mine = camera === store.camera;
      if (verdict?.footprint?.length) {
        views.push(coloured(make("path", { class: `view-of${mine ? "" : " other"}`, d: path(verdict.footprint, true) }), camera));
      }
      if (verdict?.region?.length) views.push(coloured(make("path", { class: "floor-zone", d: path(verdict.region, true) }), camera));
      for (const zone of verdict?.handoff ?? []) {
        if (zone.length) views.push(coloured(make("path", { class: "floor-zone", d: path(zone, true) }), camera));
      }
      if (verdict?.camera) {
        const [x, y] = this.toScreen(verdict.camera);
        names.push(coloured(make("rect", { class: "camera-mark", x: x - 5, y: y - 5, width: 10, height: 10, rx: 2 }), camera));
        names.push(coloured(make("text", { class: "camera-name", x: x + 9, y: y - 7 }, camera.name), camera));
      }
    }
    this.views.replaceChildren(...views);
    const marks = store.cameras
      .filter((camera) => camera !== store.camera)
      .flatMap((camera) =>
        camera.points
          .filter((point) => point.x !== null)
          .map((point) => {
            const [cx, cy] = this.toScreen([point.x, point.y]);
            return coloured(make("circle", { class: "mark-of-other", cx, cy, r: 5 }), camera);
          }),
      );
    const lines = [];
    const points = store.camera.points.flatMap((point, index) => {
      if (point.x === null) return [];
      const judged = store.judged(index);
      if (judged?.placed) {
        const [from, to] = [this.toScreen([point.x, point.y]), this.toScreen(judged.placed)];
        lines.push(make("path", { class: "line error-line", d: path([from, to]) }));
      }
      const half = point.u === null;
      const label = `Point ${index + 1} on the floor, x ${point.x} m, y ${point.y} m${half ? ", its pixel in the picture is missing" : ""}`;
      return [this.pointMark(index, [point.x, point.y], { wrong: judged?.wrong, half, chosen: index === store.chosen, label })];
    });
    this.redraw(this.screen, [...names, ...marks, ...lines, ...points]);
  }

  /** Lines every metre, or finer and coarser so that they stay apart; the axes in their colours. */
  grid() {
    const { width, height } = this.size();
    const [left, top] = this.toWorld([0, 0]);
    const [right, bottom] = this.toWorld([width, height]);
    const step = [0.1, 0.5, 1, 5, 10, 50, 100].find((metres) => metres * this.scale >= 14) ?? 500;
    const every = [0.5, 1, 5, 10, 50, 100].find((metres) => metres * this.scale >= 40 && metres >= step) ?? 500;
    const lines = [];
    const labels = [];
    const rule = (from, to, draw) => {
      for (let n = Math.ceil(Math.min(from, to) / step); n <= Math.max(from, to) / step; n++) draw(round(n * step, 3));
    };
    const named = (value) => Math.abs(value / every - Math.round(value / every)) < 1e-6;
    const kind = (value, axis) => `metre${value === 0 ? ` axis-${axis}` : named(value) ? " bold" : ""}`;
    rule(left, right, (x) => {
      const [a] = this.toScreen([x, 0]);
      lines.push(make("line", { class: kind(x, "y"), x1: a, x2: a, y1: 0, y2: height }));
      if (named(x) && a > 24) labels.push(make("text", { class: "metre-label", x: a + 3, y: height - 6 }, `${x}`));
    });
    rule(top, bottom, (y) => {
      const [, b] = this.toScreen([0, y]);
      lines.push(make("line", { class: kind(y, "x"), x1: 0, x2: width, y1: b, y2: b }));
      if (named(y) && b < height - 24) labels.push(make("text", { class: "metre-label", x: 4, y: b - 3 }, `${y}`));
    });
    return [...lines, ...labels];
  }

  /** A place as it is taken: on another camera's mark, or on whole decimetres where there is no plan. */
  kept([x, y], free) {
    if (!free) {
      const [a, b] = this.toScreen([x, y]);
      for (const camera of this.store.cameras) {
        if (camera === this.store.camera) continue;
        for (const point of camera.points) {
          if (point.x === null) continue;
          const [c, d] = this.toScreen([point.x, point.y]);
          if (Math.hypot(a - c, b - d) < SNAP_PX) return [point.x, point.y];
        }
      }
      if (!this.plan) return [x, y].map((value) => round(Math.round(value / SNAP_M) * SNAP_M, 2));
    }
    return [round(x, 2), round(y, 2)];
  }

  click(at, event) {
    const [x, y] = this.kept(at, event.altKey);
    const { store } = this;
    store.pause();
    if (store.point && store.point.x === null) store.movePoint(store.chosen, { x, y });
    else store.addPoint({ x, y });
  }

  grab(handle) {
    this.store.choose(Number(handle));
    this.store.pause();
    this.screen.querySelector(`[data-handle="${handle}"]`)?.focus({ preventScroll: true });
  }

  dragTo(handle, at, event) {
    const [x, y] = this.kept(at, event.altKey);
    this.store.movePoint(Number(handle), { x, y }, `drag floor ${handle}`);
  }

  release() {
    this.store.pause();
  }

  hover(at) {
    this.where.hidden = !at;
    if (at) this.where.textContent = `x ${at[0].toFixed(2)}  y ${at[1].toFixed(2)} m`;
    this.onHover?.(at);
  }

  cross(at) {
    this.cursor.replaceChildren(...this.crossAt(at));
    this.where.hidden = !at;
    if (at) this.where.textContent = `x ${at[0].toFixed(2)}  y ${at[1].toFixed(2)} m`;
  }
}

function coloured(element, camera) {
  element.style.setProperty("--camera", camera.colour);
  return element;
}
