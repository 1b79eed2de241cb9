// Everything that is shown goes through textContent: data is text, never markup.

// el makes an element. Properties are attributes, but for class and hidden; children are elements or texts.
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null && child !== ''));
  return element;
}

// say sets a text only if it differs, so that nothing is announced or laid out anew for nothing.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Characters that can't be seen, or that turn the direction of what stands around them.
const invisible = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

// visible writes them as \u{202e}, so that a name can't pretend to be another one.
export function visible(text) {
  return String(text).replace(invisible, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

const whole = new Intl.NumberFormat('en');
export const number = (n) => whole.format(n);

export function plural(n, one, many = `${one}s`) {
  return `${number(n)} ${n === 1 ? one : many}`;
}

// duration of milliseconds, in the one unit that matters.
export function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
export const time = (ms) => clock.format(ms);

const calendar = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
export const moment = (ms) => calendar.format(ms);

export function bytes(n) {
  if (n < 1024) return `${n} B`;
  if (n < 1024 * 1024) return `${(n / 1024).toFixed(1)} KiB`;
  return `${(n / 1024 / 1024).toFixed(1)} MiB`;
}

// at most once per frame, however often it is asked for.
export function perFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
