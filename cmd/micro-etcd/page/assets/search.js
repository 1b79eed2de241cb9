// Search as you type: names and versions are known here, nodes are asked for at the server.

import { api } from './datacenters.js';
import { number, plural, say } from './text.js';

const pause = 120; // milliseconds without a key before the server is asked
const again = 2_000; // a search that stands is repeated, because nodes come and go

export class Search {
  #field = document.getElementById('search');
  #list;
  #store;
  #found = new Map();
  #timer = 0;
  #asking = null;
  #announcing = 0;

  constructor(store, list) {
    this.#store = store;
    this.#list = list;
    this.#field.addEventListener('input', () => this.#typed());
    store.addEventListener('change', () => this.#count());
  }

  get words() {
    return this.#field.value.trim();
  }

  // within returns what to look for in the nodes of a service: nothing, if the service matches by its name.
  within(name) {
    return this.#found.has(name) && !name.toLowerCase().includes(this.words.toLowerCase()) ? this.words : '';
  }

  focus() {
    this.#field.focus();
    this.#field.select();
  }

  clear() {
    if (!this.#field.value) return false;
    this.#field.value = '';
    this.#typed();
    return true;
  }

  #typed() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#found = new Map();
    this.#show();
    if (this.words) this.#timer = setTimeout(() => this.#ask(), pause);
    clearTimeout(this.#announcing);
    this.#announcing = setTimeout(() => this.#announce(), 700);
  }

  async #ask() {
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const answer = await fetch(api('search', { find: this.words }), { signal: asking.signal });
      if (answer.ok) this.#found = new Map(Object.entries(await answer.json()));
      if (this.#asking === asking) this.#show();
    } catch {
      // The stream notices a lost connection, and says so.
    }
    if (this.#asking === asking && this.words) this.#timer = setTimeout(() => this.#ask(), again);
  }

  #show() {
    this.#list.search(this.words, this.#found);
    this.#count();
  }

  #count() {
    const all = this.#store.services.size;
    say(document.getElementById('matches'), this.words ? `${number(this.#list.count)} of ${number(all)} match` : '');
  }

  #announce() {
    say(document.getElementById('announce'), this.words ? `${plural(this.#list.count, 'service')} found` : '');
  }
}
