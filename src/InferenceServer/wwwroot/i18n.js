// Every word that is shown. The texts are files of their own; numbers are written as the language writes them.
import { state } from './state.js';

const texts = {};

export const language = () => (state.lang === 'pt' || state.lang === 'en' ? state.lang : navigator.language?.toLowerCase().startsWith('pt') ? 'pt' : 'en');

export async function loadTexts() {
  const name = language();
  texts[name] ??= await (await fetch(`i18n/${name}.json`)).json();
}

export function t(key, values = {}) {
  const text = texts[language()]?.[key];
  if (text === undefined) {
    console.error(`no text for ${key}`);
    return key;
  }
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

export const has = (key) => texts[language()]?.[key] !== undefined;
export const number = (value, digits = 2) => new Intl.NumberFormat(language() === 'pt' ? 'pt-BR' : 'en', { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
export const percent = (value) => new Intl.NumberFormat(language() === 'pt' ? 'pt-BR' : 'en', { style: 'percent', maximumFractionDigits: 0 }).format(value);
// Weights in cells and under words: .45 or ,45.
export const weight = (value) => number(value, 2).replace(/^0/, '');

// Sets the words of what the document has.
export function translate(root = document) {
  for (const node of root.querySelectorAll('[data-text]')) node.textContent = t(node.dataset.text);
  for (const node of root.querySelectorAll('[data-label]')) node.setAttribute('aria-label', t(node.dataset.label));
  for (const node of root.querySelectorAll('[data-title]')) node.title = t(node.dataset.title);
  document.documentElement.lang = language() === 'pt' ? 'pt-BR' : 'en';
}
