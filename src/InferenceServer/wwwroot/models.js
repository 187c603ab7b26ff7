// The start page: the models, what they can do, and where to go on. Everything shown is set as text, never as HTML.
import { words } from './models-words.js';

const retryMs = 1000;
const settled = new Set(['ready', 'failed', 'unloaded']);
let language = pick();
let models = null;

function pick() {
  const asked = new URLSearchParams(location.search).get('lang');
  return asked in words ? asked : navigator.language?.toLowerCase().startsWith('pt') ? 'pt' : 'en';
}

function element(name, text, className) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function row(model) {
  const tr = element('tr');
  const head = element('th');
  head.scope = 'row';
  const link = element('a', model.id);
  link.href = `api/models/${encodeURIComponent(model.id)}`;
  head.append(link);
  const state = element('td');
  state.append(element('span', words[language][model.state] ?? model.state, `state ${model.state}`));
  const tasks = element('td');
  if (model.reason) tasks.append(element('span', model.reason, 'reason'));
  for (const task of model.tasks) tasks.append(element('span', task, 'task'));
  const size = model.layers && model.heads ? `${model.layers} × ${model.heads}` : '';
  tr.append(head, state, tasks, element('td', size), element('td', model.max_tokens ?? ''));
  return tr;
}

function curl(list) {
  const ready = list.filter((model) => model.state === 'ready');
  for (const [task, operation] of [['embeddings', 'embeddings'], ['text-classification', 'predictions'], ['next-token', 'predictions'], ['tokenize', 'tokenize']]) {
    const model = ready.find((candidate) => candidate.tasks.includes(task));
    if (model) {
      const address = new URL(`api/models/${encodeURIComponent(model.id)}/${operation}`, document.baseURI).href;
      return `curl -s ${address} \\\n  -H 'content-type: application/json' \\\n  -d '{"inputs": "${words[language].example}"}'`;
    }
  }
  return null;
}

function draw() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll('[data-text]')) node.textContent = words[language][node.dataset.text];
  for (const button of document.querySelectorAll('[data-language]')) button.setAttribute('aria-pressed', String(button.dataset.language === language));
  if (!models) return;
  const table = document.getElementById('models');
  table.tBodies[0].replaceChildren(...models.map(row));
  table.hidden = models.length === 0;
  const waiting = models.some((model) => !settled.has(model.state));
  document.getElementById('note').textContent = models.length === 0 ? words[language].none : waiting ? words[language].waiting : '';
  const line = curl(models);
  document.getElementById('curl').textContent = line ?? '';
  document.getElementById('try').hidden = line === null;
}

async function load() {
  try {
    const answer = await fetch('api/models', { headers: { accept: 'application/json' } });
    if (!answer.ok) throw new Error(String(answer.status));
    models = (await answer.json()).models;
    draw();
    if (models.length === 0 || models.some((model) => !settled.has(model.state))) setTimeout(load, retryMs);
  } catch {
    document.getElementById('note').textContent = words[language].unreachable;
    setTimeout(load, retryMs);
  }
}

for (const button of document.querySelectorAll('[data-language]')) {
  button.addEventListener('click', () => {
    language = button.dataset.language;
    draw();
  });
}

draw();
load();
