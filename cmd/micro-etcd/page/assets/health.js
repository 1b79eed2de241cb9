// The banner about etcd and the connections.

import { bytes, duration, el, number, plural, say, time, visible } from './text.js';

const byId = (id) => document.getElementById(id);
const staleAfter = 5_000;

export class Health {
  #store;
  #lost = 0; // when this page's server was last heard of, if it is lost
  #drawn = '';

  constructor(store) {
    this.#store = store;
    store.addEventListener('change', () => this.draw());
  }

  // connection is told 'live' and 'lost'.
  connection(state) {
    if (state === 'live') this.#lost = 0;
    else this.#lost ||= this.#store.now();
    document.body.dataset.connection = state;
    say(byId('live-text'), state === 'live' ? 'Live' : 'Connection lost');
    this.draw();
  }

  draw() {
    this.#alerts();
    const health = this.#store.health;
    if (!health) return;
    const [level, verdict] = judge(health);
    byId('health').dataset.level = this.#lost ? 'unknown' : level;
    say(byId('verdict'), this.#lost ? 'Unknown while the connection is lost' : verdict);
    this.#members(health.members);
    this.tick();
    say(byId('revision'), health.revision ? number(health.revision) : '–');
  }

  // tick shows what changes by itself.
  tick() {
    const health = this.#store.health;
    if (!health) return;
    const age = this.#store.now() - health.heard;
    const old = !health.connected || this.#lost || age > staleAfter;
    say(byId('staleness'), !health.read ? 'empty' : old ? `${duration(age)} old` : 'current');
    byId('staleness').classList.toggle('old', Boolean(old));
  }

  #alerts() {
    const texts = [];
    if (this.#lost) texts.push(`The connection to this page's server is lost since ${time(this.#lost)}. Trying again; what is shown is from before.`);
    const health = this.#store.health;
    if (health && !health.connected && !this.#lost) {
      const since = health.read ? `What is shown is from ${time(Math.min(health.heard, health.since || Infinity))}.` : 'Nothing could be read yet.';
      if (health.refused) texts.push(`etcd refuses to tell. ${since} ${visible(health.error)}`);
      else if (health.error) texts.push(`etcd doesn't answer. ${since} ${visible(health.error)}`);
    }
    if (health?.conflict) texts.push(visible(health.conflict));
    for (const alarm of health?.alarms ?? []) texts.push(`etcd raises an alarm: ${visible(alarm)}`);
    const drawn = texts.join('\n');
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    byId('alerts').replaceChildren(...texts.map((text) => el('p', {}, text)));
  }

  #members(members) {
    const list = byId('members');
    const drawn = JSON.stringify(members);
    if (list.dataset.drawn === drawn) return;
    list.dataset.drawn = drawn;
    list.replaceChildren(...members.map((m) => {
      const state = m.healthy ? (m.leader ? 'leader' : m.learner ? 'learner' : 'follower') : m.error || 'alarm';
      const title = [m.url, m.version && `etcd ${m.version}`, m.size && `database ${bytes(m.size)}`, m.error].filter(Boolean).join(' · ');
      return el('li', { class: m.healthy ? 'member' : 'member bad', title: visible(title) },
        el('span', { class: 'dot', 'aria-hidden': 'true' }), el('bdi', { class: 'mono' }, visible(m.name)), el('span', { class: 'state' }, visible(state)));
    }));
  }
}

// judge returns the level, and a sentence that changes only when the state does.
function judge(health) {
  if (!health.connected && health.refused) return ['bad', 'etcd refuses to tell'];
  if (!health.connected) return health.read ? ['bad', 'etcd is lost'] : health.error ? ['bad', "etcd can't be reached"] : ['unknown', 'Waiting for etcd'];
  if (health.conflict) return ['bad', 'These are different etcds'];
  const silent = health.members.filter((m) => !m.healthy).length;
  const all = health.members.length;
  if (health.alarms?.length) return ['bad', 'etcd raises an alarm'];
  if (health.error) return ['warn', `etcd answers, but: ${visible(health.error)}`];
  if (silent) return ['warn', `${number(silent)} of ${plural(all, 'member')} of etcd ${silent === 1 ? "doesn't" : "don't"} answer`];
  if (all && !health.leader) return ['warn', 'etcd has no leader'];
  return ['good', all > 1 ? `etcd is healthy, all ${number(all)} members answer` : 'etcd is healthy'];
}
