// Two places of one word, or two texts: the same head side by side, and the difference.
import { el, button } from '../dom.js';
import { t, weight, percent, number } from '../i18n.js';
import { names, isHidden } from '../units.js';
import { ordinary, repeats, mostDifferent, isMark, votes } from '../stats.js';
import { prepare, text } from '../draw/canvas.js';
import { differences as differenceColors, css, theme } from '../draw/colors.js';

export async function draw(stage) {
  const { place, state, source, focus } = stage;
  if (source.cross) {
    place.replaceChildren(el('p', { class: 'lead' }, t('compare.cross')));
    return {};
  }
  const other = state.b && state.two === 'other' ? await stage.other() : null;
  const right = other ?? source;
  const leftNames = names(source.keys);
  const rightNames = names(right.keys);
  const pick = other
    ? (state.other >= 0 && state.other < right.keys.length ? state.other : twin(source, focus, right))
    : (state.other >= 0 && state.other < source.keys.length && state.other !== focus ? state.other : repeats(source.keys, focus)[0] ?? -1);

  const choose = (units, chosen, label, act) => el('label', { class: 'inline' }, label, ' ', el('select', { onchange: (event) => act(Number(event.target.value)) },
    ...units.map((name, i) => [name, i]).filter(([, i]) => !isMark((label === leftLabel ? source : right).keys[i])).map(([name, i]) => el('option', { value: i, selected: i === chosen }, name))));
  const leftLabel = t('compare.first');
  const controls = el('div', { class: 'row' },
    choose(leftNames, focus, leftLabel, (i) => stage.set({ focus: i, other: -1 })),
    choose(rightNames, pick, t('compare.second'), (i) => stage.set({ other: i })));
  if (pick < 0) {
    place.replaceChildren(el('p', { class: 'lead' }, t('compare.lead')), controls, el('p', { class: 'note' }, t('compare.none', { word: leftNames[focus] })));
    return {};
  }

  const [leftRows, rightRows] = await Promise.all([source.rows(focus, stage.signal), right.rows(pick, stage.signal)]);
  const side = (from, rows, at) => {
    const columns = ordinary(from.keys);
    return { statistic: ({ layer, head }) => from.statistic(layer, head), row: ({ layer, head }) => rows(layer, head), columns, names: (k) => (other ? from.keys[k].text.toLocaleLowerCase() : k), at };
  };
  const most = () => {
    const best = mostDifferent(source.list().filter(({ layer, head }) => right.layers.includes(layer) && right.heads.includes(head)), side(source, leftRows, focus), side(right, rightRows, pick));
    if (best) stage.set({ layer: best.layer, head: best.head, auto: 0 });
  };
  controls.append(button(t('compare.most'), most, { title: t('compare.most.title') }));

  const p = leftRows(state.layer, state.head);
  const q = rightRows(state.layer, state.head);
  const list = (from, unitNames, row, at) => el('ol', { class: 'words' }, ...from.keys.flatMap((unit, k) => (isHidden(unit, state) ? [] : [el('li', {}, el('span', { class: `word${k === at ? ' chosen' : ''}`, vars: { '--w': `${(Math.sqrt(row[k]) * 100).toFixed(1)}%` } }, el('span', { class: 'word-text' }, unitNames[k]), el('span', { class: 'word-weight' }, weight(row[k]))))])));
  // One head alone proves nothing: how many of all look at which word?
  const vote = (from, rows, unitNames, at) => {
    const most = votes(from.list(), ({ layer, head }) => rows(layer, head), ordinary(from.keys).filter((k) => k !== at)).slice(0, 4);
    return el('p', { class: 'note' }, t('words.vote', { word: unitNames[at], votes: most.map(([k, n]) => `${unitNames[k]} ${n}`).join(', '), all: from.list().length }));
  };
  const sides = el('div', { class: 'sides' },
    el('section', {}, el('h2', {}, leftNames[focus]), list(source, leftNames, p, focus), vote(source, leftRows, leftNames, focus)),
    el('section', {}, el('h2', {}, rightNames[pick]), list(right, rightNames, q, pick), vote(right, rightRows, rightNames, pick)));

  // The difference, word by word.
  const union = other
    ? [...new Map([...source.keys.map((unit) => unit.text.toLocaleLowerCase()), ...right.keys.map((unit) => unit.text.toLocaleLowerCase())].filter(Boolean).map((name) => [name, name])).keys()]
    : source.keys.map((_, k) => k).filter((k) => !isHidden(source.keys[k], state));
  const of = (from, row, name) => (other ? from.keys.reduce((total, unit, k) => total + (unit.text.toLocaleLowerCase() === name && !unit.special ? row[k] : 0), 0) : row[name]);
  const differences = union.map((name) => ({ label: other ? name : leftNames[name], before: of(source, p, name), after: of(right, q, name) })).sort((a, b) => Math.abs(b.after - b.before) - Math.abs(a.after - a.before)).slice(0, 12);
  const canvas = el('canvas', { role: 'img', 'aria-label': t('compare.difference') });
  place.replaceChildren(el('p', { class: 'lead' }, t('compare.lead')), controls, sides, el('h2', {}, t('compare.difference')), canvas);
  const size = () => ({ width: Math.max(300, Math.min(640, place.clientWidth - 4)), height: differences.length * 24 + 10 });
  const scene = (context) => {
    const colors = theme();
    const { width, height } = size();
    context.fillStyle = colors.back;
    context.fillRect(0, 0, width, height);
    const reach = Math.max(24, (width - 330) / 2); // beside the labels, their numbers and those of the bars
    const middle = Math.min(width - reach - 60, 265 + reach);
    const shade = differenceColors();
    context.fillStyle = colors.line;
    context.fillRect(middle, 0, 1, height);
    differences.forEach(({ label, before, after }, i) => {
      const d = after - before;
      const y = i * 24 + 16;
      context.fillStyle = css(shade(Math.sign(d) * Math.max(0.45, Math.sqrt(Math.abs(d)))));
      context.fillRect(d < 0 ? middle + d * reach : middle, y - 8, Math.max(1, Math.abs(d) * reach), 16);
      text(context, label, 4, y, { size: 13, width: 120 });
      text(context, `${weight(before)} → ${weight(after)}`, 130, y, { size: 12, color: colors.soft });
      text(context, `${d < 0 ? '−' : '+'}${number(Math.abs(d))}`, d < 0 ? middle + d * reach - 6 : middle + d * reach + 6, y, { size: 12, align: d < 0 ? 'right' : 'left', color: colors.soft });
    });
  };
  scene(prepare(canvas, size().width, size().height));

  return {
    table: () => ({ caption: t('compare.difference'), head: [t('word'), leftNames[focus], rightNames[pick], t('compare.change')], rows: differences.map(({ label, before, after }) => [label, before, after, after - before]) }),
    picture: { ...size(), paint: scene },
    summary: t('compare.summary', { change: percent(differences.reduce((total, d) => total + Math.abs(d.after - d.before), 0) / 2) }),
  };
}

// The word of another text that stands for one of this: the same word, else the same place.
function twin(source, focus, right) {
  const word = source.keys[focus].text.toLocaleLowerCase();
  const same = right.keys.findIndex((unit) => unit.text.toLocaleLowerCase() === word);
  return same >= 0 ? same : Math.min(focus, right.keys.length - 1);
}
