// Words and tokens as they are shown.
import { t } from './i18n.js';
import { isMark, occurrences } from './stats.js';

// Pieces that share a character show which part of it they are; what has no text shows its token.
export function labels(units) {
  return units.map((unit, i) => {
    const text = unit.text;
    if (text === '' || unit.special) return unit.token;
    const same = units.map((other, j) => j).filter((j) => unit.end > unit.start && units[j].start === unit.start && units[j].end === unit.end && units[j].segment === unit.segment && !units[j].special);
    const shown = text.replace(/\n/g, '⏎').trim() || '␣';
    return same.length > 1 ? `${shown} ${same.indexOf(i) + 1}/${same.length}` : shown;
  });
}

// Words that come more than once have an index.
export function names(units) {
  const base = labels(units);
  const count = occurrences(units);
  return base.map((label, i) => (count[i] ? `${label} (${count[i]})` : label));
}

export const short = (label, most = 14) => ([...label].length > most ? `${[...label].slice(0, most - 1).join('')}…` : label);

// What is hidden beside the words: special tokens, shown as one rest.
export const isHidden = (unit, state) => unit.special && !state.special;

// Queries and keys that are shown: without hidden ones, of a pair those of the chosen texts.
export function shown(source, state) {
  const [querySegment, keySegment] = { aa: [0, 0], ab: [0, 1], ba: [1, 0], bb: [1, 1] }[state.pair] ?? [-1, -1];
  const of = (units, segment) => units.map((_, i) => i).filter((i) => !isHidden(units[i], state) && (segment < 0 || units[i].segment === segment));
  return { rows: of(source.queries, querySegment), columns: of(source.keys, keySegment) };
}

// Positions of the tokens of a word.
export const pieces = (unit, tokens) => tokens.map((_, i) => i).filter((i) => (unit.special
  ? tokens[i].special && tokens[i].id === unit.id
  : !tokens[i].special && tokens[i].segment === unit.segment && tokens[i].end > tokens[i].start && tokens[i].start >= unit.start && tokens[i].end <= unit.end));

// The word that the page chooses: the last one that comes more than once, else the longest ordinary one; of a decoder the last.
export function startFocus(units, causal) {
  const words = units.map((unit, i) => i).filter((i) => !isMark(units[i]));
  if (words.length === 0) return 0;
  if (causal) return words.at(-1);
  const count = occurrences(units);
  const repeated = words.filter((i) => count[i] > 1 && [...units[i].text].length >= 4); // no article
  if (repeated.length) {
    return repeated.reduce((best, i) => ([...units[i].text].length > [...units[best].text].length ? i : best));
  }
  return words.reduce((best, i) => ([...units[i].text].length > [...units[best].text].length ? i : best));
}

export const headName = (state, layer = state.layer, head = state.head) => t('head.name', { layer, head });
