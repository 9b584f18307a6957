// The map: a canvas with the floor, the cameras and the people on it. Ground metres become px by `view`.

import { colour } from "/common/theme.js";
import { personColour } from "./colours.js";
import { ellipse } from "./geometry.js";
import { Ground } from "./ground.js";
import { Labels } from "./labels.js";
import { LOST, PREDICTED, VISIBLE } from "./model.js";

export const TRAIL_MS = 12_000;
const CROWD = 60; // people; with more, trails are half as long, and ellipses few
const FADES = [0.08, 0.16, 0.28, 0.42, 0.6]; // of a trail, from its oldest part
const GAP_MS = 1500; // a trail is interrupted where nothing was known for longer
const DOT = 6;
const GLIDE_MS = 70; // in which a dot glides to where the newest message puts it
const FORGET_MS = 20_000; // in which somebody who was lost fades
const AHEAD_S = 0.25; // dots are moved on by their speed for so long after a message

export class Floor {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.ground = new Ground();
    this.labels = new Labels();
    this.backdrop = document.createElement("canvas"); // the ground and the trails on it, which change less often than people
    this.backdropKey = "";
    this.view = { x: 0, y: 0, scale: 20, yUp: true, width: 1, height: 1, ratio: 1 };
    this.shown = new Map(); // by id, where its dot was last painted
    this.trails = { key: "", paths: [], own: new Map() };
    this.painted = 0;
  }

  /** Fits the canvas to its box; true: the size has changed. */
  resize() {
    const box = this.canvas.getBoundingClientRect();
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const { view, canvas } = this;
    if (view.width === box.width && view.height === box.height && view.ratio === ratio) return false;
    Object.assign(view, { width: Math.max(box.width, 1), height: Math.max(box.height, 1), ratio });
    canvas.width = Math.round(view.width * ratio);
    canvas.height = Math.round(view.height * ratio);
    return true;
  }

  toScreen(x, y) {
    const { view } = this;
    return [
      view.width / 2 + (x - view.x) * view.scale,
      view.height / 2 + (view.yUp ? view.y - y : y - view.y) * view.scale,
    ];
  }

  toGround(u, v) {
    const { view } = this;
    const down = (v - view.height / 2) / view.scale;
    return [view.x + (u - view.width / 2) / view.scale, view.yUp ? view.y - down : view.y + down];
  }

  /** Paints a scene: {site, floor, people, history, time, live, stale, followed, camera, health, dark}. */
  paint(scene) {
    const { context, view } = this;
    const elapsed = Math.min(scene.time - this.painted, 1000);
    this.painted = scene.time;
    this.#place(scene, elapsed);
    this.#paintBackdrop(scene);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
    context.drawImage(this.backdrop, 0, 0);
    context.globalAlpha = scene.stale ? 0.35 : 1;
    context.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
    const order = [...scene.people].sort(
      (a, b) => (a.id === scene.followed) - (b.id === scene.followed) || b.state - a.state || a.id - b.id,
    );
    const paper = colour("paper");
    this.labels.begin(`${view.ratio} ${scene.dark}`);
    for (const person of order) this.#paintPerson(person, scene, paper);
    this.labels.end();
    context.globalAlpha = 1;
  }

  /** Who is painted at a point of the canvas; null: nobody. */
  personAt(u, v, reach) {
    let best = null;
    let nearest = reach;
    for (const [id, place] of this.shown) {
      const [pu, pv] = this.toScreen(place.x, place.y);
      const distance = Math.hypot(pu - u, pv - v);
      if (distance < nearest) [best, nearest] = [id, distance];
    }
    return best;
  }

  cameraAt(u, v, reach) {
    return this.ground.cameraAt(u, v, reach);
  }

  /** Where each dot goes: what the newest message says, moved on by its speed; dots glide there, they do not jump. */
  #place(scene, elapsed) {
    const shown = new Map();
    const ahead = scene.live ? Math.min((scene.time - scene.heard) / 1000, AHEAD_S) : 0;
    const part = scene.live && elapsed >= 0 ? 1 - Math.exp(-elapsed / GLIDE_MS) : 1;
    for (const person of scene.people) {
      const goal = { x: person.x + person.vx * ahead, y: person.y + person.vy * ahead };
      const before = this.shown.get(person.id);
      if (before && part < 1) {
        goal.x = before.x + part * (goal.x - before.x);
        goal.y = before.y + part * (goal.y - before.y);
      }
      shown.set(person.id, goal);
    }
    this.shown = shown;
  }

  #paintBackdrop(scene) {
    const { history } = scene;
    const until = scene.live ? history.newest : scene.time;
    const span = scene.people.length > CROWD ? TRAIL_MS / 2 : TRAIL_MS;
    const moment = `${until} ${span} ${scene.dark} ${history.length > 0}`;
    if (this.trails.key !== moment) {
      this.trails = { key: moment, ...trailPaths(history.trails(until - span, until), until, span) };
    }
    const ground = this.ground.layer(this, scene);
    const key = `${this.ground.key} ${moment} ${scene.followed}`;
    if (this.backdropKey === key) return;
    this.backdropKey = key;
    const { backdrop } = this;
    if (backdrop.width !== ground.width || backdrop.height !== ground.height) {
      Object.assign(backdrop, { width: ground.width, height: ground.height });
    }
    const context = backdrop.getContext("2d", { alpha: false });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
    context.drawImage(ground, 0, 0);
    context.globalAlpha = scene.stale ? 0.35 : 1;
    this.#paintTrails(context, scene);
  }

  #paintTrails(context, scene) {
    const { view } = this;
    const s = view.scale * view.ratio;
    const sy = view.yUp ? -s : s;
    const [u, v] = [view.width * view.ratio * 0.5 - view.x * s, view.height * view.ratio * 0.5 - view.y * sy];
    context.setTransform(s, 0, 0, sy, u, v);
    context.lineCap = "butt"; // round ends would show twice where two fades meet
    context.lineJoin = "round";
    const full = context.globalAlpha;
    context.lineWidth = 2.2 / view.scale;
    for (const { ink, fade, path } of this.trails.paths) {
      context.globalAlpha = full * FADES[fade] * (scene.followed === null ? 1 : 0.5);
      context.strokeStyle = ink;
      context.stroke(path);
    }
    const own = scene.followed !== null && this.trails.own.get(scene.followed);
    if (own) {
      context.globalAlpha = full * 0.8;
      context.lineWidth = 3 / view.scale;
      context.strokeStyle = personColour(scene.followed);
      context.stroke(own);
    }
    context.globalAlpha = full;
  }

  #paintPerson(person, scene, paper) {
    const { context, view } = this;
    const place = this.shown.get(person.id);
    const [u, v] = this.toScreen(place.x, place.y);
    if (u < -60 || v < -60 || u > view.width + 60 || v > view.height + 60) return;
    const own = person.id === scene.followed;
    const shade = personColour(person.id);
    const full = context.globalAlpha;
    context.globalAlpha = full * (scene.followed !== null && !own ? 0.6 : 1) * (person.state === LOST ? faded(person, scene) : 1);
    context.strokeStyle = shade;
    context.fillStyle = shade;
    // In a crowd ellipses hide each other and take half of the time: there, only where the uncertainty is news.
    const uncertain = own || person.state === PREDICTED || scene.people.length <= CROWD;
    if (person.cov && person.state !== LOST && uncertain) this.#paintUncertainty(person.cov, u, v);
    const speed = Math.hypot(person.vx, person.vy);
    if (speed > 0.2 && person.state !== LOST) this.#paintHeading(person, speed, u, v);
    context.beginPath();
    context.arc(u, v, person.state === VISIBLE ? DOT : DOT - 1, 0, 2 * Math.PI);
    context.lineWidth = 2;
    if (person.state === VISIBLE) {
      context.fill();
      context.strokeStyle = paper;
      context.lineWidth = 1.5;
    } else {
      context.fillStyle = paper;
      context.fill();
      context.setLineDash(person.state === PREDICTED ? [] : [2, 2.5]);
    }
    context.stroke();
    context.setLineDash([]);
    if (own) {
      context.strokeStyle = shade;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(u, v, DOT + 5, 0, 2 * Math.PI);
      context.stroke();
    }
    this.labels.paint(context, person.id, own, u, v);
    context.globalAlpha = full;
  }

  #paintUncertainty(cov, u, v) {
    const { context, view } = this;
    const { a, b, angle } = ellipse(cov);
    if (a * view.scale < DOT) return; // hidden by the dot
    const full = context.globalAlpha;
    context.beginPath();
    context.ellipse(u, v, a * view.scale, b * view.scale, view.yUp ? -angle : angle, 0, 2 * Math.PI);
    context.globalAlpha = full * 0.1;
    context.fill();
    context.globalAlpha = full * 0.45;
    context.lineWidth = 1;
    context.stroke();
    context.globalAlpha = full;
  }

  #paintHeading(person, speed, u, v) {
    const { context, view } = this;
    const [du, dv] = [person.vx / speed, ((view.yUp ? -1 : 1) * person.vy) / speed];
    const tip = DOT + 5 + 5 * Math.min(speed, 2.5);
    context.beginPath();
    context.moveTo(u + du * tip, v + dv * tip);
    context.lineTo(u + du * DOT * 0.4 - dv * DOT * 0.85, v + dv * DOT * 0.4 + du * DOT * 0.85);
    context.lineTo(u + du * DOT * 0.4 + dv * DOT * 0.85, v + dv * DOT * 0.4 - du * DOT * 0.85);
    context.closePath();
    context.fill();
  }
}

/** How strongly somebody is painted who was lost: less and less, and never quite not. */
function faded(person, scene) {
  const gone = person.lostAt === undefined ? 0 : Math.min((scene.time - person.lostAt) / FORGET_MS, 1);
  return 0.7 - 0.5 * gone;
}

/** Trails as paths on the ground, all of one colour and one age together: a few strokes, however many people. */
function trailPaths(trails, until, span) {
  const paths = new Map();
  const own = new Map();
  for (const [id, trail] of trails) {
    const ink = personColour(id);
    const whole = new Path2D();
    let last = -1; // fade of the piece before; -1: this one begins anew
    for (let i = 3; i < trail.length; i += 3) {
      const age = until - trail[i + 2];
      if (trail[i + 2] - trail[i - 1] > GAP_MS) {
        last = -1;
        continue;
      }
      const fade = Math.min(FADES.length - 1, Math.max(0, Math.floor((1 - age / span) * FADES.length)));
      const key = `${ink}${fade}`;
      let entry = paths.get(key);
      if (!entry) paths.set(key, (entry = { ink, fade, path: new Path2D() }));
      if (fade !== last) entry.path.moveTo(trail[i - 3], trail[i - 2]);
      if (last < 0) whole.moveTo(trail[i - 3], trail[i - 2]);
      entry.path.lineTo(trail[i], trail[i + 1]);
      whole.lineTo(trail[i], trail[i + 1]);
      last = fade;
    }
    own.set(id, whole);
  }
  return { paths: [...paths.values()], own };
}
