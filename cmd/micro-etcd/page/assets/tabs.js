// Tabs as https://www.w3.org/WAI/ARIA/apg/patterns/tabs/ describes them.

export class Tabs {
  #tabs;

  constructor(list) {
    this.#tabs = [...list.querySelectorAll('[role=tab]')];
    list.addEventListener('click', (e) => e.target.closest('[role=tab]') && this.select(e.target.closest('[role=tab]').id));
    list.addEventListener('keydown', (e) => this.#key(e));
  }

  select(id) {
    for (const tab of this.#tabs) {
      const selected = tab.id === id;
      tab.setAttribute('aria-selected', selected);
      tab.tabIndex = selected ? 0 : -1;
      document.getElementById(tab.getAttribute('aria-controls')).hidden = !selected;
    }
  }

  #key(e) {
    const at = this.#tabs.indexOf(e.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: this.#tabs.length - 1 }[e.key];
    if (at < 0 || to === undefined) return;
    e.preventDefault();
    const tab = this.#tabs[(to + this.#tabs.length) % this.#tabs.length];
    this.select(tab.id);
    tab.focus();
  }
}
