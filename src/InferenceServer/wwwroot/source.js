// What the views draw: the attention of what the state names, fetched as it is needed.
// A short text is asked for as a whole; of a long one the grid has pictures, and heads and rows come one by one.
import * as api from './api.js';

const wholeCells = 400_000; // values of all heads together that are fetched at once
const layerCells = 4_000_000; // of the heads of one layer
const pictureSide = 96;

export class Attention {
  constructor(model, body, answer, whole) {
    this.model = model;
    this.body = body;
    this.answer = answer;
    this.whole = whole;
    this.layers = answer.layers;
    this.heads = answer.heads;
    this.kind = answer.kind;
    this.queries = answer.tokens;
    this.keys = answer.keyTokens ?? answer.tokens;
    this.cross = answer.kind === 'cross';
    this.statistics = answer.statistics;
  }

  // All heads in the order of the model.
  list() {
    return this.layers.flatMap((layer, l) => this.heads.map((head, h) => ({ layer, head, l, h, statistic: this.statistic(layer, head) })));
  }

  statistic(layer, head) {
    return this.statistics?.find((s) => s.layer === layer && s.head === head) ?? null;
  }

  // One head in full precision: { row(q), value(q, k) }.
  async head(layer, head, signal) {
    const n = this.queries.length;
    const m = this.keys.length;
    if (this.whole) {
      const at = (this.layers.indexOf(layer) * this.heads.length + this.heads.indexOf(head)) * n * m;
      return new Matrix(this.answer.values.subarray(at, at + n * m), n, m);
    }
    // The layer's other heads come along where they are not too many: the next one is there at once.
    const all = this.heads.length * n * m <= layerCells;
    const answer = await api.attention(this.model, { ...this.body, layers: [layer], ...(all ? {} : { heads: [head] }) }, signal);
    const from = all ? this.heads.indexOf(head) * n * m : 0;
    return new Matrix(answer.values.subarray(from, from + n * m), n, m);
  }

  // The row of one query in every head: a function of layer and head.
  async rows(query, signal) {
    const n = this.queries.length;
    const m = this.keys.length;
    if (this.whole) {
      return (layer, head) => {
        const at = ((this.layers.indexOf(layer) * this.heads.length + this.heads.indexOf(head)) * n + query) * m;
        return this.answer.values.subarray(at, at + m);
      };
    }
    const answer = await api.attention(this.model, { ...this.body, query_range: [query, query + 1] }, signal);
    return (layer, head) => {
      const at = (this.layers.indexOf(layer) * this.heads.length + this.heads.indexOf(head)) * m;
      return answer.values.subarray(at, at + m);
    };
  }

  // Every layer with its heads put together.
  async perLayer(method, signal) {
    const answer = await api.attention(this.model, { ...this.body, aggregate: { over: 'heads', method } }, signal);
    const size = this.queries.length * this.keys.length;
    return this.layers.map((_, l) => new Matrix(answer.values.subarray(l * size, (l + 1) * size), this.queries.length, this.keys.length));
  }

  // The mean over everything.
  async mean(signal) {
    const answer = await api.attention(this.model, { ...this.body, aggregate: { over: 'all', method: 'mean' } }, signal);
    return new Matrix(answer.values, this.queries.length, this.keys.length);
  }

  // Pictures of all heads: { width, height, value(l, h, i, j) from 0 to 255 }.
  async pictures(signal) {
    const n = this.queries.length;
    const m = this.keys.length;
    if (this.whole && Math.max(n, m) <= pictureSide) {
      const { values } = this.answer;
      const across = this.heads.length;
      return { width: m, height: n, value: (l, h, i, j) => values[((l * across + h) * n + i) * m + j] * 255 };
    }
    const answer = this.whole ? await api.thumbnails(this.model, { ...this.body, thumbnail: pictureSide }, signal) : this.answer;
    const [, across, height, width] = answer.shape;
    return { width, height, value: (l, h, i, j) => answer.bytes[((l * across + h) * height + i) * width + j] };
  }
}

export class Matrix {
  constructor(values, n, m) {
    this.values = values;
    this.n = n;
    this.m = m;
  }

  row(q) {
    return this.values.subarray(q * this.m, (q + 1) * this.m);
  }

  value(q, k) {
    return this.values[q * this.m + k];
  }
}

export const isTranslator = (model) => Boolean(model?.tasks.includes('generation') && model.tasks.includes('attention') && !model.tasks.includes('next-token'));
export const isDecoder = (model) => Boolean(model?.tasks.includes('next-token'));
export const takesPairs = (model) => !isTranslator(model) && !isDecoder(model);

// The question that the state asks of a model.
export function question(state, model, { text = state.a + state.made, pair = state.two === 'pair' && state.view !== 'compare' && takesPairs(model) ? state.b : '', kind } = {}) {
  const body = { text };
  if (pair) body.text_pair = pair;
  const whose = kind ?? (state.view === 'translate' ? 'cross' : state.kind);
  if (whose) body.kind = whose;
  if (state.merge === 'word') body.merge = 'word';
  return body;
}

export async function load(model, body, signal) {
  const matrices = (model.layers ?? 12) * (model.heads ?? 12);
  const tokens = ((body.text?.length ?? 0) + (body.text_pair?.length ?? 0)) / 2; // more than there are, for most texts
  const statistics = body.kind === 'cross' ? {} : { statistics: true };
  if (matrices * tokens * tokens <= wholeCells) {
    return new Attention(model.id, body, await api.attention(model.id, { ...body, ...statistics }, signal), true);
  }
  const pictures = await api.thumbnails(model.id, { ...body, ...statistics, thumbnail: pictureSide }, signal);
  return new Attention(model.id, body, pictures, false);
}
