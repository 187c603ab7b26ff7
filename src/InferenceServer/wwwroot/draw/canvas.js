// A canvas as sharp as the screen, and what all pictures share.
import { font, theme } from './colors.js';

// Lets a canvas be so many CSS pixels large, clears it and gives its context.
export function prepare(canvas, width, height) {
  const ratio = Math.min(3, devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = theme().back;
  context.fillRect(0, 0, width, height);
  return context;
}

export function text(context, words, x, y, { size = 13, color = theme().text, align = 'left', base = 'middle', weight = 400, width } = {}) {
  context.font = font(size, weight);
  context.fillStyle = color;
  context.textAlign = align;
  context.textBaseline = base;
  context.fillText(width === undefined ? words : fit(context, words, width), x, y);
}

// A text cut to a width.
export function fit(context, words, width) {
  if (context.measureText(words).width <= width) return words;
  const letters = [...words];
  while (letters.length > 1 && context.measureText(`${letters.join('')}…`).width > width) letters.pop();
  return `${letters.join('')}…`;
}

export function turned(context, words, x, y, options) {
  context.save();
  context.translate(x, y);
  context.rotate(-Math.PI / 3);
  text(context, words, 0, 0, options);
  context.restore();
}
