// Where everybody was in the last ten minutes, in memory that is set aside once and never grows: the oldest makes room.

export const SPAN_MS = 600_000;
const EVERY_MS = 200;
const MOMENTS = SPAN_MS / EVERY_MS;
const PLACES = 480_000; // 160 people at every moment; with more, it reaches less far back

export class History {
  constructor() {
    this.times = new Float64Array(MOMENTS); // ms, ascending from the oldest
    this.starts = new Float64Array(MOMENTS); // number of the first place, counted from the beginning of time
    this.sizes = new Uint32Array(MOMENTS);
    this.ids = new Float64Array(PLACES);
    this.xs = new Float32Array(PLACES);
    this.ys = new Float32Array(PLACES);
    this.states = new Uint8Array(PLACES);
    this.clear();
  }

  clear() {
    this.first = 0; // numbers of moments, counted from the beginning of time
    this.next = 0;
    this.nextPlace = 0;
  }

  /** Notes where the placed people are; moments that come faster than EVERY_MS are left out. */
  add(time, people) {
    if (this.next > this.first && time - this.newest < EVERY_MS * 0.9) return false;
    const size = Math.min(people.length, PLACES);
    while (this.next - this.first >= MOMENTS || this.#held(size) > PLACES) this.first++;
    const slot = this.next % MOMENTS;
    this.times[slot] = time;
    this.starts[slot] = this.nextPlace;
    this.sizes[slot] = size;
    for (let i = 0; i < size; i++) {
      const place = (this.nextPlace + i) % PLACES;
      this.ids[place] = people[i].id;
      this.xs[place] = people[i].x;
      this.ys[place] = people[i].y;
      this.states[place] = people[i].state;
    }
    this.nextPlace += size;
    this.next++;
    while (this.first < this.next - 1 && time - this.oldest > SPAN_MS) this.first++;
    return true;
  }

  #held(more) {
    return this.first === this.next ? 0 : this.nextPlace + more - this.starts[this.first % MOMENTS];
  }

  get length() {
    return this.next - this.first;
  }

  get oldest() {
    return this.times[this.first % MOMENTS];
  }

  get newest() {
    return this.times[(this.next - 1) % MOMENTS];
  }

  /** Number of the last moment at or before a time, at least the oldest. */
  find(time) {
    let low = this.first;
    let high = this.next - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.times[middle % MOMENTS] <= time) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Calls back with (id, x, y, state) for everybody at a moment. */
  each(moment, callback) {
    const slot = moment % MOMENTS;
    for (let i = 0; i < this.sizes[slot]; i++) {
      const place = (this.starts[slot] + i) % PLACES;
      callback(this.ids[place], this.xs[place], this.ys[place], this.states[place]);
    }
  }

  /** Everybody as of a time, between two moments in a straight line. */
  at(time) {
    if (!this.length) return [];
    const moment = this.find(time);
    const people = new Map();
    this.each(moment, (id, x, y, state) => people.set(id, { id, x, y, state, vx: 0, vy: 0 }));
    if (moment + 1 < this.next) {
      const [from, to] = [this.times[moment % MOMENTS], this.times[(moment + 1) % MOMENTS]];
      const part = Math.min(Math.max((time - from) / (to - from), 0), 1);
      this.each(moment + 1, (id, x, y) => {
        const person = people.get(id);
        if (!person || to - from > 5 * EVERY_MS) return;
        person.vx = ((x - person.x) * 1000) / (to - from);
        person.vy = ((y - person.y) * 1000) / (to - from);
        person.x += part * (x - person.x);
        person.y += part * (y - person.y);
      });
    }
    return [...people.values()];
  }

  /** For each id its places from one time to another as a flat list x, y, ms, x, y, ms, ... */
  trails(from, to) {
    const trails = new Map();
    if (!this.length) return trails;
    for (let moment = this.find(from); moment < this.next; moment++) {
      const time = this.times[moment % MOMENTS];
      if (time < from) continue;
      if (time > to) break;
      this.each(moment, (id, x, y) => {
        const trail = trails.get(id);
        if (trail) trail.push(x, y, time);
        else trails.set(id, [x, y, time]);
      });
    }
    return trails;
  }

  /** How many people there were, `count` figures from one time to another; NaN where nothing was heard. */
  crowd(from, to, count) {
    const figures = new Float32Array(count).fill(NaN);
    for (let moment = this.first; moment < this.next; moment++) {
      const slot = moment % MOMENTS;
      const at = Math.floor(((this.times[slot] - from) / (to - from)) * count);
      if (at >= 0 && at < count) figures[at] = Math.max(figures[at] || 0, this.sizes[slot]);
    }
    return figures;
  }
}
