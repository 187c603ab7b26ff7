// What the translator looked at while it wrote each word, and what it needed.
import { el, button } from '../dom.js';
import { t, weight, number } from '../i18n.js';
import { names, isHidden, pieces } from '../units.js';
import { heatmap } from './matrix.js';
import { prepare } from '../draw/canvas.js';
import { theme } from '../draw/colors.js';

export async function draw(stage) {
  const { place, state, source } = stage;
  if (!source.cross) {
    place.replaceChildren(el('p', { class: 'lead' }, t('translate.none')));
    return {};
  }
  const { matrix } = stage;
  const keyNames = names(source.keys);
  const queryNames = names(source.queries);
  // Row i writes token i + 1.
  const rows = source.queries.map((_, q) => q).filter((q) => !isHidden(source.queries[q], state));
  const columns = source.keys.map((_, k) => k).filter((k) => !isHidden(source.keys[k], state));
  const writes = source.queries.map((_, q) => (q + 1 < source.queries.length ? queryNames[q + 1] : t('translate.end')));
  const shown = source.queries.map((_, q) => q).filter((q) => (q + 1 < source.queries.length ? !isHidden(source.queries[q + 1], state) : state.special));
  const written = rows.map((q) => source.queries[q].text.trim() || queryNames[q]);

  const canvas = el('canvas', { role: 'img', 'aria-label': t('translate.label') });
  const says = el('p', { class: 'note', 'aria-live': 'polite' }, t('translate.hint'));
  const needed = el('div', { class: 'needed' });
  const mean = button(t('translate.mean'), () => stage.set({ auto: 1 }), { 'aria-pressed': String(Boolean(state.auto)) });
  const one = button(t('translate.one', stage.at), () => stage.set({ auto: 0 }), { 'aria-pressed': String(!state.auto) });
  const check = button(t('translate.need'), need);
  place.replaceChildren(el('p', { class: 'lead' }, t('translate.lead')), el('p', { class: 'translation', lang: 'und' }, written.join(' ')), el('div', { class: 'row' }, mean, one, check), says, el('div', { class: 'pictures' }, el('div', { class: 'canvas-scroll' }, canvas), needed));
  const cell = Math.max(22, Math.min(40, Math.floor((stage.room() - 270) / shown.length), Math.floor((place.clientWidth - 320) / 2 / columns.length)));
  const size = { width: 118 + columns.length * cell + 30, height: 92 + shown.length * cell };
  const options = { rows: shown, columns, rowNames: writes, columnNames: keyNames, value: (q, k) => matrix.value(q, k), scale: state.scale, cell };
  const geometry = heatmap(prepare(canvas, size.width, size.height), options);
  canvas.addEventListener('pointermove', (event) => {
    const [y, x] = [Math.floor((event.offsetY - geometry.top) / geometry.size), Math.floor((event.offsetX - geometry.left) / geometry.size)];
    if (shown[y] !== undefined && columns[x] !== undefined) says.textContent = t('translate.cell', { query: writes[shown[y]], key: keyNames[columns[x]], share: weight(matrix.value(shown[y], columns[x])) });
  });

  // The loss of each word's log-probability when a source word is taken out, the target fixed.
  async function need() {
    needed.replaceChildren(el('p', { class: 'note' }, t('waiting')));
    try {
      // The target is tokens; of a source word the largest loss of its pieces counts.
      const keys = (await stage.ask('attention', { text: state.a, kind: 'cross', aggregate: { over: 'all', method: 'mean' } })).key_tokens;
      const words = source.keys.map((unit) => new Set(unit.special ? [] : pieces(unit, keys)));
      const answer = await stage.ask('attention/ablation', { text: state.a, change: { each: 'remove' } });
      const loss = source.queries.map(() => source.keys.map(() => 0));
      for (const change of answer.differences) {
        const k = words.findIndex((own) => own.has(change.position));
        if (k >= 0) for (const { position, before, after } of change.difference) loss[position - 1][k] = Math.max(loss[position - 1][k], before - after);
      }
      const largest = Math.max(1e-9, ...loss.flat());
      const picture = el('canvas', { role: 'img', 'aria-label': t('translate.needed') });
      needed.replaceChildren(el('h2', {}, t('translate.needed')), el('p', { class: 'note' }, t('translate.needed.note', { most: number(largest, 1) })), el('div', { class: 'canvas-scroll' }, picture));
      heatmap(prepare(picture, size.width, size.height), { ...options, value: (q, k) => Math.max(0, loss[q][k] / largest) });
    } catch (error) {
      needed.replaceChildren(el('p', { class: 'problem' }, error.message));
    }
  }

  return {
    table: () => ({ caption: t('translate.label'), head: [t('matrix.corner'), ...columns.map((k) => keyNames[k])], rows: shown.map((q) => [writes[q], ...columns.map((k) => matrix.value(q, k))]) }),
    picture: { ...size, paint: (context) => { context.fillStyle = theme().back; context.fillRect(0, 0, size.width, size.height); heatmap(context, options); } },
    body: state.auto ? { ...source.body, aggregate: { over: 'all', method: 'mean' } } : undefined,
  };
}
