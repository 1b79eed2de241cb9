// Lists of events, newest first.

import { el, time, visible } from './text.js';
import { versionName } from './versions.js';

const most = 100; // in the document

const kinds = {
  appeared: ['+', 'appeared'],
  changed: ['~', 'changed'],
  gone: ['−', 'gone'],
  out: ['↓', 'taken out'],
  back: ['↑', 'put back'],
  connected: ['●', 'connected'],
  disconnected: ['○', 'etcd lost'],
};

export class Events {
  #list;
  #store;
  #service; // only this one's, if given
  #waiting = []; // while paused
  #paused = false;

  constructor(list, store, service) {
    this.#list = list;
    this.#store = store;
    this.#service = service;
  }

  show(service) {
    this.#service = service;
    this.reload();
  }

  reload() {
    this.#list.replaceChildren();
    this.add(this.#store.events);
  }

  add(events) {
    const wanted = this.#service === undefined ? events : events.filter((e) => e.service === this.#service);
    if (this.#paused) {
      this.#waiting = this.#waiting.concat(wanted).slice(-most);
      return;
    }
    if (!wanted.length) return;
    this.#list.prepend(...wanted.slice(-most).reverse().map((e) => this.#item(e)));
    while (this.#list.childElementCount > most) this.#list.lastElementChild.remove();
  }

  pause(paused) {
    this.#paused = paused;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.add(waiting);
  }

  get empty() {
    return !this.#list.childElementCount;
  }

  #item(e) {
    const [sign, word] = kinds[e.kind] ?? ['?', visible(e.kind)];
    const item = el('li', { class: `event ${e.kind}` },
      el('time', { datetime: new Date(e.at).toISOString(), class: 'mono' }, time(e.at)),
      el('span', { class: 'kind' }, el('span', { 'aria-hidden': 'true', class: 'sign' }, sign), word));
    const what = el('span', { class: 'what' });
    if (e.service !== undefined && this.#service === undefined) {
      what.append(el('a', { href: `#/service/${encodeURIComponent(e.service)}` }, el('bdi', {}, visible(e.service))));
    }
    if (e.service !== undefined) what.append(...this.#versions(e), el('bdi', { class: 'mono where', title: visible(e.node ?? '') }, visible(e.address || e.node || '')));
    if (e.kind === 'out') what.append(el('span', { class: 'why-out' }, `by ${visible(e.by || 'its own health checks')}${e.reason ? `: ${visible(e.reason)}` : ''}`));
    if (e.error) what.append(el('span', { class: 'why' }, visible(e.error)));
    item.append(what);
    return item;
  }

  #versions(e) {
    if (e.former !== undefined) return [el('span', { class: 'which' }, el('bdi', {}, versionName(e.former)), ' → ', el('bdi', {}, versionName(e.version ?? '')))];
    if (e.version) return [el('bdi', { class: 'which' }, visible(e.version))];
    return [];
  }
}
