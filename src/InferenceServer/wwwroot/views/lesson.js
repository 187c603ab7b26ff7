// Twelve screens from a guess to the check. Every number is the model's own.
import { el, button } from '../dom.js';
import { t, number, percent, weight } from '../i18n.js';
import { names, labels, startFocus, pieces } from '../units.js';
import { ordinary, sum, strongest, votes } from '../stats.js';
import { isDecoder, isTranslator } from '../source.js';
import { prepare } from '../draw/canvas.js';
import { heatmap } from './matrix.js';
import { bars } from '../draw/bars.js';
import * as api from '../api.js';

export const screens = 12;
const first = 8; // numbers of a vector that are shown
const most = 64; // tokens that a lesson is readable with
const codes = {
  3: 'x = token_embedding(ids) + position_embedding(positions) + segment_embedding(segments)',
  4: 'q, k, v = Dense({d})(x), Dense({d})(x), Dense({d})(x)',
  5: 'ops.sum(q[i] * k[j])',
  6: 'scores = ops.matmul(q, ops.transpose(k))',
  7: 'scores = scores / ops.sqrt({d}.0)',
  8: 'scores = scores + (1 - mask) * -1e9',
  9: 'weights = ops.softmax(scores, axis=-1)',
  10: 'context = ops.matmul(weights, v)',
};

export async function draw(stage) {
  const { place, state, source, model } = stage;
  if (isTranslator(model) || source.cross) {
    place.replaceChildren(el('p', { class: 'lead' }, t('lesson.translator')));
    return {};
  }
  const step = Math.max(1, Math.min(screens, state.step));
  const body = { text: state.a, layers: [state.layer], heads: [state.head] };
  const needs = step >= 4 && step <= 10;
  const answer = await stage.json('attention', needs ? { ...body, components: ['q', 'k', 'v', 'scores', 'context'] } : body);
  if (answer.tokens.length > most) {
    place.replaceChildren(el('p', { class: 'lead' }, t('lesson.long', { n: answer.tokens.length, most })));
    return {};
  }
  const tokens = answer.tokens;
  const tokenNames = names(tokens);
  // The chosen word's last piece: a word is what its pieces are together.
  const unit = source.queries[stage.focus];
  const found = pieces(unit, tokens).at(-1) ?? -1;
  const at = found >= 0 ? found : startFocus(tokens, false);
  const row = answer.attention[0][0][at];
  const parts = answer.components ? Object.fromEntries(Object.entries(answer.components).map(([name, value]) => [name, name === 'scale' ? value : value[0][0]])) : null;
  const d = parts ? parts.q[0].length : Math.round((model.hidden_size ?? 0) / (model.heads ?? 1));
  const best = strongest(row, ordinary(tokens).filter((k) => k !== at));
  const values = { word: tokenNames[at], key: best >= 0 ? tokenNames[best] : '', layer: state.layer, head: state.head, d, root: number(Math.sqrt(d)), n: tokens.length, hidden: model.hidden_size ?? '', heads: model.heads ?? '' };

  const content = await screen(step);
  const code = codes[step] ? el('pre', { class: 'code', tabIndex: 0 }, codes[step].replaceAll('{d}', d)) : '';
  const dots = el('ol', { class: 'dots', 'aria-label': t('lesson.screens') }, ...Array.from({ length: screens }, (_, i) => el('li', {}, button(String(i + 1), () => stage.set({ step: i + 1 }), { 'aria-current': i + 1 === step ? 'step' : null, 'aria-label': t('lesson.go', { step: i + 1, title: t(`lesson.${i + 1}.title`) }), data: { key: `l${i + 1}` } }))));
  place.replaceChildren(
    el('div', { class: 'row lesson-head' }, button(t('lesson.back'), () => stage.set({ step: step - 1 }), { disabled: step === 1, data: { key: 'back' } }), dots, button(t('lesson.next'), () => stage.set({ step: step + 1 }), { disabled: step === screens, data: { key: 'next' } })),
    el('h2', {}, `${step}. ${t(`lesson.${step}.title`)}`),
    el('p', { class: 'lesson-text' }, t(`lesson.${step}.text`, values)),
    ...[content].flat().filter(Boolean), code,
    el('p', { class: 'check' }, t(`lesson.${step}.check`, { ...values, ...checks() })));

  // What a person can compute again.
  function checks() {
    if (!parts) return { sum: number(sum(row)), id: tokens[at].id };
    const products = best >= 0 ? parts.q[at].map((x, i) => x * parts.k[best][i]) : [];
    const scale = Array.isArray(parts.scale) ? parts.scale[0] : parts.scale ?? 1;
    const soft = softmax(parts.scores[at].map((s, k) => (row[k] > 0 ? s : -Infinity)));
    return {
      id: tokens[at].id, product: number(sum(products), 3), score: number(best >= 0 ? parts.scores[at][best] : 0, 3), raw: number(best >= 0 ? parts.scores[at][best] / scale : 0, 3),
      weight: number(best >= 0 ? row[best] : 0, 3), soft: number(best >= 0 ? soft[best] : 0, 3), sum: number(sum(row)), context: number(parts.context[at][0], 3), mixed: number(sum(row.map((p, k) => p * parts.v[k][0])), 3),
    };
  }

  async function screen(n) {
    const vector = (name, numbers) => [name, ...numbers.slice(0, first).map((x) => number(x)), numbers.length > first ? '…' : ''];
    switch (n) {
      case 1: {
        // By words; the panel keeps the answer to itself until there is a guess.
        const unitNames = names(source.keys);
        const whole = stage.matrix.row(stage.focus);
        const own = strongest(whole, ordinary(source.keys).filter((k) => k !== stage.focus));
        const guessed = state.guess >= 0 && state.guess < source.keys.length;
        const list = el('ol', { class: 'words lesson-words' }, ...source.keys.flatMap((one, k) => (one.special ? [] : [el('li', {}, el('button', { type: 'button', onclick: () => stage.set({ guess: k }, { step: false }), data: { key: `t${k}` }, class: `word${k === stage.focus ? ' chosen' : ''}`, vars: { '--w': `${(guessed ? Math.sqrt(whole[k]) * 100 : 0).toFixed(1)}%` } }, el('span', { class: 'word-text' }, unitNames[k]), el('span', { class: 'word-weight' }, guessed ? weight(whole[k]) : '')))])));
        const said = guessed
          ? t(state.guess === own ? 'lesson.right' : 'lesson.other', { ...values, word: unitNames[stage.focus], key: unitNames[own], guess: unitNames[state.guess], share: percent(whole[own]), own: percent(whole[state.guess]) })
          : t('lesson.guess', { ...values, word: unitNames[stage.focus] });
        return [list, el('p', { class: 'statement' }, said)];
      }
      case 2:
        return table([t('lesson.piece'), ...labels(tokens)], [[t('lesson.id'), ...tokens.map((token) => token.id)]]);
      case 3:
        return table(['', ...tokenNames], [[t('lesson.id'), ...tokens.map((token) => token.id)], [t('lesson.position'), ...tokens.map((_, i) => i)], [t('lesson.segment'), ...tokens.map((token) => token.segment)]], at);
      case 4:
        return table([tokenNames[at], ...Array.from({ length: Math.min(first, d) }, (_, i) => i), d > first ? '…' : ''], [vector('q', parts.q[at]), vector('k', parts.k[at]), vector('v', parts.v[at])]);
      case 5: {
        const q = parts.q[at];
        const k = parts.k[best];
        const products = q.map((x, i) => x * k[i]);
        return table(['', ...Array.from({ length: Math.min(first, d) }, (_, i) => i), t('lesson.others', { n: d - Math.min(first, d) }), t('lesson.total')],
          [[`q ${tokenNames[at]}`, ...q.slice(0, first).map((x) => number(x)), '', ''], [`k ${tokenNames[best]}`, ...k.slice(0, first).map((x) => number(x)), '', ''], ['q · k', ...products.slice(0, first).map((x) => number(x)), number(sum(products.slice(first))), number(sum(products), 3)]]);
      }
      case 6:
      case 7: {
        const scale = Array.isArray(parts.scale) ? parts.scale[0] : parts.scale ?? 1;
        const rows = [['q · k', ...parts.scores[at].map((s) => number(s / scale))]];
        if (n === 7) rows.push([t('lesson.scaled', values), ...parts.scores[at].map((s) => number(s))]);
        return table(['', ...tokenNames], rows, best);
      }
      case 8: {
        const decoder = await stage.models().find((one) => one.state === 'ready' && isDecoder(one) && one.tasks.includes('attention'));
        if (!decoder) return el('p', { class: 'note' }, t('lesson.no.decoder'));
        const seen = await api.json(decoder.id, 'attention', { text: state.a, layers: [0], heads: [0] }, stage.signal);
        const all = seen.tokens.map((_, i) => i).slice(0, 16);
        const seenNames = names(seen.tokens);
        const canvas = el('canvas', { role: 'img', 'aria-label': t('lesson.8.title') });
        const cell = Math.max(14, Math.min(24, Math.floor((stage.room() - 380) / all.length)));
        heatmap(prepare(canvas, 118 + all.length * cell + 30, 92 + all.length * cell), { rows: all, columns: all, rowNames: seenNames, columnNames: seenNames, value: (q, k) => seen.attention[0][0][q][k], scale: 'sqrt', cell });
        return [el('p', { class: 'soft' }, t('lesson.of', { model: decoder.id })), el('div', { class: 'canvas-scroll' }, canvas)];
      }
      case 9: {
        const heat = state.temperature / 100;
        const soft = softmax(parts.scores[at].map((s, k) => (row[k] > 0 ? s / heat : -Infinity)));
        return [el('label', { class: 'inline' }, t('lesson.temperature'), ' ', el('input', { type: 'range', min: 10, max: 400, step: 10, value: state.temperature, oninput: (event) => stage.set({ temperature: Number(event.target.value) }, { step: false }), data: { key: 'temperature' } }), ` ${number(heat, 1)}`),
          table(['', ...tokenNames], [[t('lesson.score'), ...parts.scores[at].map((s) => number(s))], [t('lesson.softmax'), ...soft.map((p) => number(p, 3))], [t('lesson.model'), ...row.map((p) => number(p, 3))]], best)];
      }
      case 10: {
        const size = parts.v.map((v) => Math.hypot(...v));
        const reach = row.map((p, k) => p * size[k]);
        const total = sum(reach);
        return table(['', ...tokenNames, t('lesson.total')], [[t('weight'), ...row.map((p) => number(p, 3)), number(sum(row))], ['v[0]', ...parts.v.map((v) => number(v[0])), ''], [t('lesson.times'), ...row.map((p, k) => number(p * parts.v[k][0], 3)), number(sum(row.map((p, k) => p * parts.v[k][0])), 3)], [t('lesson.length'), ...reach.map((x) => percent(x / total)), '']], best);
      }
      case 11: {
        const rows = await source.rows(stage.focus, stage.signal);
        const unitNames = names(source.keys);
        const columns = ordinary(source.keys).filter((k) => k !== stage.focus);
        const place11 = el('div', { class: 'bars' });
        const list = votes(source.list(), ({ layer, head }) => rows(layer, head), columns).map(([k, n]) => ({ label: unitNames[k], before: n }));
        await bars(place11, list.slice(0, 8), { label: t('lesson.11.title'), before: t('lesson.votes') });
        return place11;
      }
      default:
        return check();
    }
  }

  // The most and a little looked-at word, each masked or taken out: does the prediction change as the attention would have it?
  async function check() {
    // By whole words: half a word tells too much of the other half.
    const words12 = stage.matrix.row(stage.focus);
    const others = ordinary(source.keys).filter((k) => k !== stage.focus);
    const most12 = strongest(words12, others);
    const least = strongest(words12.map((p) => -p), others);
    const wordNames = names(source.keys);
    const place12 = el('div', { class: 'sides' });
    const filler = model.tasks.includes('fill-mask');
    if (!filler && !isDecoder(model) && !model.tasks.includes('text-classification')) return el('p', { class: 'note' }, t('predict.none', { tasks: model.tasks.join(', ') }));
    for (const [k, words] of [[most12, 'lesson.strong'], [least, 'lesson.weak']]) {
      if (k < 0) continue;
      const ids = tokens.map((token) => token.id);
      if (filler) for (const i of pieces(source.keys[stage.focus], tokens)) ids[i] = model.mask_token.id;
      const how = filler ? 'mask' : 'remove';
      const answer12 = await stage.json('attention/ablation', { input_ids: ids, change: { [how]: pieces(source.keys[k], tokens) }, parameters: { top_k: 4 } });
      const where = answer12.before.masks?.[0]?.position;
      const rows = answer12.difference.filter((one) => where === undefined || one.position === where).map((one) => ({ label: one.label ?? one.token.replace(/^[Ġ▁]/, ''), before: one.before, after: one.after })).sort((a, b) => b.before - a.before).slice(0, 4);
      const chart = el('div', { class: 'bars' });
      place12.append(el('section', {}, el('h3', {}, t(words, { key: wordNames[k], share: percent(words12[k]) })), chart));
      await bars(chart, rows, { label: t(words, { key: wordNames[k], share: percent(words12[k]) }), before: t('predict.before'), after: t('predict.after') });
    }
    return place12;
  }

  return { body: needs ? { ...body, components: ['q', 'k', 'v', 'scores', 'context'] } : body };
}

export function softmax(scores) {
  const top = Math.max(...scores);
  const e = scores.map((s) => Math.exp(s - top));
  const total = sum(e);
  return e.map((x) => x / total);
}

function table(head, rows, marked = -1) {
  return el('div', { class: 'canvas-scroll', tabIndex: 0, role: 'region', 'aria-label': t('table') }, el('table', { class: 'values lesson-table' }, el('thead', {}, el('tr', {}, ...head.map((name, i) => el(name === '' ? 'td' : 'th', { scope: name === '' ? null : 'col', class: i === marked + 1 && marked >= 0 ? 'marked' : '' }, name)))), el('tbody', {}, ...rows.map(([name, ...others]) => el('tr', {}, el('th', { scope: 'row' }, name), ...others.map((value, i) => el('td', { class: i === marked ? 'marked' : '' }, value)))))));
}
