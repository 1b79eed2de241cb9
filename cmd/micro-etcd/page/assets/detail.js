// The opened service: what the stream says of it at once, and its nodes and endpoints, which are asked for
// whenever the stream says that it changed.

import { api } from './datacenters.js';
import { duration, el, number, plural, say, visible } from './text.js';
import { chips, versionName } from './versions.js';
import { Events } from './events.js';
import { Nodes, pairs } from './nodes.js';
import { Plot } from './plot.js';
import { Tabs } from './tabs.js';

const byId = (id) => document.getElementById(id);
const perPage = 100;
const often = 400; // milliseconds between two questions at least
const seldom = 5_000; // and at most, because leases are renewed in silence

export class Detail {
  #store;
  #name = null;
  #offset = 0;
  #find = '';
  #asked = 0;
  #timer = 0;
  #asking = null;
  #again = false; // something changed since it was asked
  #plot = new Plot();
  #nodes = new Nodes();
  #events;
  #tabs = new Tabs(document.querySelector('[role=tablist]'));
  #endpoints = '';
  #read = false; // whether anything was known when the summary was drawn

  constructor(store) {
    this.#store = store;
    this.#events = new Events(byId('changes'), store, '');
    byId('detail-plot').append(this.#plot.element);
    byId('find').addEventListener('input', () => this.#page(0, byId('find').value));
    byId('previous').addEventListener('click', () => this.#page(this.#offset - perPage));
    byId('next').addEventListener('click', () => this.#page(this.#offset + perPage));
    store.addEventListener('change', (e) => this.#changed(e));
  }

  get name() {
    return this.#name;
  }

  open(name, find) {
    this.close();
    this.#name = name;
    this.#find = find;
    byId('find').value = find;
    say(byId('detail-title'), name === '' ? 'no name' : visible(name));
    byId('detail').hidden = false;
    byId('detail-scroll').scrollTop = 0;
    this.#tabs.select('tab-nodes');
    this.#events.show(name);
    this.#summary();
    this.#ask();
  }

  close() {
    this.#asking?.abort();
    this.#asking = null;
    clearTimeout(this.#timer);
    this.#name = null;
    this.#offset = 0;
    this.#endpoints = '';
    this.#nodes.clear();
    byId('panel-endpoints').replaceChildren();
    byId('detail').hidden = true;
  }

  tick() {
    if (this.#name === null) return;
    this.#nodes.tick(this.#store.now());
    this.#draw();
  }

  #changed({ all, names, events }) {
    if (this.#name === null) return;
    if (all) this.#events.reload();
    else this.#events.add(events);
    const own = all || names.has(this.#name);
    if (own || this.#read !== this.#known()) this.#summary();
    if (own) this.#soon();
  }

  // known tells whether etcd was ever read.
  #known() {
    return Boolean(this.#store.health?.read);
  }

  #summary() {
    const service = this.#store.services.get(this.#name);
    this.#read = this.#known();
    byId('detail-gone').hidden = Boolean(service) || !this.#read;
    const list = service ? chips(service, 6).map((chip) => el('li', {}, chip)) : [];
    byId('detail-versions').replaceChildren(...list);
    const out = service?.out ? ` + ${number(service.out)} out of service` : '';
    say(byId('tab-nodes'), this.#read ? `Nodes ${number(service?.nodes ?? 0)}${out}` : 'Nodes');
    this.#draw();
  }

  #draw() {
    const history = this.#store.services.get(this.#name)?.history ?? [];
    this.#plot.draw(history, this.#store.now(), this.#store.window());
    say(byId('detail-from'), `${duration(this.#store.window() * 1000)} ago`);
    say(byId('detail-top'), history.length ? `at most ${number(this.#plot.top)}` : '');
  }

  #page(offset, find = this.#find) {
    this.#offset = Math.max(0, offset);
    this.#find = find;
    this.#asking?.abort();
    this.#asking = null;
    this.#soon();
  }

  // soon asks again, but not too often, and not before the last question was answered.
  #soon() {
    this.#again = this.#asking !== null;
    if (this.#again) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), Math.max(0, this.#asked + often - Date.now()));
  }

  async #ask() {
    const asking = new AbortController();
    this.#asking = asking;
    this.#asked = Date.now();
    const question = { name: this.#name, find: this.#find, offset: this.#offset };
    try {
      const answer = await fetch(api('service', question), { signal: asking.signal });
      if (answer.ok) this.#show(await answer.json());
    } catch {
      // The stream notices a lost connection, and says so.
    }
    if (this.#asking !== asking) return;
    this.#asking = null;
    if (this.#again) this.#soon();
    else this.#timer = setTimeout(() => this.#ask(), seldom);
  }

  #show(detail) {
    if (detail.name !== this.#name || !this.#known()) return;
    if (this.#offset >= detail.matching && this.#offset > 0) return this.#page(0);
    this.#nodes.draw(detail, this.#store.now());
    this.#range(detail);
    const count = detail.versions.reduce((n, v) => n + (v.endpoints?.length ?? 0) + (v.more ?? 0), 0);
    say(byId('tab-endpoints'), `Endpoints ${number(count)}`);
    const endpoints = JSON.stringify(detail.versions.map((v) => [v.version, v.metadata, v.endpoints, v.more]));
    if (endpoints === this.#endpoints) return;
    this.#endpoints = endpoints;
    byId('panel-endpoints').replaceChildren(...(count ? detail.versions.map(describeVersion) : [el('p', { class: 'empty' }, 'This service tells of no endpoints.')]));
  }

  #range({ matching, total, others, nodes }) {
    const last = this.#offset + nodes.length;
    const part = matching > perPage ? `${number(this.#offset + 1)}–${number(last)} of ` : '';
    const all = plural(total, others ? 'record' : 'node');
    say(byId('range'), matching === total ? part + all : `${part}${number(matching)} of ${all}`);
    byId('previous').hidden = this.#offset === 0;
    byId('next').hidden = last >= matching;
  }
}

function describeVersion(version) {
  const section = el('section', { class: 'version' },
    el('h3', {}, el('bdi', {}, versionName(version.version)), el('span', { class: 'muted' }, plural(version.nodes, 'node'))));
  const metadata = pairs(version.metadata);
  if (metadata) section.append(metadata);
  for (const e of version.endpoints ?? []) {
    section.append(el('div', { class: 'endpoint' },
      el('h4', { class: 'mono' }, el('bdi', {}, visible(e.name))),
      pairs(e.metadata),
      el('div', { class: 'types' }, type('Request', e.request), type('Response', e.response))));
  }
  if (version.more) section.append(el('p', { class: 'muted' }, `and ${number(version.more)} more`));
  return section;
}

function type(role, signature) {
  return el('div', {}, el('span', { class: 'muted' }, role), el('pre', { class: 'mono' }, signature ? signature.split('\n').map(visible).join('\n') : '–'));
}
