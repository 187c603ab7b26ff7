// The sentence itself: one word is chosen, the others are shaded by how much it looks at them.
import { el, button } from '../dom.js';
import { t, weight, percent } from '../i18n.js';
import { names, labels, isHidden, pieces } from '../units.js';
import { ordinary, repeats, isMark, strongest, votes } from '../stats.js';
import { prepare } from '../draw/canvas.js';
import { shades, css, theme, font, inkOn } from '../draw/colors.js';

// The row of the chosen words: their mean when there are several.
export function meanRow(matrix, focus, more) {
  const chosen = [focus, ...more];
  const row = new Float32Array(matrix.m);
  for (const q of chosen) matrix.row(q).forEach((p, k) => { row[k] += p / chosen.length; });
  return row;
}

function word(unit, label, number, value, { pressed, key, ...handlers }) {
  return el('li', {}, el('button', {
    type: 'button', class: `word${unit.special ? ' special' : ''}${unit.segment ? ' second' : ''}`, vars: { '--w': `${(Math.sqrt(value ?? 0) * 100).toFixed(1)}%` },
    'aria-pressed': pressed === undefined ? null : String(pressed), data: { key }, ...handlers,
  }, el('span', { class: 'word-text' }, label), el('span', { class: 'word-weight' }, number)));
}

export async function draw(stage) {
  const { place, state, source, matrix, focus, more } = stage;
  const cross = source.cross;
  const keyNames = names(source.keys);
  const queryNames = cross ? names(source.queries) : keyNames;
  const rows = await source.rows(focus, stage.signal);
  const hidden = source.keys.map((unit) => isHidden(unit, state));
  const reach = state.reach && !cross ? await lengths(stage) : null; // of the value of each word, its mean over pieces
  const scaled = (row) => {
    if (!reach) return row;
    const product = [...row].map((p, k) => p * reach[k]);
    const total = product.reduce((a, b) => a + b, 0) || 1;
    return product.map((x) => x / total);
  };

  const list = el('ol', { class: 'words', 'aria-label': t('words.list') });
  const said = el('p', { class: 'statement', 'aria-live': 'polite' });
  const rest = el('span', { class: 'rest' });

  function fill(at) {
    const row = scaled(at === focus ? meanRow(matrix, focus, more) : matrix.row(at));
    const inside = new Set([at, ...(at === focus ? more : [])]);
    list.replaceChildren(...source.keys.flatMap((unit, k) => (hidden[k] ? [] : [word(unit, keyNames[k], weight(row[k]), row[k], cross
      ? { key: `k${k}`, disabled: true }
      : { key: `k${k}`, pressed: inside.has(k), ...handlers(k) })])));
    const hiddenSum = [...row].reduce((total, p, k) => total + (hidden[k] ? p : 0), 0);
    rest.textContent = hidden.some(Boolean) ? t('words.rest', { share: weight(hiddenSum) }) : '';
  }

  const handlers = (q) => ({
    onclick: (event) => stage.choose(q, event.shiftKey),
    ondblclick: () => stage.mask(q),
    onmouseenter: () => preview(q),
    onmouseleave: () => preview(focus),
    onfocus: () => preview(q),
    onblur: () => preview(focus),
    onkeydown: (event) => {
      if (event.key === 'm' || event.key === 'M') stage.mask(q);
    },
  });

  // Only numbers and shades change, so that what has the keyboard keeps it.
  function preview(at) {
    const row = scaled(at === focus ? meanRow(matrix, focus, more) : matrix.row(at));
    for (const node of list.querySelectorAll('button')) {
      const k = Number(node.dataset.key.slice(1));
      node.style.setProperty('--w', `${(Math.sqrt(row[k]) * 100).toFixed(1)}%`);
      node.lastChild.textContent = weight(row[k]);
      node.classList.toggle('looks', !cross && k === at);
    }
    const hiddenSum = [...row].reduce((total, p, k) => total + (hidden[k] ? p : 0), 0);
    rest.textContent = hidden.some(Boolean) ? t('words.rest', { share: weight(hiddenSum) }) : '';
    stage.hover(at);
  }

  fill(focus);
  const targets = cross
    ? el('ol', { class: 'words produced', 'aria-label': t('words.produced') }, ...source.queries.map((unit, q) => (isHidden(unit, state) ? null : el('li', {}, el('button', { type: 'button', class: 'word', 'aria-pressed': String(q === focus), data: { key: `q${q}` }, ...handlers(q) }, el('span', { class: 'word-text' }, queryNames[q]))))))
    : null;

  // What is said, and what can be done next.
  const row = meanRow(matrix, focus, more);
  const columns = ordinary(source.keys).filter((k) => cross || (k !== focus && !more.includes(k)));
  const best = strongest(row, columns);
  const chosen = [focus, ...more].map((q) => queryNames[q]);
  const resting = strongest(row, source.keys.map((_, k) => k));
  const sentence = best < 0 || isMark(source.keys[resting])
    ? t('words.rests', { ...stage.at, word: chosen.join(' + '), key: keyNames[resting], share: percent(row[resting]) })
    : t('words.looks', { ...stage.at, word: chosen.join(' + '), key: keyNames[best], share: percent(row[best]) });
  said.append(...emphasised(sentence));
  if (more.length) said.append(' ', t('words.averaged'));
  if (reach) said.append(' ', t('words.reach.says'));

  const actions = el('div', { class: 'actions' });
  const twin = cross ? [] : repeats(source.keys, focus);
  if (twin.length) actions.append(button(t('words.twin', { word: keyNames[twin[0]] }), () => stage.set({ focus: twin[0], more: '' })));
  actions.append(button(t('words.another'), () => stage.nextHead()));
  if (best >= 0 && stage.canMask) actions.append(button(t('words.mask', { word: keyNames[best] }), () => stage.mask(best)));

  // Every head of this word.
  const heads = source.list();
  const ordered = votes(heads, ({ layer, head }) => rows(layer, head), columns).slice(0, 4);
  const vote = el('p', { class: 'vote' }, t('words.vote', { word: queryNames[focus], votes: ordered.map(([k, n]) => `${keyNames[k]} ${n}`).join(', '), all: heads.length }));
  const strip = el('canvas', { class: 'strip', role: 'img', 'aria-label': t('words.strip', { word: queryNames[focus] }) });
  const shownKeys = source.keys.map((_, k) => k).filter((k) => !hidden[k]);
  const figure = el('figure', {}, strip, el('figcaption', {}, t('words.strip', { word: queryNames[focus] })));
  place.replaceChildren(...[targets, list, rest, said, actions, vote, figure].filter(Boolean));

  function paintStrip() {
    const width = Math.max(200, figure.clientWidth);
    const cell = Math.max(2, Math.min(12, Math.floor(144 / heads.length)));
    const labelWidth = 64;
    const context = prepare(strip, width, cell * heads.length + 18);
    const step = (width - labelWidth) / shownKeys.length;
    const shade = shades('sqrt');
    heads.forEach(({ layer, head, h }, i) => {
      const r = rows(layer, head);
      shownKeys.forEach((k, x) => {
        context.fillStyle = css(shade(r[k]));
        context.fillRect(labelWidth + x * step, i * cell, Math.ceil(step) - 1, cell - (cell > 4 ? 1 : 0));
      });
      if (h === 0) {
        context.fillStyle = theme().soft;
        context.font = font(11);
        context.textBaseline = 'top';
        context.fillText(t('strip.layer', { layer }), 0, i * cell);
      }
      if (layer === state.layer && head === state.head) {
        context.strokeStyle = theme().mark;
        context.lineWidth = 2;
        context.strokeRect(labelWidth - 2, i * cell - 1, width - labelWidth + 1, cell + 1);
      }
    });
    context.fillStyle = theme().soft;
    context.font = font(11);
    context.textBaseline = 'alphabetic';
    const plain = labels(source.keys);
    shownKeys.forEach((k, x) => {
      context.save();
      context.beginPath();
      context.rect(labelWidth + x * step, cell * heads.length, step - 2, 18);
      context.clip();
      context.fillText(plain[k], labelWidth + x * step, cell * heads.length + 14);
      context.restore();
    });
  }
  paintStrip();
  strip.addEventListener('click', (event) => {
    const cell = strip.clientHeight - 18;
    const at = Math.floor((event.offsetY / cell) * heads.length);
    if (heads[at]) stage.set({ layer: heads[at].layer, head: heads[at].head, auto: 0 });
  });

  return {
    table: () => ({ caption: sentence.replaceAll('*', ''), head: [t('word'), t('weight')], rows: source.keys.map((_, k) => [keyNames[k], row[k]]) }),
    picture: {
      width: 900,
      height: 120,
      paint(context) {
        const gap = 8;
        context.fillStyle = theme().back;
        context.fillRect(0, 0, 900, 120);
        context.font = font(20);
        let [x, y] = [16, 20];
        shownKeys.forEach((k) => {
          context.font = font(20);
          const w = context.measureText(keyNames[k]).width + 14;
          if (x + w > 890) { x = 16; y += 52; }
          const color = shades('sqrt')(row[k]);
          context.fillStyle = css(color);
          context.fillRect(x, y, w, 28);
          context.fillStyle = inkOn(color);
          context.textBaseline = 'middle';
          context.textAlign = 'left';
          context.fillText(keyNames[k], x + 7, y + 15);
          context.font = font(12);
          context.fillStyle = theme().soft;
          context.fillText(weight(row[k]), x + 7, y + 38);
          x += w + gap;
        });
      },
    },
  };
}

// Lengths of the values of this head, by word: the mean over a word's pieces.
async function lengths(stage) {
  const { state, source } = stage;
  const { merge, ...body } = source.body;
  const answer = await stage.json('attention', { ...body, layers: [state.layer], heads: [state.head], components: ['v'] });
  const size = answer.components.v[0][0].map((v) => Math.hypot(...v));
  if (merge !== 'word') return size;
  const key = answer.key_tokens ?? answer.tokens;
  return source.keys.map((unit) => {
    const own = pieces(unit, key);
    return own.length ? own.reduce((total, i) => total + size[i], 0) / own.length : 0;
  });
}

// *word* is emphasised.
export function emphasised(words) {
  return words.split('*').map((part, i) => (i % 2 ? el('em', {}, part) : part));
}
