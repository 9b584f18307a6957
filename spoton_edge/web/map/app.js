// Puts the page together: messages in, a painted map and the words beside it out.

import { colour, isDark, onTheme, themeButton } from "/common/theme.js";
import { say } from "./dom.js";
import { Floor } from "./floor.js";
import { Framing } from "./framing.js";
import { Link } from "./link.js";
import { LOST, Model } from "./model.js";
import { PersonCard, showLog, showPeople } from "./panels.js";
import { Pictures } from "./pictures.js";
import { Plan } from "./plan.js";
import { Timeline } from "./timeline.js";

const WORDS_MS = 250; // how often the words change
const CROWD = 60; // people; with more, they change half as often
// What a painting costs, the browser's part of it too, decides how long the next one waits at least: so that new places
// take no more than two fifths of the page's time, and gliding between them less.
const NEWS_SHARE = 1.5;
const GLIDE_SHARE = 4;
const LAGS = 600;
const RECORDING_MS = 60_000; // what was published longer ago is a recording
const STALE_S = 3;

const by = (id) => document.getElementById(id);

export const model = new Model();
export const page = {
  followed: null, // id of a person
  front: null, // name of the camera with the best view of them, now or when they were last seen
  closeup: false, // whether there is a picture of them
  camera: null, // name of the camera whose coverage is shown
  open: false, // the link to the server
  paints: 0,
  paintMs: 0, // of one painting, of late, until the browser has done its part
};
export const floor = new Floor(by("floor"));
export const pictures = new Pictures(by("cameras"), model, { onCamera: chooseCamera });
const personCard = new PersonCard(by("person"), () => model.events);
export const timeline = new Timeline(document.querySelector(".timeline"), model, () => (dirty = true));
export const framing = new Framing(floor, { onClick: choose, onMove: () => (dirty = true) });

let dirty = true;
let plan = null; // the floor plan, where there is one
let siteNumber = 0;
let framedAt = -1;
let lastFrame = performance.now();
let painting = null; // when the painting under way began; null: there is none
let lastPaint = 0; // when the last one was done
let nextWords = 0;
const rendered = new MessageChannel();
let unpainted = null; // the newest tracks that were not painted yet

const link = new Link({
  onState(open) {
    page.open = open;
    dirty = true;
  },
  onMessage(message) {
    const before = model.link.run;
    const kind = model.take(message, performance.now());
    if (kind === "site") siteCame();
    if (kind === "tracks") unpainted = model.tracks;
    if (kind === "link" && before && before !== model.link.run) restarted();
    dirty = true;
  },
  async onPicture(header, blob) {
    await pictures.take(header, blob);
    dirty = true;
  },
});

function siteCame() {
  siteNumber++;
  floor.view.yUp = model.site.yUp;
  framing.forget();
  say(by("site"), model.site.name);
  document.title = `${model.site.name}: live map`;
  plan = null;
  if (!model.site.floor) return;
  const image = new Image();
  image.src = `/floor?${encodeURIComponent(model.site.floor.sha256)}`;
  image.decode().then(
    () => {
      plan = new Plan(image);
      framing.forget();
      framedAt = -1;
      dirty = true;
    },
    () => {}, // no plan then: the grid is there
  );
}

function restarted() {
  pictures.forget(); // whoever is followed stays so: people in view may keep their ids
  model.events.push({
    now: performance.now(), kind: "the daemon was started again", time: Date.now() / 1000, id: null, other: null,
    camera: null, from: null, detail: null, reason: null,
  });
  timeline.goLive();
}

export function follow(id) {
  page.followed = id;
  page.front = null;
  page.closeup = false;
  framing.follow = null;
  framing.followed = id;
  nextWords = 0;
  dirty = true;
}

/** Follows whom a line of words names, and shows so: the list may be far below the map and the person's card. */
function followNamed(id) {
  follow(id);
  if (id === null) return;
  for (const scrolled of [window, document.querySelector("aside")]) scrolled.scrollTo(0, 0);
}

export function chooseCamera(name) {
  page.camera = page.camera === name ? null : name;
  nextWords = 0;
  dirty = true;
}

function choose(u, v, reach) {
  const id = floor.personAt(u, v, reach);
  if (id !== null) return follow(id === page.followed ? null : id);
  const camera = floor.cameraAt(u, v, reach + 6);
  if (camera) return chooseCamera(camera);
  page.camera = null;
  dirty = true;
  return undefined;
}

/** Everybody to be shown at the moment that the timeline stands at. */
function peopleNow(time) {
  if (timeline.live) return model.tracks?.placed ?? [];
  return model.history.at(time);
}

function frame(now) {
  requestAnimationFrame(frame);
  const rest = now - lastPaint;
  if (painting !== null || rest < page.paintMs * (dirty ? NEWS_SHARE : GLIDE_SHARE) - 4) return;
  const elapsed = now - lastFrame;
  lastFrame = now;
  const time = timeline.step(now, elapsed);
  if (floor.resize()) dirty = true;
  const people = peopleNow(time);
  if (model.history.next !== framedAt) {
    framedAt = model.history.next;
    framing.include(model.site, plan, people);
  }
  const own = people.find((person) => person.id === page.followed);
  if (own && framing.followed === page.followed) framing.follow = [own.x, own.y];
  const moving = framing.step(elapsed);
  const stale = isStale();
  const gliding = timeline.live ? people.length > 0 && !stale : timeline.running;
  if (dirty || moving || gliding) {
    dirty = false;
    painting = performance.now();
    paint(people, time, stale);
    rendered.port2.postMessage(null); // answered when the browser has rendered this frame
  }
  if (now >= nextWords) {
    nextWords = now + (people.length > CROWD ? 2 : 1) * WORDS_MS;
    words(people, now, stale);
  }
}

rendered.port1.onmessage = () => {
  lastPaint = performance.now();
  page.paints++;
  page.paintMs += 0.1 * (lastPaint - painting - page.paintMs);
  painting = null;
};

function isStale() {
  return !page.open || model.link.silent;
}

function paint(people, time, stale) {
  const states = model.status?.cameras ?? new Map();
  floor.paint({
    site: model.site, siteNumber, floor: plan, people, history: model.history, time, live: timeline.live,
    heard: model.tracks?.now ?? 0, stale: stale && timeline.live, followed: page.followed, camera: page.camera, states,
    health: [...states.values()].map((camera) => camera.state).join(), dark: isDark(),
  });
  if (unpainted && timeline.live) {
    if (unpainted.time !== null) model.lags.push(Date.now() + link.offsetMs - unpainted.time * 1000);
    if (model.lags.length > LAGS) model.lags.shift();
    unpainted.lag = model.lags.at(-1);
    unpainted = null;
  }
}

function words(people, now, stale) {
  const everybody = timeline.live ? [...model.people.values()] : people;
  const person = everybody.find((one) => one.id === page.followed) ?? null;
  page.front = person?.best ?? person?.views?.[0]?.camera ?? page.front;
  showLink(stale);
  say(by("count"), timeline.live && !model.tracks ? "–" : everybody.filter((one) => one.state !== LOST).length);
  say(by("rate"), model.status?.rate ? `${model.status.rate.toFixed(1)} Hz` : "–");
  say(by("latency"), latency(stale));
  pictures.show({ followed: page.followed, first: page.front, chosen: page.camera, stale, past: !timeline.live });
  showPeople(by("people"), by("nobody"), everybody, page.followed, (id) => followNamed(id === page.followed ? null : id));
  showLog(by("log"), model.events, followNamed);
  personCard.show(page.followed, person, model.hello?.explain === true);
  closeup(person);
  timeline.show(now);
  const looking = model.hello?.pictures && !document.hidden;
  link.lookAt(looking ? (model.site?.cameras ?? []).map((camera) => camera.name) : []);
}

/** While somebody is out of sight the last picture stays, pale: nothing below it jumps. */
function closeup(person) {
  const figure = by("closeup");
  const canvas = figure.querySelector("canvas");
  if (canvas.width !== 360) Object.assign(canvas, { width: 360, height: 240 });
  const fresh = person !== null && timeline.live && pictures.closeup(canvas, person, page.front);
  page.closeup ||= fresh;
  figure.hidden = !(page.closeup && person && timeline.live);
  figure.dataset.fresh = fresh;
  say(figure.querySelector("figcaption"), page.front ?? "");
}

function latency(stale) {
  const lag = model.tracks?.lag;
  if (stale || !timeline.live || lag === undefined) return "–";
  return lag > RECORDING_MS ? "recorded" : `${Math.round(Math.max(lag, 0) + model.tracks.ageMs)} ms`;
}

function showLink(stale) {
  const { hello, tracks } = model;
  const state = by("link");
  const notice = by("notice");
  let words = "live";
  let text = "";
  if (!page.open) {
    words = "no server";
    text = "The server of this page does not answer. This page tries again by itself.";
  } else if (stale && !model.link.run) {
    words = "waiting";
    text = waitingFor(hello?.endpoint ?? "the daemon", hello?.key === false);
  } else if (stale) {
    words = "silent";
    text = `The daemon has been silent for more than ${STALE_S} s. ${tracks ? "What you see is the last it said. " : ""}Waiting for it.`;
  } else if (!timeline.live) {
    words = timeline.running ? "replay" : "paused";
  }
  state.dataset.state = words;
  say(state, words);
  notice.hidden = !text;
  say(notice, text);
}

function waitingFor(endpoint, keyless) {
  if (model.link.unreadable) return `What ${endpoint} sends cannot be read: is it a SpotOn Edge daemon, of this version?`;
  const key = keyless ? " If its tcp endpoints are encrypted (publish.keys), start with --key." : "";
  return `Waiting for ${endpoint}: is it running, and is this its publish.bind?${key}`;
}

/** The map as a picture, with what, where and when. */
export function pictureOf() {
  const { canvas, view } = floor;
  const foot = Math.round(34 * view.ratio);
  const out = document.createElement("canvas");
  Object.assign(out, { width: canvas.width, height: canvas.height + foot });
  const context = out.getContext("2d");
  context.fillStyle = colour("panel");
  context.fillRect(0, 0, out.width, out.height);
  context.drawImage(canvas, 0, 0);
  context.fillStyle = colour("ink");
  context.font = `${13 * view.ratio}px system-ui, "Noto Sans", "DejaVu Sans", sans-serif`;
  const ago = timeline.live ? 0 : performance.now() - timeline.at;
  const when = new Date(Date.now() - ago).toLocaleString([], { hour12: false });
  context.fillText(`${model.site?.name ?? ""}   ${when}   ${floor.shown.size} people`, 14 * view.ratio, canvas.height + foot * 0.65);
  return out;
}

function savePicture() {
  pictureOf().toBlob((blob) => {
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(blob);
    anchor.download = `${model.site?.name ?? "map"}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.png`;
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
  }, "image/png");
}

const KEYS = {
  " ": () => timeline.toggle(),
  f: () => framing.fit(),
  s: savePicture,
  t: () => by("theme").click(),
  Escape: () => (page.followed === null ? chooseCamera(page.camera) : follow(null)),
};

document.addEventListener("keydown", (event) => {
  const pressing = event.key === " " && event.target instanceof HTMLButtonElement;
  if (pressing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
// A button that was clicked does not keep the focus: space pauses, and does not click it again. Keys leave it (detail 0).
document.addEventListener("click", (event) => event.detail > 0 && event.target.closest("button")?.blur());
by("fit").addEventListener("click", () => framing.fit());
by("export").addEventListener("click", savePicture);
by("unfollow").addEventListener("click", () => follow(null));
document.addEventListener("visibilitychange", () => {
  nextWords = 0;
  // No frames are painted while the page is hidden; the daemon need not make pictures for it.
  if (document.hidden) link.lookAt([]);
});
themeButton(by("theme"));
onTheme(() => {
  dirty = true;
  nextWords = 0;
  timeline.repaint();
});
requestAnimationFrame(frame);
