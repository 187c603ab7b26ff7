// One object says what is shown. It is mirrored in the address, so that a link shows the same and back and forward work.

const defaults = {
  lang: '', // '' = the browser's
  model: '',
  a: '', // the text
  b: '', // the second text
  two: 'pair', // what the second text is: 'pair' (one input of two texts) or 'other' (an input of its own, to compare)
  kind: '', // '' = the model's first
  view: 'words',
  layer: 0,
  head: 0,
  auto: 1, // 1: layer and head are chosen by the page's rule until somebody chooses
  focus: -1, // the chosen word; -1: the page's choice
  more: '', // further chosen words, 1.2.3
  other: -1, // the word that it is compared with; -1: the same word elsewhere
  merge: 'word',
  special: 0, // 1: special tokens are shown
  reach: 0, // 1: words are shaded by weight x length of v
  mass: 70, // per cent of a row that ribbons show
  order: 'layer', // of the grid
  pair: 'all',
  heads: '', // further heads in the heads view: 1.0,2.3
  scale: 'sqrt',
  edge: 10, // per cent: the least weight of an edge in the flow
  flow: 'mean', // or 'rollout'
  target: -1, // the word that is predicted
  change: '', // words that are masked or taken out: mask:3.4
  step: 1, // of the lesson
  guess: -1,
  temperature: 100, // per cent
  made: '', // what a decoder went on with
  example: '',
};

const numbers = new Set(Object.keys(defaults).filter((key) => typeof defaults[key] === 'number'));

export const state = { ...defaults };

const listeners = new Set();

export function onChange(listener) {
  listeners.add(listener);
}

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const next = { ...defaults };
  for (const [key, value] of given) {
    if (!(key in defaults)) continue;
    if (!numbers.has(key)) next[key] = value;
    else if (/^-?\d{1,6}$/.test(value)) next[key] = Number(value);
  }
  Object.assign(state, next);
}

export function address(patch = {}) {
  const all = { ...state, ...patch };
  const given = new URLSearchParams();
  for (const key of Object.keys(defaults)) if (all[key] !== defaults[key]) given.set(key, all[key]);
  const text = given.toString();
  return text ? `#${text}` : '#';
}

// Changes what is shown. A change that a person would want to go back from becomes a step of the history, others replace the last.
export function set(patch, { step = true } = {}) {
  const before = address();
  Object.assign(state, patch);
  const after = address();
  if (before !== after) history[step ? 'pushState' : 'replaceState'](null, '', after);
  for (const listener of listeners) listener(patch);
}

export const reset = (patch) => ({ ...defaults, lang: state.lang, ...patch });

addEventListener('popstate', () => {
  const before = { ...state };
  read();
  const patch = Object.fromEntries(Object.entries(state).filter(([key, value]) => before[key] !== value));
  for (const listener of listeners) listener(patch);
});

read();
