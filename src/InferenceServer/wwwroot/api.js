// The only module that asks the server.

const most = 48; // answers that are kept
const mostBytes = 32e6; // and of their numbers
const kept = new Map();
const sizes = new Map();

export class ServerError extends Error {
  constructor(status, detail, field, retry) {
    super(detail);
    Object.assign(this, { status, detail, field, retry });
  }
}

const path = (model, operation) => `api/models/${encodeURIComponent(model)}/${operation}`;
const pause = (ms, signal) => new Promise((done, failed) => {
  const timer = setTimeout(done, ms);
  signal?.addEventListener('abort', () => { clearTimeout(timer); failed(signal.reason); }, { once: true });
});

async function ask(address, body, signal, tries = 3) {
  let answer;
  try {
    answer = await fetch(address, body === undefined ? { signal } : { method: 'POST', signal, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ServerError(0, '', null, 2);
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const retry = Number(answer.headers.get('retry-after')) || null;
  if (answer.status === 429 && retry && tries > 0) {
    await pause(retry * 1000, signal);
    return ask(address, body, signal, tries - 1);
  }
  throw new ServerError(answer.status, problem.detail ?? problem.title ?? String(answer.status), problem.field ?? null, retry);
}

// The oldest answers make room; the newest stays whatever its size.
function forget() {
  const held = () => [...kept.values()].reduce((total, answer) => total + (sizes.get(answer) ?? 0), 0);
  while (kept.size > 1 && (kept.size > most || held() > mostBytes)) {
    const [key, answer] = kept.entries().next().value;
    kept.delete(key);
    sizes.delete(answer);
  }
}

// The same question is asked once; a failure is forgotten. Who joins a question that another has given up asks it anew.
function once(key, make, signal) {
  if (kept.has(key)) {
    const found = kept.get(key);
    kept.delete(key);
    kept.set(key, found);
    return found.catch((error) => {
      if (error.name !== 'AbortError' || signal?.aborted) throw error;
      return once(key, make, signal);
    });
  }
  const made = make();
  kept.set(key, made);
  made.then((answer) => sizes.set(made, answer?.values?.byteLength ?? answer?.bytes?.byteLength ?? 0) && forget(), () => kept.get(key) === made && kept.delete(key));
  forget();
  return made;
}

export const models = async (signal) => (await (await ask('api/models', undefined, signal)).json()).models;

export const json = (model, operation, body, signal) => once(JSON.stringify([model, operation, body]), async () => (await ask(path(model, operation), body, signal)).json(), signal);

const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

// Attention in full precision: a safetensors file whose metadata has the tokens.
export const attention = (model, body, signal) => once(JSON.stringify([model, 'attention', body]), async () => {
  const buffer = await (await ask(path(model, 'attention'), { ...body, format: 'safetensors' }, signal)).arrayBuffer();
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const about = header.__metadata__;
  const tensor = header.attention;
  const part = (name) => (about[name] === undefined ? null : JSON.parse(about[name]));
  return {
    kind: about.kind,
    axes: part('axes'),
    layers: part('layers'),
    heads: part('heads'),
    tokens: part('tokens'),
    keyTokens: part('key_tokens'),
    statistics: part('statistics'),
    provenance: part('provenance'),
    truncated: about.truncated === 'true',
    shape: tensor.shape,
    values: new Float32Array(buffer, 8 + length + tensor.data_offsets[0], (tensor.data_offsets[1] - tensor.data_offsets[0]) / 4),
  };
}, signal);

// Pictures of every head, one byte a cell.
export const thumbnails = (model, body, signal) => once(JSON.stringify([model, 'thumbnails', body]), async () => {
  const answer = await (await ask(path(model, 'attention'), { ...body, format: 'u8' }, signal)).json();
  return {
    kind: answer.kind,
    axes: answer.axes,
    layers: answer.layers,
    heads: answer.heads,
    tokens: answer.tokens,
    keyTokens: answer.key_tokens ?? null,
    statistics: answer.statistics ?? null,
    provenance: answer.provenance,
    truncated: Boolean(answer.truncated),
    shape: answer.shape,
    bytes: bytesOf(answer.attention),
  };
}, signal);

export async function file(model, body) {
  return (await ask(path(model, 'attention'), body)).blob();
}

// What to paste into a terminal for the same answer.
export function curl(model, operation, body) {
  const address = new URL(path(model, operation), document.baseURI).href;
  return `curl -s ${address} \\\n  -H 'content-type: application/json' \\\n  -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`;
}
