// Horizontal bars before and after a change, by Chart.js (MIT), which is loaded when the first ones are drawn.
import { el } from '../dom.js';
import { theme, headColor, font } from './colors.js';
import { number } from '../i18n.js';

let library = null;

function load() {
  library ??= new Promise((done, failed) => {
    document.head.append(el('script', { src: 'lib/chart.js', onload: () => done(globalThis.Chart), onerror: () => failed(new Error('lib/chart.js')) }));
  });
  return library;
}

// A chart of rows { label, before, after? }; with a table for those who do not see it.
export async function bars(place, rows, { label, before, after }) {
  const canvas = el('canvas', { role: 'img', 'aria-label': label });
  const box = el('div', { class: 'chart', vars: { '--rows': String(rows.length) } }, canvas);
  const table = el('table', { class: 'values' }, el('caption', {}, label), el('thead', {}, el('tr', {}, el('td', {}), el('th', { scope: 'col' }, before), after && el('th', { scope: 'col' }, after))),
    el('tbody', {}, ...rows.map((row) => el('tr', {}, el('th', { scope: 'row' }, row.label), el('td', {}, number(row.before, 3)), row.after === undefined ? null : el('td', {}, number(row.after, 3))))));
  place.replaceChildren(box, table);
  const Chart = await load();
  const colors = theme();
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const sets = [{ label: before, data: rows.map((row) => row.before), backgroundColor: headColor(0) }];
  if (after) sets.push({ label: after, data: rows.map((row) => row.after), backgroundColor: headColor(1) });
  return new Chart(canvas, {
    type: 'bar',
    data: { labels: rows.map((row) => row.label), datasets: sets },
    options: {
      indexAxis: 'y',
      animation: still ? false : { duration: 150 },
      maintainAspectRatio: false,
      plugins: { legend: { display: Boolean(after), labels: { color: colors.text } } },
      scales: {
        x: { min: 0, ticks: { color: colors.soft }, grid: { color: colors.line } },
        y: { ticks: { color: colors.text, font: { size: 13, family: font(13).split('px ')[1] } }, grid: { display: false } },
      },
    },
  });
}
