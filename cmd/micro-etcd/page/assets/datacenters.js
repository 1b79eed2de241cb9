// The data centers, if they have names. The address says which one is shown, as in ?dc=us1; without that it is the first.

import { el, say, visible } from './text.js';

const byId = (id) => document.getElementById(id);
export const shown = new URLSearchParams(location.search).get('dc') ?? '';

// api is where the server answers for the data center that is shown.
export function api(path, parameters = {}) {
  const query = new URLSearchParams(parameters);
  if (shown) query.set('dc', shown);
  return `api/${path}?${query}`;
}

// Datacenters is the switch between them, which is made of links: each leads to a page of its own.
export class Datacenters {
  #store;
  #links = new Map(); // by name

  constructor(store) {
    this.#store = store;
    store.addEventListener('change', () => this.#draw());
  }

  #draw() {
    const { datacenter, datacenters } = this.#store;
    const several = datacenters.length > 1;
    say(byId('datacenter'), several ? '' : datacenter);
    byId('datacenters').hidden = !several;
    if (!several) return;
    if (datacenters.map((d) => d.name).join() !== [...this.#links.keys()].join()) this.#make(datacenters, datacenter);
    const away = [];
    for (const d of datacenters) {
      const { link, state } = this.#links.get(d.name);
      const lost = !d.connected && Boolean(d.error);
      link.dataset.level = d.connected ? 'good' : lost ? 'bad' : 'unknown';
      link.title = visible(d.error ?? '');
      say(state, lost ? ' away' : '');
      if (lost && d.name !== datacenter) away.push(d.name); // of the one that is shown the page tells more
    }
    say(byId('away'), away.length ? `Can't be reached: ${away.join(', ')}` : '');
  }

  #make(datacenters, current) {
    this.#links.clear();
    for (const { name } of datacenters) {
      const state = el('span', { class: 'state' });
      const link = el('a', { 'aria-current': name === current && 'page' },
        el('span', { class: 'dot', 'aria-hidden': 'true' }), el('span', {}, visible(name)), state);
      this.#links.set(name, { link, state });
    }
    byId('datacenters').replaceChildren(...[...this.#links.values()].map(({ link }) => link));
    this.lead();
  }

  // lead lets the links lead to the service that is open.
  lead() {
    for (const [name, { link }] of this.#links) link.href = `?${new URLSearchParams({ dc: name })}${location.hash}`;
  }
}
