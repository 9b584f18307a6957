// A camera's picture: the points where they were clicked, the floor's grid over it, regions and handoff zones.

import { make, Pane, path } from "./pane.js";
import { round } from "./store.js";

const LOUPE_PX = 148;
const LOUPE_ZOOM = 5;

export class Picture extends Pane {
  constructor(section, store, tools) {
    super(section);
    this.store = store;
    this.tools = tools; // mode, polygon that is being drawn, and what happens to corners
    this.shown = null; // {url, width, height}
    this.image = make("image", { preserveAspectRatio: "none" });
    this.veil = make("image", { class: "veil", preserveAspectRatio: "none" });
    this.frame = make("rect");
    this.under = make("g", { "clip-path": "url(#picture-frame)" });
    this.world.append(make("clipPath", { id: "picture-frame" }, this.frame), this.image, this.veil, this.under);
    this.loupeImage = make("image", { preserveAspectRatio: "none" });
    this.loupeMarks = make("g");
    const middle = LOUPE_PX / 2;
    const cross = `M${middle} 0V${middle - 7}M${middle} ${middle + 7}V${LOUPE_PX}M0 ${middle}H${middle - 7}M${middle + 7} ${middle}H${LOUPE_PX}`;
    this.loupe = make(
      "svg",
      { class: "loupe", viewBox: `0 0 ${LOUPE_PX} ${LOUPE_PX}`, "aria-hidden": "true" },
      this.loupeImage,
      this.loupeMarks,
      make("path", { class: "cross-under", d: cross }),
      make("path", { class: "cross", d: cross }),
    );
    this.loupe.style.display = "none";
    this.trouble = document.createElement("div");
    this.trouble.className = "trouble";
    this.view.append(this.loupe, this.trouble);
  }

  /** Pixels of the calibration; the picture is shown at that size. */
  imageSize() {
    const size = this.store.camera?.image_size;
    if (size) return size;
    return this.shown ? [this.shown.width, this.shown.height] : [1280, 720];
  }

  bounds() {
    const [width, height] = this.imageSize();
    return [-0.5, -0.5, width - 0.5, height - 0.5];
  }

  /** Shows a picture; `fresh`: of another camera, to be shown whole. text: why there is none. */
  show(picture, text, fresh) {
    this.shown = picture;
    this.image.setAttribute("href", picture?.url ?? "");
    this.loupeImage.setAttribute("href", picture?.url ?? "");
    this.image.style.display = picture ? "" : "none";
    this.trouble.replaceChildren();
    this.trouble.hidden = Boolean(picture);
    if (!picture) {
      const line = document.createElement(text ? "strong" : "span");
      line.textContent = text ?? "waiting for the camera's picture";
      this.trouble.append(line);
    }
    if (fresh) this.fit();
    else this.place();
  }

  draw() {
    const { store } = this;
    if (!store.camera) return;
    const [width, height] = this.imageSize();
    for (const image of [this.image, this.veil, this.frame]) {
      for (const [key, value] of Object.entries({ x: -0.5, y: -0.5, width, height })) image.setAttribute(key, value);
    }
    const verdict = store.verdict;
    this.drawVeil(verdict);
    this.under.replaceChildren(...this.gridLines(verdict), ...this.zones());
    const marks = [...this.gridLabels(verdict), ...this.zoneNames()];
    const handles = this.tools.mode === "points" ? this.points(marks) : this.corners();
    this.redraw(this.screen, [...marks, ...handles]);
  }

  drawVeil(verdict) {
    const veil = verdict?.veil;
    this.veil.style.display = veil ? "" : "none";
    if (!veil || this.veiled === veil.trusted) return;
    this.veiled = veil.trusted;
    const coarse = new OffscreenCanvas(veil.columns, veil.rows);
    const data = new ImageData(veil.columns, veil.rows);
    for (let i = 0; i < veil.trusted.length; i++) {
      data.data.set([16, 18, 22, veil.trusted[i] === "1" ? 0 : 120], 4 * i);
    }
    coarse.getContext("2d").putImageData(data, 0, 0);
    const canvas = document.createElement("canvas"); // larger: its edges become soft
    [canvas.width, canvas.height] = [8 * veil.columns, 8 * veil.rows];
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(coarse, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => {
      if (this.veilUrl) URL.revokeObjectURL(this.veilUrl);
      this.veilUrl = URL.createObjectURL(blob);
      this.veil.setAttribute("href", this.veilUrl);
    });
  }

  gridLines(verdict) {
    if (!verdict?.grid) return [];
    const lines = verdict.grid.map((line) =>
      make("path", {
        class: `line grid-${"xy"[line.axis]}${line.bold ? " bold" : ""}`,
        d: line.runs.map((run) => path(run)).join(""),
      }),
    );
    if (verdict.horizon.length) lines.push(make("path", { class: "line horizon", d: path(verdict.horizon) }));
    if (verdict.hull?.length) lines.push(make("path", { class: "line hull", d: path(verdict.hull, true) }));
    return lines;
  }

  /** Each line's value at its lower end in sight, where no other label is. */
  gridLabels(verdict) {
    const { width, height } = this.size();
    const taken = [];
    const labels = [];
    for (const line of verdict?.grid ?? []) {
      if (!line.labelled) continue;
      const inner = line.runs
        .flat()
        .map((at) => this.toScreen(at))
        .filter(([x, y]) => x > 20 && x < width - 20 && y > 14 && y < height - 14);
      const at = inner.reduce((best, each) => (!best || each[1] > best[1] ? each : best), null);
      if (!at || taken.some((other) => Math.hypot(other[0] - at[0], other[1] - at[1]) < 34)) continue;
      taken.push(at);
      labels.push(
        make(
          "g",
          { class: "grid-label", transform: `translate(${at[0]} ${at[1]})` },
          make("rect", { x: -15, y: -8, width: 30, height: 16, fill: line.axis ? "#53c7f0" : "#ff8d7c" }),
          make("text", {}, `${"xy"[line.axis]} ${line.value}`),
        ),
      );
    }
    return labels;
  }

  zones() {
    const { camera } = this.store;
    const { mode, polygon } = this.tools;
    const shapes = [];
    const add = (corners, kind) => {
      if (corners.length > 1) shapes.push(make("path", { class: `polygon ${kind}`, d: path(corners, corners.length > 2) }));
    };
    add(camera.region, mode === "region" ? "" : "faint");
    camera.handoff.forEach((link) => add(this.zoneCorners(link.zone), mode === "handoff" ? "" : "faint"));
    if (polygon.length) {
      add([...polygon, ...(this.pointer ? [this.pointer] : [])], "drawing");
    }
    return shapes;
  }

  zoneNames() {
    return this.store.camera.handoff.map((link) => {
      const corners = this.zoneCorners(link.zone);
      const middle = [0, 1].map((i) => corners.reduce((sum, corner) => sum + corner[i], 0) / corners.length);
      const [x, y] = this.toScreen(middle);
      return make("text", { class: "zone-name", x, y }, `to ${link.to}`);
    });
  }

  zoneCorners(zone) {
    if (Array.isArray(zone)) return zone;
    const [width, height] = this.imageSize();
    const left = zone.endsWith("right") ? width / 2 : 0;
    const top = zone.startsWith("lower") ? height / 2 : 0;
    return [[left, top], [left + width / 2, top], [left + width / 2, top + height / 2], [left, top + height / 2]];
  }

  /** Points and, before them, the lines from where they were clicked to where the fit has them. */
  points(before) {
    const { store } = this;
    return store.camera.points.flatMap((point, index) => {
      if (point.u === null) return [];
      const judged = store.judged(index);
      if (judged?.fitted) {
        const [from, to] = [this.toScreen([point.u, point.v]), this.toScreen(judged.fitted)];
        before.push(make("path", { class: "line error-line", d: path([from, to]) }));
      }
      const half = point.x === null;
      const label = `Point ${index + 1} in the picture, u ${point.u}, v ${point.v}${half ? ", its place on the floor is missing" : ""}`;
      return [this.pointMark(index, [point.u, point.v], { wrong: judged?.wrong, half, chosen: index === store.chosen, label })];
    });
  }

  corners() {
    return this.tools.corners().map(([key, corner]) => {
      const [cx, cy] = this.toScreen(corner);
      return make("circle", { class: "corner", cx, cy, r: 6, tabindex: 0, role: "button", "aria-label": `Corner ${key}`, "data-handle": key });
    });
  }

  inPicture([u, v]) {
    const [left, low, right, high] = this.bounds();
    return u >= left && u <= right && v >= low && v <= high;
  }

  kept([u, v]) {
    const [width, height] = this.imageSize();
    const inside = (value, most) => round(Math.min(Math.max(value, 0), most), 1);
    return [inside(u, width - 1), inside(v, height - 1)];
  }

  click(at) {
    if (!this.inPicture(at)) return;
    const [u, v] = this.kept(at);
    if (this.tools.mode !== "points") {
      this.tools.addCorner([u, v]);
      return;
    }
    const { store } = this;
    store.pause();
    if (store.point && store.point.u === null) store.movePoint(store.chosen, { u, v });
    else store.addPoint({ u, v });
  }

  grab(handle) {
    if (this.tools.mode === "points") this.store.choose(Number(handle));
    this.store.pause();
    this.screen.querySelector(`[data-handle="${handle}"]`)?.focus({ preventScroll: true });
  }

  dragTo(handle, at) {
    const [u, v] = this.kept(at);
    if (this.tools.mode === "points") this.store.movePoint(Number(handle), { u, v }, `drag ${handle}`);
    else this.tools.moveCorner(handle, [u, v], `drag ${handle}`);
  }

  release(handle, moved) {
    this.store.pause();
    if (!moved && this.tools.mode !== "points") this.tools.hitCorner(handle);
  }

  hover(at) {
    this.pointer = at && this.inPicture(at) ? at : null;
    this.where.hidden = !this.pointer;
    if (this.pointer) this.where.textContent = `u ${at[0].toFixed(0)}  v ${at[1].toFixed(0)}`;
    this.magnify(this.pointer);
    if (this.tools.polygon.length) this.under.replaceChildren(...this.gridLines(this.store.verdict), ...this.zones());
    this.onHover?.(this.pointer);
  }

  /** The loupe: the picture around a place, five times as large as the view has it. */
  magnify(at) {
    this.loupe.style.display = at && this.shown ? "" : "none";
    if (!at || !this.shown) return;
    const zoom = Math.max(LOUPE_ZOOM * this.scale, 3);
    const [width, height] = this.imageSize();
    const toLoupe = ([u, v]) => [LOUPE_PX / 2 + (u - at[0]) * zoom, LOUPE_PX / 2 + (v - at[1]) * zoom];
    const [x, y] = toLoupe([-0.5, -0.5]);
    for (const [key, value] of Object.entries({ x, y, width: width * zoom, height: height * zoom })) {
      this.loupeImage.setAttribute(key, value);
    }
    const [a, b] = this.toScreen(at);
    this.loupe.classList.toggle("left", a > this.size().width - LOUPE_PX - 40 && b < LOUPE_PX + 40);
  }

  cross(at, ends) {
    this.cursor.replaceChildren(...this.poleAt(ends), ...this.crossAt(at));
  }

  /** A person's height, upright where the pointer is: [foot, head]. */
  poleAt(ends) {
    if (!ends) return [];
    const [[x1, y1], [x2, y2]] = ends.map((end) => this.toScreen(end));
    const d = `M${x1} ${y1}L${x2} ${y2}M${x2 - 5} ${y2}H${x2 + 5}`;
    return [make("path", { class: "cross-under", d }), make("path", { class: "cross", d })];
  }
}
