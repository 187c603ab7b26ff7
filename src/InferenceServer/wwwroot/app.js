// Puts the page together: what is asked, which view draws it, and the panel beside it.
import * as api from './api.js';
import { state, set, onChange, reset } from './state.js';
import { loadTexts, t, translate, language, percent, weight, number } from './i18n.js';
import { el, button } from './dom.js';
import { load, question, isTranslator, isDecoder, takesPairs } from './source.js';
import { names, startFocus } from './units.js';
import { largest, spread, distance, mostTelling, mostDifferent, ordinary, repeats, sum, badges } from './stats.js';
import { meanRow } from './views/words.js';
import { onScheme } from './draw/colors.js';
import * as exporting from './export.js';
import * as examples from './examples.js';

const views = ['words', 'grid', 'heads', 'matrix', 'compare', 'translate', 'flow', 'lesson', 'predict'];
const modelRetryMs = 1000;
const typingMs = 250;
const at = (id) => document.getElementById(id);

let models = [];
let current = null; // what is shown: { stage, drawn }
let listed = null; // the list of models that is on its way
let running = null; // the abort controller of what is being loaded

const model = () => models.find((one) => one.id === state.model);
const able = () => models.filter((one) => one.state === 'ready' && one.tasks.includes('attention'));

// ---- models and examples

function suits(wants) {
  const kinds = { translator: isTranslator, decoder: isDecoder, encoder: (one) => takesPairs(one) };
  const fitting = able().filter(kinds[wants]);
  return fitting.find((one) => one.tasks.includes('fill-mask')) ?? fitting[0];
}

function show(name, step = true) {
  const example = examples.of(language(), name);
  const one = suits(example.wants);
  if (!one) return false;
  const { wants, ...rest } = example;
  set(reset({ ...rest, model: one.id, example: name, auto: rest.layer === undefined ? 1 : 0 }), { step });
  return true;
}

function startWhenReady() {
  const ready = able();
  if (ready.length === 0) return false;
  if (!state.model && show('polysemy', false)) return true;
  const patch = {};
  if (!state.model) patch.model = ready[0].id;
  const one = models.find((each) => each.id === (patch.model ?? state.model));
  if (!state.a) patch.a = examples.of(language(), isDecoder(one) ? 'next' : isTranslator(one) ? 'translation' : 'polysemy').a;
  set(patch, { step: false });
  return true;
}

async function watchModels() {
  try {
    models = await (listed ?? api.models());
    listed = null;
    const waiting = models.filter((one) => !['ready', 'failed', 'unloaded'].includes(one.state));
    header();
    if (!current) {
      if (!startWhenReady()) say(waiting.length || models.length === 0 ? t('wait.models', { names: waiting.map((one) => one.id).join(', ') }) : t('wait.none', { reasons: models.map((one) => `${one.id}: ${one.reason ?? t('no.attention')}`).join(' · ') }));
    }
    if (models.length === 0 || waiting.length) setTimeout(watchModels, modelRetryMs);
  } catch {
    listed = null;
    say(t('unreachable'));
    setTimeout(watchModels, modelRetryMs);
  }
}

// ---- the first picture, before any model has answered

async function recorded(fetched) {
  if (!fetched) return;
  try {
    const record = await (await fetched).json();
    if (current) return;
    at('a').value = record.text;
    at('view').replaceChildren(el('ol', { class: 'words' }, ...record.words.map(([word, byte]) => el('li', {}, el('span', { class: 'word', vars: { '--w': `${(Math.sqrt(byte / 255) * 100).toFixed(1)}%` } }, el('span', { class: 'word-text' }, word), el('span', { class: 'word-weight' }, weight(byte / 255)))))), el('span', { class: 'rest' }, t('words.rest', { share: weight(record.rest / 255) })), el('p', { class: 'note' }, t('recorded')));
  } catch {
    // without the picture the page waits for the live one
  }
}

// ---- header

const grow = (area) => { area.style.height = 'auto'; area.style.height = area.scrollHeight ? `${Math.min(84, area.scrollHeight + 2)}px` : ''; };

function header() {
  const select = at('model');
  select.replaceChildren(...models.map((one) => el('option', { value: one.id, selected: one.id === state.model, disabled: one.state !== 'ready' }, one.state === 'ready' ? one.id : `${one.id} (${t(`state.${one.state}`)})`)));
  const one = model();
  at('about').textContent = one?.layers ? t('about', { layers: one.layers, heads: one.heads }) : '';
  if (document.activeElement !== at('a')) at('a').value = state.a + state.made;
  if (document.activeElement !== at('b')) at('b').value = state.b;
  const second = Boolean(state.b) || at('b-label').dataset.open === '1';
  grow(at('a'));
  grow(at('b'));
  at('b-label').hidden = !second;
  at('two-label').hidden = !second;
  at('add').hidden = second;
  at('two').replaceChildren(...['pair', 'other'].map((two) => el('option', { value: two, selected: two === state.two, disabled: two === 'pair' && one && !takesPairs(one) }, t(`two.${two}`))));
  for (const node of document.querySelectorAll('[data-language]')) node.setAttribute('aria-pressed', String(node.dataset.language === language()));
  at('examples').replaceChildren(el('span', { class: 'soft' }, t('examples')), ...examples.names.map((name) => button(t(`example.${name}`), () => show(name), { 'aria-pressed': String(state.example === name), disabled: !suits(examples.of(language(), name).wants), title: t(`example.${name}.says`) })));
  at('tabs').replaceChildren(...views.map((view) => el('button', {
    type: 'button', role: 'tab', id: `tab-${view}`, 'aria-selected': String(view === state.view), 'aria-controls': 'view', tabIndex: view === state.view ? 0 : -1,
    onclick: () => set({ view }),
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const to = views[(views.indexOf(view) + step + views.length) % views.length];
      set({ view: to });
      at(`tab-${to}`)?.focus();
    },
  }, t(`view.${view}`))));
  at('view').setAttribute('aria-labelledby', `tab-${state.view}`);
}

const say = (words, act) => at('note').replaceChildren(...[words, act].filter(Boolean));

// ---- loading and drawing

async function refresh() {
  const one = model();
  header();
  if (!one) {
    if (models.length && state.model) say(t('no.model', { model: state.model }));
    return;
  }
  running?.abort();
  const controller = new AbortController();
  running = controller;
  const { signal } = controller;
  if (one.state !== 'ready') {
    say(t('not.ready', { model: one.id, state: t(`state.${one.state}`), reason: one.reason ?? '' }));
    return;
  }
  delete document.body.dataset.drawn;
  const slow = setTimeout(() => say(t('waiting')), 300);
  try {
    const body = question(state, one);
    const source = await load(one, body, signal);
    if (signal.aborted) return;
    const focus = state.focus >= 0 && state.focus < source.queries.length ? state.focus : startFocus(source.queries, source.kind !== 'encoder');
    await choose(source, focus, signal);
    if (signal.aborted) return;
    const layer = source.layers.includes(state.layer) ? state.layer : source.layers.at(-1);
    const head = source.heads.includes(state.head) ? state.head : source.heads[0];
    if (layer !== state.layer || head !== state.head) {
      state.layer = layer;
      state.head = head;
    }
    const matrix = state.view === 'translate' && source.cross && state.auto ? await source.mean(signal) : await source.head(layer, head, signal);
    const more = state.more.split('.').filter(Boolean).map(Number).filter((q) => q < source.queries.length && q !== focus);
    const stage = makeStage({ one, source, focus, more, matrix, signal, body });
    const { draw } = await import(`./views/${views.includes(state.view) ? state.view : 'words'}.js`);
    const held = document.activeElement?.dataset?.key;
    const drawn = await draw(stage);
    if (signal.aborted) return;
    current = { stage, drawn };
    if (held) at('view').querySelector(`[data-key="${held}"]`)?.focus();
    clearTimeout(slow);
    say(source.answer.truncated ? t('truncated') : '');
    panel(stage, drawn);
    document.body.dataset.drawn = state.view;
  } catch (error) {
    clearTimeout(slow);
    if (error.name === 'AbortError' || signal.aborted) return;
    failed(error, one);
  }
}

function failed(error, one) {
  if (!(error instanceof api.ServerError)) console.error(error);
  const words = error.status === 0 ? t('unreachable') : error.status === 422 && !one.tasks.includes('attention') ? t('no.attention.says', { model: one.id, reason: error.message }) : t('failed', { reason: error.message });
  say(words, error.status === 0 || error.status >= 429 ? button(t('retry'), refresh) : null);
  if (error.status === 422 && !one.tasks.includes('attention')) {
    at('view').replaceChildren();
    at('panel').replaceChildren();
  }
}

// Layer and head by the page's rule, until somebody has chosen.
async function choose(source, focus, signal) {
  if (!state.auto || state.view === 'translate') return;
  const rows = await source.rows(focus, signal);
  const columns = ordinary(source.keys).filter((k) => source.cross || k !== focus);
  const heads = source.list();
  const twin = source.cross ? -1 : repeats(source.keys, focus)[0] ?? -1;
  let best = null;
  if (state.view === 'compare' && state.b && state.two === 'other' && !source.cross) {
    // Where two texts differ, and not what one head says of both of them.
    const right = await load(model(), question(state, model(), { text: state.b, pair: '' }), signal);
    const word = source.queries[focus].text.toLocaleLowerCase();
    const same = right.queries.findIndex((unit) => unit.text.toLocaleLowerCase() === word);
    const others = await right.rows(state.other >= 0 && state.other < right.queries.length ? state.other : same >= 0 ? same : Math.min(focus, right.queries.length - 1), signal);
    const side = (from, get) => ({ statistic: ({ layer, head }) => from.statistic(layer, head), row: ({ layer, head }) => get(layer, head), columns: ordinary(from.keys), names: (k) => from.keys[k].text.toLocaleLowerCase() });
    best = mostDifferent(heads, side(source, rows), side(right, others));
  } else if (twin >= 0) {
    const others = await source.rows(twin, signal);
    const side = (get) => ({ statistic: ({ layer, head }) => source.statistic(layer, head), row: ({ layer, head }) => get(layer, head), columns: ordinary(source.keys), names: (k) => k });
    best = mostDifferent(heads, side(rows), side(others));
  }
  best ??= mostTelling(heads, ({ layer, head }) => rows(layer, head), columns);
  if (best) Object.assign(state, { layer: best.layer, head: best.head });
}

function makeStage({ one, source, focus, more, matrix, signal, body }) {
  const stage = {
    place: at('view'), state, body, source: Object.assign(source, { body }), model: one, matrix, focus, more, signal, set,
    at: { layer: state.layer, head: state.head },
    canMask: one.tasks.includes('fill-mask') || one.tasks.includes('next-token') || one.tasks.includes('text-classification'),
    choose(q, add) {
      if (!add) return set({ focus: q, more: '' });
      const chosen = new Set([focus, ...more]);
      if (chosen.has(q)) chosen.delete(q);
      else chosen.add(q);
      const [first, ...others] = chosen.size ? [...chosen] : [q];
      return set({ focus: first, more: others.join('.') });
    },
    // The chosen word is what is predicted; another one is masked, or taken out where there is no mask, to see what that changes.
    mask(q) {
      if (!stage.canMask) return;
      const filler = one.tasks.includes('fill-mask');
      if (filler && q === focus) set({ view: 'predict', target: q, change: '' });
      else set({ view: 'predict', target: filler ? focus : -1, change: `${filler ? 'mask' : 'remove'}:${q}` });
    },
    change: (q, how) => set({ change: `${how}:${q}` }),
    hover: (q) => rowSays(stage, q),
    preview: (layer, head) => headSays(stage, layer, head),
    nextHead: () => stepHead(1),
    room: () => Math.max(360, at('view').closest('.picture').clientHeight), // CSS pixels that the picture has in height
    models: () => models,
    json: (operation, json) => api.json(one.id, operation, json, signal),
    ask: (operation, json) => api.json(one.id, operation, json), // for what a person has asked for: drawing anew does not end it
    other: () => load(one, question(state, one, { text: state.b, pair: '' }), signal),
  };
  return stage;
}

function stepHead(by, kind = 'head') {
  const { source } = current?.stage ?? {};
  if (!source) return;
  if (kind === 'layer') {
    const i = source.layers.indexOf(state.layer) + by;
    set({ layer: source.layers[(i + source.layers.length) % source.layers.length], auto: 0 });
    return;
  }
  const i = source.layers.indexOf(state.layer) * source.heads.length + source.heads.indexOf(state.head) + by;
  const all = source.layers.length * source.heads.length;
  const next = (i + all) % all;
  set({ layer: source.layers[Math.floor(next / source.heads.length)], head: source.heads[next % source.heads.length], auto: 0 });
}

// ---- the panel

function headSays(stage, layer, head) {
  const node = at('panel').querySelector('.head-says');
  if (!node) return;
  const s = stage.source.statistic(layer, head);
  const list = s ? badges(s).map((badge) => t(`badge.${badge}`)) : [];
  node.textContent = s ? t('panel.head', { layer, head, spread: number(Math.exp(s.entropy), 1), distance: number(s.mean_distance, 1), does: list.length ? list.join(', ') : t('panel.nothing') }) : t('head.name', { layer, head });
}

function rowSays(stage, q) {
  const place = at('panel').querySelector('.row-says');
  if (!place || q < 0 || q >= stage.source.queries.length) return;
  const { source, matrix, focus, more } = stage;
  const row = q === focus ? meanRow(matrix, focus, more) : matrix.row(q);
  const keyNames = names(source.keys);
  const queryNames = source.cross ? names(source.queries) : keyNames;
  const order = largest(row, 1, 6).filter((k) => row[k] >= 0.01);
  const rest = sum(row) - order.reduce((total, k) => total + row[k], 0);
  const words = state.view === 'translate' && source.cross ? t('translate.writing', { word: queryNames[q + 1] ?? t('translate.end') }) : q === focus ? [focus, ...more].map((i) => queryNames[i]).join(' + ') : queryNames[q];
  if (state.view === 'lesson' && state.step === 1 && state.guess < 0) {
    place.replaceChildren(el('h2', {}, words), el('p', { class: 'soft' }, t('panel.guess')));
    return;
  }
  place.replaceChildren(
    el('h2', {}, words),
    el('p', { class: 'soft' }, t('panel.spread', { n: number(spread(row), 1), distance: number(distance(row, q), 1) })),
    el('ol', { class: 'row-values' }, ...order.map((k) => el('li', {}, el('span', { class: 'bar-name' }, keyNames[k]), el('span', { class: 'bar-line', vars: { '--w': `${(row[k] * 100).toFixed(1)}%` } }), el('span', { class: 'bar-value' }, weight(row[k]))))),
    el('p', { class: 'soft' }, t('panel.sum', { rest: weight(Math.max(0, rest)), sum: number(sum(row)) })),
  );
}

function panel(stage, drawn) {
  const { source } = stage;
  const choice = (list, chosen, act) => el('select', { onchange: (event) => act(Number(event.target.value)) }, ...list.map((i) => el('option', { value: i, selected: i === chosen }, i)));
  const check = (key, words, values = [0, 1]) => el('label', { class: 'inline' }, el('input', { type: 'checkbox', checked: state[key] === values[1], onchange: (event) => set({ [key]: values[event.target.checked ? 1 : 0] }, { step: false }) }), ` ${words}`);
  const kinds = isTranslator(model()) ? ['encoder', 'decoder', 'cross'] : [];
  const where = at('panel');
  const exportBody = drawn.body ?? { ...stage.body, layers: [state.layer], heads: [state.head] };
  const operation = drawn.operation ?? 'attention';
  const exports = el('div', { class: 'row exports' },
    drawn.picture && button('PNG', () => exporting.png(drawn.picture, fileName(stage))),
    drawn.picture && button('SVG', () => exporting.svg(drawn.picture, fileName(stage))),
    drawn.table && button('CSV', () => exporting.csv(drawn.table(), fileName(stage))),
    operation === 'attention' && button('npy', async () => exporting.save(await api.file(model().id, { ...exportBody, components: undefined, format: 'npy' }), `${fileName(stage)}.npy`)),
    button(t('curl'), () => exporting.copy(api.curl(model().id, operation, exportBody)).then(() => say(t('copied')))));
  where.replaceChildren(
    el('div', { class: 'row stepper' },
      kinds.length && state.view !== 'translate' ? el('label', { class: 'inline' }, t('kind'), ' ', el('select', { onchange: (event) => set({ kind: event.target.value, focus: -1, auto: 1 }) }, ...kinds.map((kind) => el('option', { value: kind, selected: kind === source.kind }, t(`kind.${kind}`))))) : '',
      el('label', { class: 'inline' }, t('layer'), ' ', choice(source.layers, state.layer, (layer) => set({ layer, auto: 0 }))),
      el('label', { class: 'inline' }, t('head'), ' ', choice(source.heads, state.head, (head) => set({ head, auto: 0 }))),
      button('‹', () => stepHead(-1), { 'aria-label': t('head.before') }), button('›', () => stepHead(1), { 'aria-label': t('head.after') })),
    el('p', { class: 'head-says soft' }),
    el('div', { class: 'row-says' }),
    drawn.summary ? el('p', {}, drawn.summary) : '',
    el('fieldset', {}, el('legend', {}, t('panel.shown')),
      check('merge', t('panel.words'), ['token', 'word']), check('special', t('panel.special')),
      state.view === 'words' && !source.cross ? check('reach', t('panel.reach')) : '',
      state.view === 'heads' ? el('label', { class: 'inline' }, t('panel.mass'), ' ', el('input', { type: 'range', min: 10, max: 100, step: 5, value: state.mass, oninput: (event) => set({ mass: Number(event.target.value) }, { step: false }) }), ` ${percent(state.mass / 100)}`) : '',
      stage.body.text_pair && ['heads', 'matrix'].includes(state.view) ? el('label', { class: 'inline' }, t('panel.pair'), ' ', el('select', { onchange: (event) => set({ pair: event.target.value }, { step: false }) }, ...['all', 'aa', 'ab', 'ba', 'bb'].map((pair) => el('option', { value: pair, selected: pair === state.pair }, t(`pair.${pair}`))))) : ''),
    el('h3', {}, t('panel.export')), exports,
    drawn.table ? table(drawn.table) : '',
    el('p', { class: 'soft source' }, t('panel.source', { file: source.answer.provenance.file, sha: source.answer.provenance.sha256.slice(0, 12) })),
  );
  headSays(stage, state.layer, state.head);
  rowSays(stage, stage.focus);
}

// What the picture shows, for screen readers and for copying; made when it is opened.
function table(make) {
  const place = el('div', { class: 'table-place', tabIndex: 0, role: 'region', 'aria-label': t('table') });
  const digits = (value) => (typeof value === 'number' && !Number.isInteger(value) ? number(value, 3) : value);
  return el('details', {
    ontoggle: (event) => {
      if (!event.target.open || place.childNodes.length) return;
      const { caption, head, rows } = make();
      const most = Math.max(1, Math.floor(2000 / head.length)); // nodes
      place.append(el('table', { class: 'values' }, el('caption', {}, caption), el('thead', {}, el('tr', {}, ...head.map((name) => el('th', { scope: 'col' }, name)))), el('tbody', {}, ...rows.slice(0, most).map(([first, ...others]) => el('tr', {}, el('th', { scope: 'row' }, digits(first)), ...others.map((value) => el('td', {}, digits(value))))))));
      if (rows.length > most) place.append(el('p', {}, t('table.more', { n: rows.length - most })));
    },
  }, el('summary', {}, t('table')), place);
}

const fileName = () => `${state.model}-${state.view}-${state.layer}.${state.head}`;

// ---- what people do

let typing = null;
function typed(key, value) {
  clearTimeout(typing);
  typing = setTimeout(() => set({ [key]: value, made: '', focus: -1, more: '', other: -1, target: -1, change: '', example: '', auto: 1 }, { step: false }), typingMs);
}

at('a').addEventListener('input', (event) => { grow(event.target); typed('a', event.target.value.replace(/\n/g, ' ')); });
at('b').addEventListener('input', (event) => { grow(event.target); typed('b', event.target.value.replace(/\n/g, ' ')); });
for (const id of ['a', 'b']) at(id).addEventListener('keydown', (event) => { if (event.key === 'Enter') event.preventDefault(); });
at('model').addEventListener('change', (event) => {
  const next = models.find((one) => one.id === event.target.value);
  const kept = state.a || examples.of(language(), 'polysemy').a;
  const view = state.view === 'translate' && !isTranslator(next) ? 'words' : state.view;
  set(reset({ model: next.id, a: kept, b: state.b, two: takesPairs(next) ? state.two : 'other', view, merge: state.merge, special: state.special }));
});
at('add').addEventListener('click', () => { at('b-label').dataset.open = '1'; header(); at('b').focus(); });
at('two').addEventListener('change', (event) => set({ two: event.target.value, pair: 'all' }));
at('share').addEventListener('click', async () => { await exporting.copy(location.href); say(t('shared')); });
at('help').addEventListener('click', help);
for (const node of document.querySelectorAll('[data-language]')) node.addEventListener('click', () => set({ lang: node.dataset.language }));

function help() {
  const keys = ['arrows', 'enter', 'escape', 'layer', 'head', 'mask', 'shift', 'question'];
  at('keys').tBodies[0].replaceChildren(...keys.map((key) => el('tr', {}, el('th', { scope: 'row' }, t(`key.${key}.name`)), el('td', {}, t(`key.${key}`)))));
  at('dialog').showModal();
}

addEventListener('keydown', (event) => {
  const inText = event.target.closest('textarea, input, select, dialog');
  if (event.ctrlKey || event.metaKey || event.altKey || (inText && event.key !== 'Escape')) return;
  const act = {
    '[': () => stepHead(-1, 'layer'),
    ']': () => stepHead(1, 'layer'),
    '-': () => stepHead(-1),
    '+': () => stepHead(1),
    '?': help,
    Escape: () => (state.more || state.heads ? set({ more: '', heads: '' }) : state.view !== 'words' && !inText ? set({ view: 'words' }) : undefined),
  }[event.key];
  if (act) {
    act();
    return;
  }
  // Along the words.
  const word = event.target.closest?.('.words button');
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (word && step) {
    event.preventDefault();
    const all = [...word.closest('.words').querySelectorAll('button:not(:disabled)')];
    all[all.indexOf(word) + step]?.focus();
  }
});

let spoken = language();
onChange(async () => {
  if (language() !== spoken) {
    spoken = language();
    await loadTexts();
    translate();
    if (state.example && show(state.example)) return; // which comes by here again
  }
  await refresh();
});
onScheme(() => refresh());
let resizing = null;
addEventListener('resize', () => { clearTimeout(resizing); resizing = setTimeout(() => current && refresh(), 120); });

// The picture and the list of models are on their way while the texts are read.
const picture = location.hash.length > 1 ? null : fetch(`recorded/${language()}.json`);
picture?.catch(() => {});
listed = api.models();
listed.catch(() => {});
await loadTexts();
translate();
header();
recorded(picture);
watchModels();
