// The versions of a service and how its nodes spread over them. Newest first; the position gives the color.

import { el, number, visible } from './text.js';

export const color = (i) => `v${Math.min(i, 5)}`;

export const versionName = (version) => (version === '' ? 'no version' : visible(version));

// spread returns a bar whose parts are as wide as the versions have nodes.
export function bar(service) {
  const element = el('span', { class: 'bar', 'aria-hidden': 'true' });
  service.versions.forEach((v, i) => {
    const part = el('span', { class: color(i) });
    part.style.flexGrow = v.nodes;
    element.append(part);
  });
  return element;
}

// chips returns the first versions with their numbers of nodes, and how many more there are.
export function chips(service, most) {
  const all = service.versions.slice(0, most).map((v, i) =>
    el('span', { class: `chip ${color(i)}` },
      el('bdi', {}, versionName(v.version)),
      el('span', { class: 'times' }, `×${number(v.nodes)}`)));
  const more = service.versions.length - all.length + (service.more ?? 0);
  if (more > 0) all.push(el('span', { class: 'chip more' }, `+${number(more)} more`));
  return all;
}
