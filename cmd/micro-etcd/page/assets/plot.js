// A small plot of a number of nodes over time. between two points the number stayed what it was; a point's third value is
// the lowest number within its few seconds, drawn as a notch.

import { number } from './text.js';

const ns = 'http://www.w3.org/2000/svg';
const height = 32;
const width = 240;

export class Plot {
  element = document.createElementNS(ns, 'svg');
  #area = document.createElementNS(ns, 'path');
  #line = document.createElementNS(ns, 'path');
  #drawn = '';
  top = 0; // the highest number that is shown

  constructor() {
    this.element.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.element.setAttribute('preserveAspectRatio', 'none');
    this.element.setAttribute('role', 'img');
    this.element.setAttribute('aria-label', describe([]));
    this.#area.setAttribute('class', 'area');
    this.#line.setAttribute('class', 'line');
    this.element.append(this.#area, this.#line);
  }

  // draw shows the last span seconds.
  draw(points, now, span) {
    const end = Math.floor(now / 1000);
    const shown = points.filter((p, i) => (points[i + 1]?.[0] ?? Infinity) > end - span);
    this.top = Math.max(0, ...shown.map((p) => p[1]));
    const top = Math.max(1, this.top) * 1.12;
    const x = (at) => (Math.max(0, (at - end + span) / span) * width).toFixed(1);
    const y = (n) => (height - 1 - (n / top) * (height - 2)).toFixed(1);
    let path = '';
    for (const [at, last, low] of shown) {
      path += path ? `H${x(at)}` : `M${x(at)} ${y(last)}`;
      if (low < last) path += `V${y(low)}`;
      path += `V${y(last)}`;
    }
    if (path) path += `H${width}`;
    if (path === this.#drawn) return;
    this.#drawn = path;
    this.#line.setAttribute('d', path);
    this.#area.setAttribute('d', path && `${path}V${height}H${x(shown[0][0])}Z`);
    this.element.setAttribute('aria-label', describe(shown));
  }
}

function describe(points) {
  if (!points.length) return 'nodes over time: none';
  const low = Math.min(...points.map((p) => p[2]));
  const high = Math.max(...points.map((p) => p[1]));
  if (low === high) return `nodes over time: ${number(high)} throughout`;
  return `between ${number(low)} and ${number(high)} all the time`;
}
