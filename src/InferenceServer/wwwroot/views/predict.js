// What the model predicts, and what changes when a word is masked or taken out: the check beside attention.
import { el, button } from '../dom.js';
import { t, percent, number } from '../i18n.js';
import { names, pieces } from '../units.js';
import { isMark } from '../stats.js';
import { bars } from '../draw/bars.js';
import { isTranslator } from '../source.js';
import { emphasised } from './words.js';

export const changeOf = (state) => {
  const found = /^(mask|remove|head):(\d+(?:\.\d+)*)$/.exec(state.change);
  if (!found) return null;
  const numbers = found[2].split('.').map(Number);
  if (found[1] !== 'head') return { how: found[1], words: numbers };
  return numbers.length === 2 ? { how: 'head', words: [], layer: numbers[0], head: numbers[1] } : null;
};

export async function draw(stage) {
  const { place, state, source, model } = stage;
  if (isTranslator(model)) {
    place.replaceChildren(el('p', { class: 'lead' }, t('predict.translator')));
    return {};
  }
  const decoder = model.tasks.includes('next-token');
  const filler = model.tasks.includes('fill-mask');
  const classifier = model.tasks.includes('text-classification');
  if (!decoder && !filler && !classifier) {
    place.replaceChildren(el('p', { class: 'lead' }, t('predict.none', { tasks: model.tasks.join(', ') })));
    return {};
  }

  const text = state.a + state.made;
  const tokens = (await stage.json('tokenize', { inputs: text })).items[0];
  const units = source.queries;
  const unitNames = names(units);
  const list = tokens.ids.map((id, i) => ({ id, start: tokens.offsets[i][0], end: tokens.offsets[i][1], special: Boolean(tokens.special_tokens_mask[i]), segment: 0 }));
  const positions = (word) => pieces(units[word], list);

  // A filler needs a mask: the text's own, else the chosen word is masked.
  const mask = filler ? model.mask_token.text : null;
  const hasMask = filler && tokens.tokens.includes(mask);
  const target = filler && !hasMask ? (state.target >= 0 && state.target < units.length && !isMark(units[state.target]) ? state.target : stage.focus) : -1;
  const asked = target >= 0 ? replaced(text, units[target], mask) : text;
  const change = changeOf(state);
  const top = { parameters: { top_k: 6 } };

  const lead = el('p', { class: 'lead' }, ...emphasised(target >= 0 ? t('predict.fill', { word: unitNames[target] }) : decoder ? t('predict.next') : classifier ? t('predict.label') : t('predict.masks')));
  const sentence = el('ol', { class: 'words pick', 'aria-label': t('predict.words') }, ...units.flatMap((unit, i) => (unit.special && unit.token !== mask ? [] : [el('li', {}, el('button', {
    type: 'button',
    class: `word${i === target ? ' target' : ''}${change?.words.includes(i) ? ` ${change.how}d` : ''}`,
    data: { key: `p${i}` },
    onclick: () => (filler && !hasMask && i !== target && !isMark(unit) ? stage.set({ target: i, change: '' }) : undefined),
    ondblclick: () => stage.change(i, 'mask'),
    onkeydown: (event) => {
      if (event.key === 'm' || event.key === 'M') stage.change(i, filler ? 'mask' : 'remove');
      if (event.key === 'Delete') stage.change(i, 'remove');
    },
  }, el('span', { class: 'word-text' }, i === target ? mask : unitNames[i]), i === target ? el('span', { class: 'visually-hidden' }, ` ${t('predict.is.target', { word: unitNames[i] })}`) : null, el('span', { class: 'word-weight' }, change?.words.includes(i) ? t(`predict.${change.how}d`) : '')))])));
  const chart = el('div', { class: 'bars' });
  const notes = el('p', { class: 'note', 'aria-live': 'polite' });
  const actions = el('div', { class: 'actions' });
  const row = (how) => el('label', { class: 'inline' }, t(`predict.do.${how}`), ' ', el('select', { onchange: (event) => { if (event.target.value) stage.change(Number(event.target.value), how); } }, el('option', { value: '' }, '—'), ...units.map((unit, i) => (isMark(unit) || i === target ? null : el('option', { value: i, selected: change?.how === how && change.words[0] === i }, unitNames[i])))));
  if (filler) actions.append(row('mask'));
  actions.append(row('remove'));
  actions.append(button(t('predict.do.head', stage.at), () => stage.set({ change: `head:${state.layer}.${state.head}` }), { 'aria-pressed': String(change?.how === 'head' && change.layer === state.layer && change.head === state.head) }));
  if (change) actions.append(button(t('predict.undo'), () => stage.set({ change: '' })));
  if (decoder) actions.append(button(t('predict.go.on'), goOn), state.made ? button(t('predict.back'), () => stage.set({ made: '' })) : '');
  place.replaceChildren(lead, sentence, actions, notes, chart);

  let rows;
  let body;
  if (change) {
    const at = change.words.filter((word) => word < units.length && word !== target).flatMap(positions);
    // The masked text has its own positions: a word of several tokens becomes one mask.
    const moved = target >= 0 ? shift(at, positions(target)) : at;
    body = { text: asked, change: change.how === 'head' ? { heads: [{ layer: change.layer, head: change.head }] } : { [change.how]: moved }, ...top };
    const answer = await stage.json('attention/ablation', body);
    const place1 = answer.before.masks?.[0]?.position;
    const difference = answer.difference.filter((d) => place1 === undefined || d.position === place1);
    rows = difference.map((d) => ({ label: (d.label ?? d.token).replace(/^[Ġ▁]/, '').replace(/^##/, '') || d.token, before: d.before, after: d.after })).sort((a, b) => Math.max(b.before, b.after) - Math.max(a.before, a.after)).slice(0, 8);
    const largest = rows.reduce((a, b) => (Math.abs(b.after - b.before) > Math.abs(a.after - a.before) ? b : a), rows[0]);
    if (largest) notes.textContent = t('predict.changed', { label: largest.label, before: percent(largest.before), after: percent(largest.after), words: change.how === 'head' ? t('head.name', change) : change.words.map((word) => unitNames[word]).join(', ') });
    await bars(chart, rows, { label: t('predict.chart'), before: t('predict.before'), after: t('predict.after') });
  } else {
    body = { inputs: asked, ...top };
    const answer = await stage.json('predictions', body);
    const item = answer.items[0];
    const candidates = item.masks?.[0]?.candidates ?? item.candidates ?? item.labels;
    rows = candidates.map((one) => ({ label: (one.label ?? one.text.trim()) || one.token, before: one.score }));
    notes.textContent = t('predict.best', { label: rows[0].label, share: percent(rows[0].before), n: number(rows.length, 0) });
    await bars(chart, rows, { label: t('predict.chart'), before: t('predict.score') });
  }

  // A decoder goes on by its best token, and the row of what it chose is shown.
  async function goOn() {
    const answer = await stage.ask('predictions', { inputs: text, parameters: { top_k: 1 } });
    stage.set({ made: state.made + answer.items[0].candidates[0].text, focus: -1, change: '' });
  }

  return {
    table: () => ({ caption: t('predict.chart'), head: [t('word'), ...(change ? [t('predict.before'), t('predict.after')] : [t('predict.score')])], rows: rows.map((one) => (change ? [one.label, one.before, one.after] : [one.label, one.before])) }),
    body,
    operation: change ? 'attention/ablation' : 'predictions',
  };
}

// Offsets count code points.
function replaced(text, unit, mask) {
  const letters = [...text];
  return `${letters.slice(0, unit.start).join('')}${mask}${letters.slice(unit.end).join('')}`;
}

const shift = (positions, gone) => positions.map((at) => (at > gone.at(-1) ? at - (gone.length - 1) : at));
