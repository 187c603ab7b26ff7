// Words by layers: where each layer reads, its heads put together, or everything below multiplied (rollout).
import { el } from '../dom.js';
import { t, percent } from '../i18n.js';
import { names, isHidden, short } from '../units.js';
import { prepare, text, turned } from '../draw/canvas.js';
import { headColor, theme } from '../draw/colors.js';



export async function draw(stage) {
  const { place, state, source, focus } = stage;
  const row = Math.max(48, Math.min(96, (stage.room() - 275) / source.layers.length));
  if (source.cross) {
    place.replaceChildren(el('p', { class: 'lead' }, t('flow.cross')));
    return {};
  }
  const layers = await source.perLayer(state.flow === 'rollout' ? 'rollout' : 'mean', stage.signal);
  const unitNames = names(source.keys);
  const shown = source.keys.map((_, k) => k).filter((k) => !isHidden(source.keys[k], state));
  const least = state.edge / 100;

  const canvas = el('canvas', { role: 'img', 'aria-label': t('flow.label'), tabIndex: 0 });
  const method = el('label', { class: 'inline' }, t('flow.method'), ' ', el('select', { onchange: (event) => stage.set({ flow: event.target.value }) }, ...['mean', 'rollout'].map((name) => el('option', { value: name, selected: name === state.flow }, t(`flow.${name}`)))));
  const slider = el('label', { class: 'inline' }, t('flow.edge'), ' ', el('input', { type: 'range', min: 1, max: 80, value: state.edge, oninput: (event) => stage.set({ edge: Number(event.target.value) }, { step: false }) }), ` ${percent(least)}`);
  const heads = el('p', { class: 'note', 'aria-live': 'polite' }, t('flow.hint'));
  place.replaceChildren(el('p', { class: 'lead' }, t(state.flow === 'rollout' ? 'flow.lead.rollout' : 'flow.lead')), el('div', { class: 'row' }, method, slider), el('div', { class: 'canvas-scroll' }, canvas), heads);

  const step = Math.max(18, Math.min(90, (Math.max(300, place.clientWidth) - 90) / shown.length));
  const size = { width: 80 + step * shown.length + 30, height: 84 + row * layers.length + 20 };
  const x = (i) => 80 + step * i + step / 2;
  const y = (level) => 84 + row * level;
  let over = -1;

  // Only what leads to the chosen word at the top is drawn strongly.
  function reach(level, to) {
    const chosen = new Set([to]);
    const levels = [chosen];
    for (let l = layers.length - 1; l >= level; l--) {
      const next = new Set();
      for (const q of levels.at(-1)) shown.forEach((k) => { if (layers[l].value(q, k) >= least) next.add(k); });
      levels.push(next);
    }
    return levels;
  }

  function scene(context) {
    const colors = theme();
    context.fillStyle = colors.back;
    context.fillRect(0, 0, size.width, size.height);
    const from = over >= 0 ? over : focus;
    const levels = state.flow === 'rollout' ? null : reach(0, from);
    shown.forEach((k, i) => turned(context, short(unitNames[k]), x(i), 68, { size: 12, weight: k === from ? 700 : 400, color: k === from ? colors.mark : colors.text }));
    for (let level = 0; level <= layers.length; level++) {
      text(context, level === layers.length ? t('flow.input') : t('strip.layer', { layer: source.layers[layers.length - 1 - level] }), 6, y(level), { size: 12, color: colors.soft });
      shown.forEach((_, i) => { context.fillStyle = colors.line; context.beginPath(); context.arc(x(i), y(level), 3, 0, Math.PI * 2); context.fill(); });
    }
    layers.forEach((matrix, l) => {
      const level = layers.length - 1 - l;
      shown.forEach((q, a) => shown.forEach((k, b) => {
        const value = matrix.value(q, k);
        if (value < least) return;
        const strong = levels ? levels[level]?.has(q) : q === from;
        context.strokeStyle = strong ? headColor(0) : colors.soft;
        context.globalAlpha = strong ? Math.min(1, 0.35 + value) : 0.16 + value * 0.4;
        context.lineWidth = strong ? 1 + 5 * value : 1;
        context.beginPath();
        context.moveTo(x(a), y(level));
        context.lineTo(x(b), y(level + 1));
        context.stroke();
      }));
    });
    context.globalAlpha = 1;
  }
  const paint = () => scene(prepare(canvas, size.width, size.height));
  paint();
  canvas.addEventListener('pointermove', (event) => {
    const i = Math.round((event.offsetX - 80 - step / 2) / step);
    const next = shown[i] ?? -1;
    if (next !== over) { over = next; paint(); stage.hover(next < 0 ? focus : next); }
  });
  canvas.addEventListener('pointerleave', () => { over = -1; paint(); stage.hover(focus); });
  canvas.addEventListener('click', async (event) => {
    const q = shown[Math.round((event.offsetX - 80 - step / 2) / step)];
    const level = Math.round((event.offsetY - 84) / row);
    if (q === undefined) return;
    if (level >= layers.length || state.flow === 'rollout') { stage.choose(q, false); return; }
    // An edge opens the heads of its layer.
    const layer = source.layers[layers.length - 1 - level];
    const rows = await source.rows(q, stage.signal);
    const k = shown.reduce((a, c) => (layers[layers.length - 1 - level].value(q, c) > layers[layers.length - 1 - level].value(q, a) ? c : a), shown[0]);
    const list = source.heads.map((head) => [head, rows(layer, head)[k]]).sort((a, b) => b[1] - a[1]);
    heads.replaceChildren(t('flow.heads', { layer, query: unitNames[q], key: unitNames[k] }), ' ', ...list.slice(0, 6).map(([head, value]) => el('button', { type: 'button', class: 'small', onclick: () => stage.set({ layer, head, focus: q, auto: 0, view: 'words' }) }, `${layer}.${head}: ${percent(value)}`)));
  });
  canvas.addEventListener('keydown', (event) => {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
    event.preventDefault();
    const i = shown.indexOf(over < 0 ? focus : over) + (event.key === 'ArrowRight' ? 1 : -1);
    over = shown[Math.max(0, Math.min(shown.length - 1, i))];
    paint();
    stage.hover(over);
  });

  return {
    table: () => ({ caption: t('flow.label'), head: [t('layer'), t('matrix.query'), t('matrix.key'), t('weight')], rows: layers.flatMap((matrix, l) => shown.flatMap((q) => shown.filter((k) => matrix.value(q, k) >= least).map((k) => [source.layers[l], unitNames[q], unitNames[k], matrix.value(q, k)]))) }),
    picture: { ...size, paint: scene },
    body: { ...source.body, aggregate: { over: 'heads', method: state.flow === 'rollout' ? 'rollout' : 'mean' } },
  };
}
