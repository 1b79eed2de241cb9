// The list of services. Only the rows in sight are in the document, however many services there are.

import { duration, el, number, perFrame, plural, say, visible } from './text.js';
import { bar, chips } from './versions.js';
import { Plot } from './plot.js';

const around = 6; // rows drawn beyond what is in sight
const collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });
const byName = (a, b) => collator.compare(a.name, b.name) || (a.name < b.name ? -1 : 1);
const orders = {
  name: byName,
  nodes: (a, b) => b.nodes - a.nodes || byName(a, b),
  changed: (a, b) => (b.changed ?? 0) - (a.changed ?? 0) || byName(a, b),
};

export class List {
  #store;
  #scroller = document.getElementById('list');
  #body = document.getElementById('rows');
  #above = spacer();
  #below = spacer();
  #rows = new Map(); // what is in the document, by name
  #shown = []; // names of the services that match, in order
  #order = 'name';
  #words = '';
  #found = new Map(); // services whose nodes match, by the server's word
  #active = ''; // the row that the keyboard is at
  #opened = null;
  draw = perFrame(() => this.#draw());

  constructor(store) {
    this.#store = store;
    this.#body.append(this.#above, this.#below);
    this.#scroller.addEventListener('scroll', this.draw, { passive: true });
    this.#scroller.addEventListener('keydown', (e) => this.#key(e));
    this.#body.addEventListener('focusin', (e) => this.#focused(e));
    this.#body.addEventListener('click', (e) => this.#click(e));
    new ResizeObserver(this.draw).observe(this.#scroller);
    for (const head of document.querySelectorAll('th[data-sort]')) {
      head.firstElementChild.addEventListener('click', () => this.#sort(head.dataset.sort));
    }
    store.addEventListener('change', (e) => this.#changed(e));
  }

  // search shows the services that contain words, or whose nodes do.
  search(words, found) {
    const fresh = words !== this.#words;
    this.#words = words;
    this.#found = found;
    this.#arrange();
    if (fresh) this.#scroller.scrollTop = 0;
  }

  get count() {
    return this.#shown.length;
  }

  mark(opened) {
    this.#opened = opened;
    if (opened !== null) this.#active = opened;
    this.draw();
  }

  // focus puts the keyboard at the active row, or at the first.
  focus() {
    if (!this.#shown.length) return;
    this.#move(Math.max(0, this.#index()));
  }

  #changed({ all, membership, names }) {
    if (all || membership || this.#order !== 'name') this.#arrange();
    for (const name of names) this.#rows.get(name)?.outdate();
    if (all) for (const row of this.#rows.values()) row.outdate();
    this.draw();
  }

  #arrange() {
    const words = this.#words.toLowerCase();
    const matching = [...this.#store.services.values()].filter((s) => !words || this.#matches(s, words));
    this.#shown = matching.sort(orders[this.#order]).map((s) => s.name);
    this.draw();
  }

  #matches(service, words) {
    return service.name.toLowerCase().includes(words)
      || this.#found.has(service.name)
      || service.versions.some((v) => v.version.toLowerCase().includes(words));
  }

  #sort(order) {
    this.#order = order;
    for (const head of document.querySelectorAll('th[data-sort]')) {
      if (head.dataset.sort !== order) head.removeAttribute('aria-sort');
      else head.setAttribute('aria-sort', order === 'name' ? 'ascending' : 'descending');
    }
    this.#scroller.scrollTop = 0;
    this.#arrange();
  }

  #draw() {
    const high = rowHeight();
    const first = Math.max(0, Math.floor(this.#scroller.scrollTop / high) - around);
    const last = Math.min(this.#shown.length, Math.ceil((this.#scroller.scrollTop + this.#scroller.clientHeight) / high) + around);
    const wanted = this.#shown.slice(first, last);
    this.#body.parentElement.setAttribute('aria-rowcount', this.#shown.length + 1);
    say(document.getElementById('plot-title'), `Last ${duration(this.#store.window() * 1000)}`);
    this.#above.style.height = `${first * high}px`; // before rows go, or what is scrolled to might be too far for a moment
    this.#below.style.height = `${(this.#shown.length - Math.max(first, last)) * high}px`;
    this.#place(wanted, first);
    this.#empty();
  }

  // place puts the wanted rows between the spacers, in order, and moves only what isn't there yet.
  #place(wanted, first) {
    const names = new Set(wanted);
    const kept = document.activeElement?.closest?.('#rows tr')?.dataset.name;
    for (const [name, row] of this.#rows) {
      if (names.has(name)) continue;
      row.element.remove();
      this.#rows.delete(name);
    }
    const active = names.has(this.#active) ? this.#active : wanted[0];
    let after = this.#above;
    wanted.forEach((name, i) => {
      let row = this.#rows.get(name);
      if (!row) this.#rows.set(name, row = new Row(name));
      row.draw(this.#store.services.get(name), this.#store, first + i, name === active, name === this.#opened);
      if (after.nextSibling !== row.element) after.after(row.element);
      after = row.element;
    });
    if (kept !== undefined) (this.#rows.get(kept)?.link ?? this.#scroller).focus({ preventScroll: true }); // a row that is moved loses it
  }

  #empty() {
    const empty = document.getElementById('empty');
    empty.hidden = this.#shown.length > 0;
    if (empty.hidden) return;
    if (!this.#store.health?.read) say(empty, 'Nothing could be read yet.');
    else if (this.#words) say(empty, `Nothing matches “${visible(this.#words)}”.`);
    else say(empty, `Nothing is registered below ${visible(this.#store.prefix)} yet. A service appears here as soon as it registers.`);
  }

  #index() {
    return this.#shown.indexOf(this.#active);
  }

  #key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const page = Math.max(1, Math.floor(this.#scroller.clientHeight / rowHeight()) - 2);
    const from = this.#index();
    const to = {
      ArrowDown: from + 1, ArrowUp: from - 1, PageDown: from + page, PageUp: from - page, Home: 0, End: this.#shown.length - 1,
    }[e.key];
    if (to === undefined || e.target.closest('thead')) return;
    e.preventDefault();
    this.#move(Math.max(0, Math.min(this.#shown.length - 1, to)));
  }

  #move(index) {
    const name = this.#shown[index];
    if (name === undefined) return;
    this.#active = name;
    const high = rowHeight();
    const head = this.#body.offsetTop;
    const { scrollTop, clientHeight } = this.#scroller;
    if (index * high < scrollTop) this.#scroller.scrollTop = index * high;
    else if ((index + 1) * high + head > scrollTop + clientHeight) this.#scroller.scrollTop = (index + 1) * high + head - clientHeight;
    this.#draw();
    this.#rows.get(name)?.link.focus({ preventScroll: true });
  }

  #focused(e) {
    const name = e.target.closest('tr')?.dataset.name;
    if (name !== undefined) this.#active = name;
  }

  // The whole row opens the service, not only its link, unless text was being selected.
  #click(e) {
    if (e.target.closest('a') || String(getSelection())) return;
    const name = e.target.closest('tr')?.dataset.name;
    this.#rows.get(name)?.link.click();
  }
}

class Row {
  link = el('a', {}, '');
  #name = el('bdi');
  #flag = el('span', { class: 'flag' });
  #versions = el('td', { role: 'cell', class: 'c-versions' });
  #nodes = el('td', { role: 'cell', class: 'c-nodes' });
  #changed = el('td', { role: 'cell', class: 'c-changed' });
  #plot = new Plot();
  #old = true;
  element;

  constructor(name) {
    this.link.setAttribute('href', `#/service/${encodeURIComponent(name)}`);
    this.link.append(this.#name);
    say(this.#name, name === '' ? 'no name' : visible(name));
    this.link.title = this.#name.textContent;
    this.element = el('tr', { role: 'row', 'data-name': name },
      el('th', { role: 'rowheader', scope: 'row', class: 'c-name' }, this.link, this.#flag),
      this.#versions, this.#nodes, el('td', { role: 'cell', class: 'c-plot' }, this.#plot.element), this.#changed);
  }

  outdate() {
    this.#old = true;
  }

  draw(service, store, index, active, opened) {
    this.element.setAttribute('aria-rowindex', index + 2);
    this.element.classList.toggle('opened', opened);
    if (opened) this.link.setAttribute('aria-current', 'true');
    else this.link.removeAttribute('aria-current');
    this.link.tabIndex = active ? 0 : -1;
    say(this.#changed, service.changed ? `${duration(store.now() - service.changed)} ago` : '–');
    this.#plot.draw(service.history, store.now(), store.window());
    if (!this.#old) return;
    this.#old = false;
    this.#versions.replaceChildren(bar(service), el('span', { class: 'chips' }, ...chips(service, 2)));
    say(this.#nodes, number(service.nodes));
    this.#nodes.append(el('span', { class: 'unit' }, service.nodes === 1 ? ' node' : ' nodes'));
    this.#mark(problems(service), service.out ?? 0);
  }

  // mark says what is wrong, and how many nodes are out of service, which isn't.
  #mark(found, out) {
    this.#flag.hidden = !found.length && !out;
    this.#flag.replaceChildren(...[
      found.length && el('span', {}, `▲ ${found.join(', ')}`),
      found.length && out && ', ',
      out && el('span', { class: 'muted' }, `${number(out)} out of service`),
    ].filter(Boolean));
  }
}

export function problems(service) {
  const found = [];
  if (service.broken) found.push(plural(service.broken, 'unreadable record'));
  if (service.orphaned) found.push(`${number(service.orphaned)} on a lease that doesn't exist`);
  if (service.immortal) found.push(`${number(service.immortal)} without a lease`);
  return found;
}

function spacer() {
  return el('tr', { class: 'spacer', 'aria-hidden': 'true', role: 'presentation' });
}

// The rows' height is the style sheet's, and depends on the width of the window.
function rowHeight() {
  return parseFloat(getComputedStyle(document.documentElement).getPropertyValue('--row')) || 48;
}
