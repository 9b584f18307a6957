// What lies still under the people: floor plan or metric grid, what the cameras see, zones, the scale. Painted to a layer
// of its own, again only when something of it has changed.

import { colour } from "/common/theme.js";
import { mapped } from "./geometry.js";

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500];
const FONT = 'px system-ui, "Noto Sans", "DejaVu Sans", sans-serif';
const SICK = new Set(["stalled", "offline", "refused"]);

export class Ground {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
    this.key = null;
    this.marks = []; // where the cameras' marks were painted: {name, u, v}
  }

  /** The painted layer. */
  layer(floor, scene) {
    const { view } = floor;
    const key = [
      ...Object.values(view), scene.dark, scene.camera, scene.floor !== null, scene.siteNumber, scene.health, scene.stale,
    ].join(" ");
    if (key !== this.key) {
      this.key = key;
      this.canvas.width = floor.canvas.width;
      this.canvas.height = floor.canvas.height;
      this.context.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
      this.#paint(floor, scene);
    }
    return this.canvas;
  }

  cameraAt(u, v, reach) {
    const near = this.marks.filter((mark) => Math.hypot(mark.u - u, mark.v - v) < reach);
    return near.length ? near[0].name : null;
  }

  #paint(floor, scene) {
    const { context } = this;
    const { view } = floor;
    context.fillStyle = colour("paper");
    context.fillRect(0, 0, view.width, view.height);
    if (scene.floor) this.#paintPlan(floor, scene);
    this.#paintGrid(floor, scene);
    this.marks = [];
    const cameras = scene.site?.cameras ?? [];
    for (const camera of cameras) this.#paintFootprint(floor, camera, scene);
    for (const camera of cameras) this.#paintZones(floor, camera);
    for (const camera of cameras) this.#paintMark(floor, camera, scene);
    this.#paintScale(floor);
  }

  #paintPlan(floor, scene) {
    const { context } = this;
    const { perMetre, origin } = scene.site.floor;
    const [left, top] = floor.toScreen(0, 0);
    const size = floor.view.scale / perMetre;
    const { picture, strength, mode } = scene.floor.shown(scene.dark);
    context.globalAlpha = strength;
    context.globalCompositeOperation = mode;
    context.drawImage(
      picture, left - origin[0] * size, top - origin[1] * size, scene.floor.width * size, scene.floor.height * size,
    );
    context.globalAlpha = 1;
    context.globalCompositeOperation = "source-over";
  }

  #paintGrid(floor, scene) {
    const { context } = this;
    const { view } = floor;
    const step = STEPS.find((one) => one * view.scale >= 34) ?? 1000;
    const [[x0, ya], [x1, yb]] = [floor.toGround(0, 0), floor.toGround(view.width, view.height)];
    const [y0, y1] = [Math.min(ya, yb), Math.max(ya, yb)];
    context.lineWidth = 1;
    context.strokeStyle = colour("grid");
    context.globalAlpha = scene.floor ? 0.35 : 1;
    for (const strong of [false, true]) {
      context.beginPath();
      for (let i = Math.ceil(x0 / step); i * step <= x1; i++) {
        if ((i % 5 === 0) !== strong) continue;
        const u = Math.round(floor.toScreen(i * step, 0)[0]) + 0.5;
        context.moveTo(u, 0);
        context.lineTo(u, view.height);
      }
      for (let i = Math.ceil(y0 / step); i * step <= y1; i++) {
        if ((i % 5 === 0) !== strong) continue;
        const v = Math.round(floor.toScreen(0, i * step)[1]) + 0.5;
        context.moveTo(0, v);
        context.lineTo(view.width, v);
      }
      context.strokeStyle = colour(strong ? "line" : "grid");
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  #trace(floor, points) {
    this.context.beginPath();
    points.forEach(([x, y], i) => {
      const [u, v] = floor.toScreen(x, y);
      if (i) this.context.lineTo(u, v);
      else this.context.moveTo(u, v);
    });
    this.context.closePath();
  }

  #paintFootprint(floor, camera, scene) {
    if (camera.footprint.length < 3) return;
    const { context } = this;
    const chosen = scene.camera === camera.name;
    const faded = scene.camera !== null && !chosen;
    context.fillStyle = context.strokeStyle = colour("accent");
    this.#trace(floor, camera.footprint);
    context.globalAlpha = chosen ? 0.14 : faded ? 0.03 : 0.055;
    context.fill();
    context.globalAlpha = chosen ? 0.9 : faded ? 0.25 : 0.4;
    context.lineWidth = chosen ? 1.75 : 1;
    context.stroke();
    if (chosen) this.#paintCoverage(floor, camera);
    context.globalAlpha = 1;
  }

  /** The camera's picture as a mesh on the ground: where it is wide, a px is far. */
  #paintCoverage(floor, camera) {
    if (!camera.homography || !camera.size) return;
    const { context } = this;
    const [width, height] = camera.size;
    context.save();
    this.#trace(floor, camera.footprint);
    context.clip();
    context.globalAlpha = 0.3;
    context.lineWidth = 1;
    context.beginPath();
    const line = (from, to) => {
      for (let i = 0, started = false; i <= 24; i++) {
        const part = i / 24;
        const place = mapped(camera.homography, [from[0] + part * (to[0] - from[0]), from[1] + part * (to[1] - from[1])]);
        if (!place) continue;
        const [u, v] = floor.toScreen(...place);
        if (started && Math.abs(u) < 1e5 && Math.abs(v) < 1e5) context.lineTo(u, v);
        else context.moveTo(u, v);
        started = true;
      }
    };
    const top = topOf(camera);
    for (let i = 1; i < 8; i++) line([(width * i) / 8, top], [(width * i) / 8, height]);
    for (let i = 1; i < 8; i++) line([0, top + ((height - top) * i) / 8], [width, top + ((height - top) * i) / 8]);
    context.stroke();
    context.restore();
  }

  #paintZones(floor, camera) {
    if (!camera.homography) return;
    const { context } = this;
    for (const [name, corners] of Object.entries(camera.zones)) {
      const places = corners.map((corner) => mapped(camera.homography, corner));
      if (places.length < 3 || places.includes(null)) continue;
      context.strokeStyle = colour("muted");
      context.globalAlpha = 0.6;
      context.lineWidth = 1;
      context.setLineDash([4, 4]);
      this.#trace(floor, places);
      context.stroke();
      context.setLineDash([]);
      context.globalAlpha = 1;
      context.font = `11${FONT}`;
      context.fillStyle = colour("muted");
      const [u, v] = floor.toScreen(...places[0]);
      context.fillText(name, u + 5, v - 5);
    }
  }

  /** A camera's mark stands at the middle of what its picture's lower edge sees, and looks where the camera looks. */
  #paintMark(floor, camera, scene) {
    if (!camera.homography || !camera.size) return;
    const { context } = this;
    const { view } = floor;
    const [width, height] = camera.size;
    const near = mapped(camera.homography, [width / 2, height]);
    const far = mapped(camera.homography, [width / 2, height * 0.8]);
    if (!near || !far) return;
    let [u, v] = floor.toScreen(...near);
    const [fu, fv] = floor.toScreen(...far);
    const angle = Math.atan2(fv - v, fu - u);
    u = Math.min(Math.max(u, 26), view.width - 26);
    v = Math.min(Math.max(v, 26), view.height - 26);
    const chosen = scene.camera === camera.name;
    const sick = SICK.has(scene.states?.get(camera.name)?.state);
    context.save();
    context.translate(u, v);
    context.rotate(angle);
    context.fillStyle = colour(sick ? "bad" : "accent");
    context.strokeStyle = colour("paper");
    context.lineWidth = 2;
    context.beginPath();
    context.roundRect(-13, -5, 14, 10, 2);
    context.moveTo(2, 0);
    context.lineTo(9, -6);
    context.lineTo(9, 6);
    context.closePath();
    context.stroke();
    context.fill();
    context.restore();
    context.font = `${chosen ? 700 : 600} 12${FONT}`;
    const label = camera.name;
    const half = context.measureText(label).width / 2;
    const [lu, lv] = [u - Math.cos(angle) * (18 + half), v - Math.sin(angle) * 20 + 4];
    context.lineWidth = 4;
    context.strokeStyle = colour("paper");
    context.strokeText(label, lu - half, lv);
    context.fillStyle = colour(sick ? "bad" : "accent");
    context.fillText(label, lu - half, lv);
    this.marks.push({ name: camera.name, u, v });
  }

  #paintScale(floor) {
    const { context } = this;
    const { view } = floor;
    const metres = STEPS.findLast((one) => one * view.scale <= 140) ?? STEPS[0];
    const length = metres * view.scale;
    const [u, v] = [16.5, view.height - 16.5];
    context.strokeStyle = colour("muted");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(u, v - 5);
    context.lineTo(u, v);
    context.lineTo(u + length, v);
    context.lineTo(u + length, v - 5);
    context.stroke();
    context.font = `11${FONT}`;
    context.fillStyle = colour("muted");
    context.fillText(`${metres} m`, u + 5, v - 6);
  }
}

/** The uppermost row of a picture that still shows ground: its footprint's top. */
function topOf(camera) {
  if (!camera.toPicture) return 0;
  const rows = camera.footprint.map((place) => mapped(camera.toPicture, place)?.[1]).filter(Number.isFinite);
  return rows.length ? Math.max(0, Math.min(...rows)) : 0;
}
