// The table of an opened service's nodes.

import { bytes, duration, el, moment, number, say, visible } from './text.js';
import { color, versionName } from './versions.js';

export class Nodes {
  #body = document.getElementById('nodes');
  #rows = new Map(); // by key
  #versions = [];

  clear() {
    this.#rows.clear();
    this.#body.replaceChildren();
  }

  draw(detail, now) {
    this.#versions = detail.versions.map((v) => v.version);
    const keys = new Set(detail.nodes.map((n) => n.key));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
    let before = null;
    for (const node of detail.nodes) {
      let row = this.#rows.get(node.key);
      if (!row) this.#rows.set(node.key, row = new Row());
      row.draw(node, Math.max(0, this.#versions.indexOf(node.version)), detail.now);
      const place = before ? before.nextSibling : this.#body.firstChild;
      if (place !== row.element) this.#body.insertBefore(row.element, place);
      before = row.element;
    }
    this.tick(now);
  }

  // tick counts ages up and leases down.
  tick(now) {
    for (const row of this.#rows.values()) row.tick(now);
  }
}

class Row {
  #what = el('th', { role: 'rowheader', scope: 'row', class: 'what' });
  #version = el('td', { role: 'cell', class: 'which' });
  #left = el('span');
  #gauge = el('span', { class: 'gauge', 'aria-hidden': 'true' }, el('span'));
  #age = el('td', { role: 'cell', class: 'age' });
  #node = null;
  #asked = 0;
  #drawn = '';
  element = el('tr', { role: 'row' }, this.#what, this.#version, el('td', { role: 'cell', class: 'ttl' }, this.#left, this.#gauge), this.#age);

  draw(node, index, asked) {
    this.#node = node;
    this.#asked = asked;
    const drawn = JSON.stringify([node.id, node.address, node.version, node.metadata, node.error, node.outdated, node.out, node.lease, node.revision, index]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.element.title = visible(`${node.key}\nrevision ${node.revision}, written ${node.writes} times, ${bytes(node.size)}${node.lease ? `, lease ${node.lease}` : ''}`);
    this.element.classList.toggle('out', Boolean(node.out));
    this.element.classList.toggle('broken', Boolean(node.error || node.outdated));
    this.#what.replaceChildren(...describe(node));
    this.#version.replaceChildren(node.error ? '' : el('span', { class: `chip ${color(index)}` }, el('bdi', {}, versionName(node.version))));
  }

  tick(now) {
    const node = this.#node;
    const older = node.before ? '> ' : '';
    say(this.#age, older + duration(now - node.seen));
    this.#gauge.hidden = !node.lease || node.left == null;
    if (!node.lease) return say(this.#left, 'no lease');
    if (node.left == null) return say(this.#left, '…');
    const left = Math.max(0, node.left - (now - this.#asked));
    say(this.#left, node.granted ? `${Math.ceil(left / 1000)} of ${number(node.granted / 1000)} s` : 'lease is gone');
    const part = node.granted ? left / node.granted : 0;
    this.#gauge.firstChild.style.width = `${Math.round(part * 100)}%`;
    this.#gauge.classList.toggle('low', node.left < node.granted / 2); // as etcd said, not as it ran down here since
  }
}

function describe(node) {
  if (node.error) {
    return [el('bdi', { class: 'address mono' }, visible(node.key)), el('span', { class: 'why' }, `Can't be read: ${visible(node.error)}`)];
  }
  return [
    el('bdi', { class: 'address mono' }, node.address === '' ? 'no address' : visible(node.address)),
    el('bdi', { class: 'id mono' }, visible(node.id)),
    node.outdated && el('span', { class: 'why' }, 'Another record of this node counts: the one at its own key, or else the one that was written last.'),
    node.out && el('span', { class: 'reason' }, whyOut(node.out)),
    pairs(node.metadata),
  ].filter(Boolean);
}

// whyOut says who took a node out of service, when, until when, and what for.
function whyOut(out) {
  const since = out.since ? `since ${moment(out.since)}` : '';
  const by = out.by ? `by ${visible(out.by)}` : 'by its own health checks';
  const doubt = out.by && !out.acknowledged ? 'not acknowledged by its process' : '';
  const until = out.until ? `until ${moment(out.until)}` : '';
  const text = [since, by, doubt, until].filter(Boolean).join(', ');
  return `Out of service ${text}${out.reason ? `: ${visible(out.reason)}` : ''}`;
}

// go-micro gives these to every node, so they come last.
const usual = new Set(['broker', 'protocol', 'registry', 'server', 'transport']);

// pairs shows metadata.
export function pairs(metadata) {
  if (!metadata?.length) return null;
  const ordered = metadata.filter(([name]) => !usual.has(name)).concat(metadata.filter(([name]) => usual.has(name)));
  return el('span', { class: 'pairs' }, ...ordered.map(([name, value]) =>
    el('span', { class: usual.has(name) ? 'pair usual' : 'pair' }, el('bdi', { class: 'key' }, visible(name)), el('span', { class: 'is' }, '='), el('bdi', { class: 'value' }, visible(value)))));
}
