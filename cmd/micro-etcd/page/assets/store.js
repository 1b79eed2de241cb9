// What this browser knows. A snapshot replaces it, a delta changes it; applying a delta twice changes nothing.

import { shown } from './datacenters.js';

const kept = 200; // events

export class Store extends EventTarget {
  services = new Map();
  total = [];
  events = []; // newest last
  health = null;
  prefix = '';
  datacenter = shown; // which one this is, if they have names
  datacenters = [];
  began = 0;
  span = 600; // seconds of history
  arrivals = []; // when events happened in the last minute
  #ahead = 0; // of the server's clock

  now() {
    return Date.now() + this.#ahead;
  }

  // window is how many seconds plots show: as much as is known, between one minute and the span.
  window() {
    const known = (this.now() - this.began) / 1000;
    return Math.min(this.span, Math.max(60, Math.ceil(known / 60) * 60));
  }

  load(snapshot) {
    this.#ahead = snapshot.now - Date.now();
    this.services = new Map(snapshot.services.map((s) => [s.name, s]));
    this.total = snapshot.total ?? [];
    this.prefix = snapshot.prefix;
    this.began = snapshot.began;
    this.datacenter = snapshot.datacenter ?? '';
    this.datacenters = snapshot.datacenters ?? [];
    this.span = snapshot.span;
    this.health = snapshot.health;
    this.events = [];
    this.arrivals = [];
    this.#add(snapshot.events ?? []);
    this.#tell({ all: true, names: new Set(), events: this.events });
  }

  update(delta) {
    this.#ahead = delta.now - Date.now();
    const names = new Set(delta.gone);
    let membership = false;
    for (const name of names) membership = this.services.delete(name) || membership;
    for (const fresh of delta.services ?? []) {
      const old = this.services.get(fresh.name);
      membership ||= !old;
      fresh.history = this.#merged(old?.history ?? [], fresh.history);
      this.services.set(fresh.name, fresh);
      names.add(fresh.name);
    }
    if (delta.total) this.total = this.#merged(this.total, delta.total);
    if (delta.health) this.health = delta.health;
    if (delta.datacenters) this.datacenters = delta.datacenters;
    const events = this.#add(delta.events ?? []);
    this.#tell({ all: false, membership, names, events });
  }

  #merged(points, latest) {
    const oldest = Math.floor(this.now() / 1000) - this.span;
    const merged = points.filter((p, i) => p[0] < latest[0]?.[0] && (points[i + 1]?.[0] ?? Infinity) > oldest);
    return merged.concat(latest);
  }

  #add(events) {
    const last = this.events.at(-1)?.number ?? 0;
    const fresh = events.filter((e) => e.number > last);
    this.events = this.events.concat(fresh).slice(-kept);
    for (const e of fresh) this.arrivals.push(e.at);
    return fresh;
  }

  changesPerMinute() {
    const from = this.now() - 60_000;
    const first = this.arrivals.findIndex((at) => at >= from);
    this.arrivals.splice(0, first < 0 ? this.arrivals.length : first);
    return this.arrivals.length;
  }

  #tell(change) {
    this.dispatchEvent(Object.assign(new Event('change'), change));
  }
}
