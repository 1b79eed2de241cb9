// The stream of server-sent events. EventSource would retry by itself, but not after every kind of failure, and it doesn't
// notice a connection that is silently dead; so we do both.

import { api } from './datacenters.js';

const silence = 7_000; // the server sends its health every two seconds
const pauses = [250, 500, 1000, 2000];

export class Stream {
  #store;
  #tell;
  #source = null;
  #watchdog = 0;
  #failures = 0;

  // tell is called with 'live' and 'lost'.
  constructor(store, tell) {
    this.#store = store;
    this.#tell = tell;
    window.addEventListener('online', () => this.#failures && this.#open());
    window.addEventListener('pagehide', () => this.#close());
    window.addEventListener('pageshow', (e) => e.persisted && this.#open());
    this.#open();
  }

  #open() {
    this.#close();
    this.#source = new EventSource(api('stream'));
    this.#source.addEventListener('snapshot', (e) => this.#heard(() => this.#store.load(JSON.parse(e.data))));
    this.#source.addEventListener('delta', (e) => this.#heard(() => this.#store.update(JSON.parse(e.data))));
    this.#source.addEventListener('error', () => this.#lost());
    this.#wait(silence);
  }

  #close() {
    clearTimeout(this.#watchdog);
    this.#source?.close();
    this.#source = null;
  }

  #heard(apply) {
    this.#wait(silence);
    apply();
    if (this.#failures !== -1) this.#tell('live');
    this.#failures = -1;
  }

  #lost() {
    this.#close();
    this.#failures = Math.max(0, this.#failures);
    this.#tell('lost');
    const pause = pauses[Math.min(this.#failures++, pauses.length - 1)];
    this.#watchdog = setTimeout(() => this.#open(), pause);
  }

  #wait(ms) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#lost(), ms);
  }
}
