// The words beside the map: who is there, the person who is followed, what happened.

import { personColour } from "./colours.js";
import { clock, element, fixed, keyed, say } from "./dom.js";
import { LOST, STATES } from "./model.js";
import { shortId } from "./names.js";

const LOG_LINES = 80;
const OF_TWO = new Set(["merged", "split", "exchanged"]); // ids that were put right
const WAY = new Set(["appeared", "handed_off", ...OF_TWO]);
const ASK_MS = 5000; // how often the daemon is asked why a followed person has the id

/** Everybody, a line each. onPerson(id) is called back. */
export function showPeople(list, empty, people, followed, onPerson) {
  const shown = people.filter((person) => person.state !== LOST || person.id === followed);
  const rows = keyed(list, shown.map((person) => person.id), (id) => {
    const parts = { where: element("span", { class: "where" }), speed: element("span", { class: "speed" }) };
    const state = element("span", { class: "state" });
    const swatch = element("span", { class: "swatch" });
    const button = element("button", { type: "button" }, swatch, element("b", { title: String(id) }, shortId(id)), state, parts.where, parts.speed);
    button.addEventListener("click", () => onPerson(id));
    const row = element("li", { "data-id": id }, button);
    row.parts = { ...parts, state, swatch, button };
    return row;
  });
  for (const person of shown) {
    const { parts } = rows.get(person.id);
    parts.swatch.style.background = personColour(person.id);
    parts.button.setAttribute("aria-pressed", String(person.id === followed));
    parts.state.dataset.state = STATES[person.state];
    say(parts.state, STATES[person.state]);
    say(parts.where, person.views ? person.views.map((view) => view.camera).join(", ") : "");
    say(parts.speed, fixed(Math.hypot(person.vx, person.vy), 1, " m/s"));
  }
  empty.hidden = shown.length > 0;
}

/** What happened, newest first. */
export function showLog(list, events, onPerson) {
  const lines = events.slice(-LOG_LINES).reverse();
  if (list.newest === events.at(-1) && list.childElementCount === lines.length) return;
  list.newest = events.at(-1);
  keyed(list, lines, (event) => {
    const swatch = element("span", { class: "swatch" });
    if (event.id !== null) swatch.style.background = personColour(event.id);
    const line = element(
      "li", { "data-kind": event.kind },
      element("time", {}, clock(event.time)), event.id === null ? element("span") : swatch,
      element("span", {}, sentence(event)),
    );
    if (event.id !== null) line.addEventListener("click", () => onPerson(event.id));
    return line;
  });
}

/** An event in words. */
export function sentence(event) {
  const [one, other] = [event.id, event.other].map((id) => (id === null ? "" : shortId(id)));
  const where = event.camera ? ` in ${event.camera}` : "";
  switch (event.kind) {
    case "appeared":
      return `${one} appeared${where}`;
    case "handed_off":
      return event.from === event.camera ? `${one} came back${where}` : `${one} went from ${event.from} to ${event.camera}`;
    case "merged":
      return `${other} turned out to be ${one}`;
    case "split":
      return `${one} turned out to be two: the other is ${other}`;
    case "exchanged":
      return `${one} and ${other} had been taken for one another`;
    case "lost":
      return `${one} lost${where}`;
    case "ended":
      return `${one} gone`;
    case "reload":
      return `reload ${event.detail ?? ""}`;
    case "camera":
      return `camera ${event.camera}: ${event.detail ?? "?"}`;
    default:
      return event.id === null ? event.kind : `${one}: ${event.kind}`;
  }
}

/** The figures behind a decision. */
export function reasonOf({ kind, reason }) {
  if (!reason) return "";
  const parts = [reason.gate === "new" ? "nobody it could be" : `gate ${reason.gate}`];
  if (reason.distance !== null) parts.push(`${reason.distance.toFixed(2)} m ${OF_TWO.has(kind) ? "apart" : "off"}`);
  if (reason.cosine !== null) parts.push(`cosine ${reason.cosine.toFixed(2)}`);
  if (reason.margin !== null) parts.push(`margin ${reason.margin.toFixed(1)}`);
  return parts.join(" · ");
}

/** The followed person: facts, handoffs, and why the id. */
export class PersonCard {
  constructor(section, events) {
    this.section = section;
    this.events = events;
    this.facts = section.querySelector("#person-facts");
    this.way = section.querySelector("#person-way");
    this.why = section.querySelector("#person-why");
    this.asked = null;
  }

  /** explain: whether the daemon can be asked for the whole why. */
  show(id, person, explain) {
    this.section.hidden = id === null;
    if (id === null) {
      this.asked = null;
      return;
    }
    const head = this.section.querySelector(".head");
    head.querySelector(".swatch").style.background = personColour(id);
    say(this.section.querySelector("#person-id"), id);
    const state = person ? STATES[person.state] : "gone";
    head.querySelector(".state").dataset.state = state;
    say(head.querySelector(".state"), state);
    const where = person && person.x !== null ? `${person.x.toFixed(1)}, ${person.y.toFixed(1)} m` : "–";
    const spread = person?.cov ? ` ± ${(2 * Math.sqrt(Math.max(person.cov[0], person.cov[2]))).toFixed(2)}` : "";
    const facts = {
      place: where + spread,
      speed: person ? fixed(Math.hypot(person.vx, person.vy), 1, " m/s") : "–",
      "seen for": person?.ageS !== undefined ? fixed(person.ageS, 0, " s") : "–",
      "seen by": person?.views?.map((view) => view.camera).join(", ") || "–",
    };
    const entries = keyed(this.facts, Object.keys(facts), (name) => element("div", {}, element("dt", {}, name), element("dd")));
    for (const [name, value] of Object.entries(facts)) say(entries.get(name).lastElementChild, value);
    const own = this.events().filter((event) => event.id === id || event.other === id);
    const handoffs = own.filter((event) => WAY.has(event.kind));
    this.#list(this.way, handoffs.reverse().map((event) => [clock(event.time), sentence(event), reasonOf(event)]), "No handoff so far.");
    if (explain) this.#explain(id, own.length);
    else {
      const decided = own.filter((event) => event.reason).slice(-1);
      this.#list(this.why, decided.map((event) => [clock(event.time), reasonOf(event), ""]), "No decision heard since this page opened.");
    }
  }

  async #explain(id, events) {
    const key = `${id} ${events} ${Math.floor(performance.now() / ASK_MS)}`;
    if (this.asked === key) return;
    this.asked = key;
    let lines;
    try {
      const answer = await fetch(`/explain/${id}`);
      const told = await answer.json();
      lines = answer.ok ? told.lines.slice(1) : [told.error];
    } catch {
      lines = ["The daemon does not answer."];
    }
    if (this.asked === key) this.#list(this.why, lines.slice(-12).reverse().map((line) => ["", String(line).trim(), ""]), "No decision is kept.");
  }

  #list(list, rows, empty) {
    const shown = rows.length ? rows : [["", empty, ""]];
    const key = JSON.stringify(shown);
    if (list.key === key) return;
    list.key = key;
    list.replaceChildren(
      ...shown.map(([time, words, more]) =>
        element("li", {}, element("time", {}, time), element("span", {}, words), more && element("small", {}, more)),
      ),
    );
  }
}
