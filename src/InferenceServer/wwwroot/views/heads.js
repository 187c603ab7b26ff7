// Words at the left and at the right, ribbons between them: one head or several in their colours.
import { el, button } from '../dom.js';
import { t, weight } from '../i18n.js';
import { names, shown } from '../units.js';
import { largest } from '../stats.js';
import { prepare, text } from '../draw/canvas.js';
import { headColor, headDash, theme } from '../draw/colors.js';

const line = 26;
const most = 5; // ribbons of a word
const long = 128; // tokens: from there one

export const chosenHeads = (state) => state.heads.split(',').filter((part) => /^\d+\.\d+$/.test(part)).map((part) => part.split('.').map(Number)).slice(0, 11);

export async function draw(stage) {
  const { place, state, source, focus } = stage;
  const keyNames = names(source.keys);
  const queryNames = source.cross ? names(source.queries) : keyNames;
  const { rows, columns } = shown(source, state);
  const heads = [[state.layer, state.head], ...chosenHeads(state).filter(([l, h]) => source.layers.includes(l) && source.heads.includes(h) && !(l === state.layer && h === state.head))];
  const matrices = await Promise.all(heads.map(([l, h]) => source.head(l, h, stage.signal)));

  const canvas = el('canvas', { tabIndex: 0, role: 'img', 'aria-label': t('heads.label', stage.at) });
  const chips = el('ul', { class: 'chips', 'aria-label': t('heads.chosen') }, ...heads.map(([l, h], i) => el('li', { vars: { '--chip': headColor(i) } }, `${l}.${h}`, i === 0 ? null : button('×', () => stage.set({ heads: chosenHeads(state).filter(([a, b]) => a !== l || b !== h).map((pair) => pair.join('.')).join(',') }), { 'aria-label': t('heads.drop', { layer: l, head: h }) }))),
    el('li', {}, button(t('heads.add'), () => stage.set({ heads: [...chosenHeads(state), [state.layer, state.head]].map((pair) => pair.join('.')).join(',') }), { disabled: heads.length > 11, title: t('heads.add.title') })));
  place.replaceChildren(el('p', { class: 'lead' }, t(source.cross ? 'heads.cross' : 'heads.lead')), chips, el('div', { class: 'canvas-scroll' }, canvas));

  const shareOf = state.mass / 100;
  const count = Math.max(source.queries.length, source.keys.length) > long ? 1 : most;
  let over = -1; // the word under the pointer
  const geometry = () => ({ width: Math.max(300, place.clientWidth - 4), height: 12 + line * Math.max(rows.length, columns.length) });

  function scene(context, { width, height }) {
    const colors = theme();
    context.fillStyle = colors.back;
    context.fillRect(0, 0, width, height);
    const [x0, x1] = [Math.min(170, width * 0.3), width - Math.min(170, width * 0.3)];
    const y = (at) => 6 + line * at + line / 2;
    const alone = over >= 0 ? over : -1;
    matrices.forEach((matrix, i) => {
      context.strokeStyle = headColor(i);
      context.setLineDash(headDash(i));
      rows.forEach((q, a) => {
        if (alone >= 0 && q !== alone) return;
        const row = columns.map((k) => matrix.value(q, k));
        // A share of the whole row, hidden tokens included: the slider means the same whatever is hidden.
        const whole = matrix.row(q).reduce((s, p) => s + p, 0);
        const part = row.reduce((s, p) => s + p, 0);
        for (const b of largest(row, Math.min(1, (shareOf * whole) / Math.max(part, 1e-9)), alone >= 0 ? columns.length : count)) {
          context.globalAlpha = Math.min(1, 0.15 + Math.sqrt(row[b]) * 0.85);
          context.lineWidth = 1 + 5 * row[b];
          context.beginPath();
          const from = y(a) + (heads.length > 1 ? (i - (heads.length - 1) / 2) * 2 : 0);
          context.moveTo(x0, from);
          context.bezierCurveTo((x0 + x1) / 2, from, (x0 + x1) / 2, y(b), x1, y(b));
          context.stroke();
        }
      });
    });
    context.setLineDash([]);
    context.globalAlpha = 1;
    const of = alone >= 0 ? alone : focus;
    rows.forEach((q, a) => text(context, queryNames[q], x0 - 10, y(a), { align: 'right', size: 14, weight: q === of ? 700 : 400, color: source.queries[q].segment ? colors.accent : colors.text, width: x0 - 16 }));
    columns.forEach((k, b) => text(context, keyNames[k], x1 + 10, y(b), { size: 14, color: source.keys[k].segment ? colors.accent : colors.text, width: width - x1 - (alone >= 0 ? 60 : 16) }));
    if (alone >= 0) columns.forEach((k, b) => text(context, weight(matrices[0].value(alone, k)), width - 6, y(b), { size: 12, align: 'right', color: colors.soft }));
  }

  const paint = () => scene(prepare(canvas, geometry().width, geometry().height), geometry());
  paint();
  const wordAt = (event) => {
    const a = Math.floor((event.offsetY - 6) / line);
    return event.offsetX < geometry().width * 0.5 && rows[a] !== undefined ? rows[a] : -1;
  };
  canvas.addEventListener('pointermove', (event) => {
    const at = wordAt(event);
    if (at !== over) {
      over = at;
      paint();
      stage.hover(at < 0 ? focus : at);
    }
  });
  canvas.addEventListener('pointerleave', () => { over = -1; paint(); stage.hover(focus); });
  canvas.addEventListener('click', (event) => { if (wordAt(event) >= 0) stage.choose(wordAt(event), event.shiftKey); });
  canvas.addEventListener('dblclick', (event) => { if (wordAt(event) >= 0) stage.mask(wordAt(event)); });
  canvas.addEventListener('keydown', (event) => {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    event.preventDefault();
    const at = rows.indexOf(over < 0 ? focus : over) + (event.key === 'ArrowDown' ? 1 : -1);
    over = rows[Math.max(0, Math.min(rows.length - 1, at))];
    paint();
    stage.hover(over);
  });

  return {
    table: () => ({ caption: t('heads.label', stage.at), head: [t('matrix.corner'), ...columns.map((k) => keyNames[k])], rows: rows.map((q) => [queryNames[q], ...columns.map((k) => matrices[0].value(q, k))]) }),
    picture: { ...geometry(), paint: (context) => scene(context, geometry()) },
  };
}
