// What is said of rows and heads: plain functions of numbers.

export const sum = (row) => row.reduce((a, b) => a + b, 0);

// The exponential of the entropy: how many words a row is spread over.
export function spread(row) {
  let entropy = 0;
  for (const p of row) if (p > 0) entropy -= p * Math.log(p);
  return Math.exp(entropy);
}

export function distance(row, at) {
  let total = 0;
  row.forEach((p, k) => { total += p * Math.abs(k - at); });
  return total;
}

// Indices of the largest values that make up a share of the sum, at most so many.
export function largest(row, share, most = row.length) {
  const order = [...row.keys()].sort((a, b) => row[b] - row[a]);
  const total = sum(row) * share;
  const chosen = [];
  let got = 0;
  for (const k of order) {
    if (chosen.length >= most || got >= total || row[k] <= 0) break;
    chosen.push(k);
    got += row[k];
  }
  return chosen;
}

export const isMark = (unit) => unit.special || !/[\p{L}\p{N}]/u.test(unit.text);

// Ordinary words: neither special tokens nor punctuation.
export const ordinary = (units) => units.map((unit, i) => (isMark(unit) ? -1 : i)).filter((i) => i >= 0);

const normal = (text) => text.trim().toLocaleLowerCase();

// Other places of the same word.
export function repeats(units, at) {
  if (at < 0 || at >= units.length || isMark(units[at])) return [];
  const word = normal(units[at].text);
  return ordinary(units).filter((i) => i !== at && normal(units[i].text) === word);
}

// 1, 2, ... for words that come more than once, else 0.
export function occurrences(units) {
  const count = new Map();
  const total = new Map();
  for (const unit of units) if (!isMark(unit)) total.set(normal(unit.text), (total.get(normal(unit.text)) ?? 0) + 1);
  return units.map((unit) => {
    if (isMark(unit) || total.get(normal(unit.text)) < 2) return 0;
    count.set(normal(unit.text), (count.get(normal(unit.text)) ?? 0) + 1);
    return count.get(normal(unit.text));
  });
}

// Jensen-Shannon divergence in bits of two distributions by name: 0 for equal ones, 1 for those with nothing in common.
export function divergence(p, q) {
  let total = 0;
  for (const key of new Set([...p.keys(), ...q.keys()])) {
    const [x, y] = [p.get(key) ?? 0, q.get(key) ?? 0];
    const middle = (x + y) / 2;
    if (x > 0) total += (x * Math.log2(x / middle)) / 2;
    if (y > 0) total += (y * Math.log2(y / middle)) / 2;
  }
  return Math.max(0, total);
}

// The column with the largest weight; -1 where there is none.
export const strongest = (row, columns) => columns.reduce((a, k) => (a < 0 || row[k] > row[a] ? k : a), -1);

// How many heads look most at which column: [column, heads], most first.
export function votes(heads, rowOf, columns) {
  const count = new Map();
  for (const head of heads) {
    const k = strongest(rowOf(head), columns);
    if (k >= 0) count.set(k, (count.get(k) ?? 0) + 1);
  }
  return [...count].sort((a, b) => b[1] - a[1]);
}

// Heads that mostly look at a fixed place say nothing of words.
export const isPositional = (statistic) => statistic && Math.max(statistic.previous, statistic.next, statistic.self, statistic.first) >= 0.5;

const least = 0.25; // of a row on ordinary words: below it the rest would decide

function shareOut(row, columns, names) {
  const total = sum(columns.map((k) => row[k]));
  if (total < least) return null;
  const shares = new Map();
  for (const k of columns) shares.set(names(k), (shares.get(names(k)) ?? 0) + row[k] / total);
  return shares;
}

// Where two rows of the same head differ most, over heads: on ordinary words alone, which are renormalised only to choose. A side: { row(head), columns, names(column) }.
export function mostDifferent(heads, one, other) {
  let best = null;
  for (const head of heads) {
    if (isPositional(one.statistic(head)) || isPositional(other.statistic(head))) continue;
    const p = shareOut(one.row(head), one.columns, one.names);
    const q = shareOut(other.row(head), other.columns, other.names);
    if (!p || !q) continue;
    const value = divergence(p, q);
    if (!best || value > best.value) best = { ...head, value };
  }
  return best;
}

// The head in which a word looks most at one other ordinary word.
export function mostTelling(heads, rowOf, columns) {
  let best = null;
  for (const head of heads) {
    if (isPositional(head.statistic)) continue;
    const row = rowOf(head);
    for (const k of columns) if (!best || row[k] > best.value) best = { ...head, value: row[k], key: k };
  }
  return best;
}

const badgeShare = 0.5;

// What a head mostly does; heads that rest on the first or a special token have a second badge without it.
export function badges(s) {
  const shown = [];
  const rest = Math.max(s.special, s.first);
  if (rest >= badgeShare) shown.push(s.special >= s.first ? 'special' : 'first');
  const others = [['previous', s.previous], ['next', s.next], ['self', s.self], ['repeated', s.repeated]];
  const [name, share] = others.reduce((a, b) => (b[1] > a[1] ? b : a));
  if (share >= badgeShare || (shown.length > 0 && rest < 1 && share / (1 - rest) >= badgeShare)) shown.push(name);
  return shown;
}
