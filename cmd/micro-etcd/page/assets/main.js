import { Datacenters } from './datacenters.js';
import { Detail } from './detail.js';
import { Events } from './events.js';
import { Health } from './health.js';
import { List, problems } from './list.js';
import { Plot } from './plot.js';
import { Search } from './search.js';
import { Store } from './store.js';
import { Stream } from './stream.js';
import { number, perFrame, say, visible } from './text.js';

const byId = (id) => document.getElementById(id);
const store = new Store();
const list = new List(store);
const search = new Search(store, list);
const detail = new Detail(store);
const health = new Health(store);
const datacenters = new Datacenters(store);
const events = new Events(byId('events'), store);
const total = new Plot();
byId('plot-nodes').append(total.element);

const summarize = perFrame(() => {
  byId('no-events').hidden = !events.empty;
  if (!store.health?.read) return blank();
  let nodes = 0;
  let odd = 0;
  for (const s of store.services.values()) {
    nodes += s.nodes;
    if (problems(s).length) odd++;
  }
  say(byId('count-services'), number(store.services.size));
  say(byId('count-nodes'), number(nodes));
  say(byId('count-changes'), number(store.changesPerMinute()));
  say(byId('count-problems'), number(odd));
  byId('tile-problems').classList.toggle('some', odd > 0);
  total.draw(store.total, store.now(), store.window());
  entitle(`${number(nodes)} nodes, ${number(store.services.size)} services`);
});

// blank shows that nothing is known.
function blank() {
  for (const what of ['services', 'nodes', 'changes', 'problems']) say(byId(`count-${what}`), '–');
  byId('tile-problems').classList.remove('some');
  total.draw([], store.now(), store.window());
  entitle('');
}

function entitle(text) {
  document.title = [text, store.datacenter, 'micro-etcd'].filter(Boolean).join(' · ');
}

store.addEventListener('change', (e) => {
  say(byId('prefix'), visible(store.prefix));
  if (e.all) events.reload();
  else events.add(e.events);
  summarize();
});

entitle(''); // which a screen reader says when one comes here

new Stream(store, (state) => health.connection(state));

setInterval(() => {
  list.draw();
  detail.tick();
  health.tick();
  if (store.health) summarize();
}, 1000);

// The address says which service is open, so that it can be shared and the browser's buttons work.
function route() {
  const [, name] = location.hash.match(/^#\/service\/(.*)$/s) ?? [];
  const panes = byId('panes');
  datacenters.lead();
  if (name === undefined) {
    const was = detail.name;
    detail.close();
    panes.classList.remove('opened');
    list.mark(null);
    if (was !== null) list.focus();
    return;
  }
  const decoded = decode(name);
  if (decoded === detail.name) return;
  panes.classList.add('opened');
  detail.open(decoded, search.within(decoded));
  list.mark(decoded);
  byId('detail-title').focus();
}

function decode(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function leave() {
  history.pushState(null, '', location.pathname + location.search);
  route();
}

window.addEventListener('popstate', route); // also when a link changes the address's fragment
byId('close').addEventListener('click', leave);
byId('skip').addEventListener('click', () => list.focus());

document.addEventListener('keydown', (e) => {
  const typing = e.target.closest('input');
  if (e.key === '/' && !typing && !e.ctrlKey && !e.metaKey && !e.altKey) {
    e.preventDefault();
    search.focus();
  } else if (e.key === 'Escape') {
    if (typing?.id === 'search' && search.clear()) return e.preventDefault();
    if (detail.name !== null) leave();
    else if (typing) list.focus();
  } else if (typing?.id === 'search' && (e.key === 'ArrowDown' || e.key === 'Enter')) {
    e.preventDefault();
    list.focus();
  }
});

byId('pause').addEventListener('click', (e) => {
  const paused = e.currentTarget.getAttribute('aria-pressed') !== 'true';
  e.currentTarget.setAttribute('aria-pressed', paused);
  say(e.currentTarget, paused ? 'Paused' : 'Pause');
  events.pause(paused);
});

for (const what of ['services', 'events']) {
  byId(`show-${what}`).addEventListener('click', () => {
    byId('panes').dataset.show = what;
    for (const other of ['services', 'events']) byId(`show-${other}`).setAttribute('aria-pressed', other === what);
  });
}

route();
