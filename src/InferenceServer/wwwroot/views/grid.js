// All heads as pictures, with what each mostly does.
import { el } from '../dom.js';
import { t, number, has } from '../i18n.js';
import { badges } from '../stats.js';
import { shades, theme } from '../draw/colors.js';

export const orders = ['layer', 'entropy', 'mean_distance', 'special', 'first', 'previous', 'next', 'self', 'repeated'];
const common = 0.7; // a badge of more than that share of the heads is said once

export async function draw(stage) {
  const { place, state, source } = stage;
  const pictures = await source.pictures(stage.signal);
  let heads = source.list();
  if (state.order !== 'layer' && source.statistics) {
    heads = [...heads].sort((a, b) => b.statistic[state.order] - a.statistic[state.order]);
  }
  const shown = new Map(heads.map((head) => [head, source.statistics ? badges(head.statistic) : []]));
  const count = new Map();
  for (const list of shown.values()) for (const badge of list) count.set(badge, (count.get(badge) ?? 0) + 1);
  const usual = [...count].filter(([, n]) => n > common * heads.length).map(([badge]) => badge);

  const choice = el('label', { class: 'inline' }, t('grid.order'), ' ', el('select', { onchange: (event) => stage.set({ order: event.target.value }, { step: false }) }, ...orders.map((order) => el('option', { value: order, selected: order === state.order }, t(`order.${order}`)))));
  const notes = usual.map((badge) => el('p', { class: 'note' }, t('grid.usual', { n: count.get(badge), all: heads.length, badge: t(`badge.${badge}`) })));
  const columns = state.order === 'layer' ? source.heads.length : Math.min(12, Math.ceil(Math.sqrt(heads.length * 1.5)));
  const cells = el('div', { class: 'grid', vars: { '--columns': String(columns), '--cell': `${Math.round(Math.max(74, Math.min(128, (stage.room() - 110) / Math.ceil(heads.length / columns) - 40)))}px` }, role: 'group', 'aria-label': t('grid.label') });
  const canvases = heads.map((one, i) => {
    const canvas = el('canvas', { width: pictures.width, height: pictures.height, 'aria-hidden': 'true' });
    const list = shown.get(one).filter((badge) => !usual.includes(badge));
    const words = shown.get(one).map((badge) => t(`badge.${badge}`)).join(', ');
    const chosen = one.layer === state.layer && one.head === state.head;
    cells.append(el('button', {
      type: 'button', class: `cell${shown.get(one).length && !list.length ? ' dimmed' : ''}`, 'aria-current': chosen ? 'true' : null, data: { key: `g${one.layer}.${one.head}` },
      onclick: () => stage.set({ layer: one.layer, head: one.head, auto: 0, view: 'matrix' }),
      onmouseenter: () => stage.preview(one.layer, one.head),
      onfocus: () => stage.preview(one.layer, one.head),
      onkeydown: (event) => move(event, cells, i, columns),
    }, canvas, el('span', { class: 'cell-name' }, `${one.layer}.${one.head}`), el('span', { class: 'cell-badges' }, list.map((badge) => t(`badge.${badge}`)).join(' · ')),
      el('span', { class: 'visually-hidden' }, ` ${t('head.name', one)}${words ? `: ${words}` : ''}${one.statistic ? `, ${t('grid.spread', { n: number(Math.exp(one.statistic.entropy), 1) })}` : ''}`)));
    return canvas;
  });
  place.replaceChildren(el('div', { class: 'row' }, el('span', {}, t('grid.lead')), choice), ...notes, cells);
  heads.forEach((one, i) => paint(canvases[i], pictures, one, state.scale));

  return {
    table: source.statistics && (() => ({
      caption: t('grid.label'),
      head: [t('head'), t('order.entropy'), t('order.mean_distance'), ...orders.slice(3).map((order) => t(`order.${order}`)), t('pattern')],
      rows: heads.map(({ layer, head, statistic: s }) => [`${layer}.${head}`, s.entropy, s.mean_distance, s.special, s.first, s.previous, s.next, s.self, s.repeated, s.pattern && has(`badge.${s.pattern}`) ? t(`badge.${s.pattern}`) : '']),
    })),
    picture: {
      width: columns * 108,
      height: Math.ceil(heads.length / columns) * 124,
      paint(context) {
        const colors = theme();
        context.fillStyle = colors.back;
        context.fillRect(0, 0, columns * 108, Math.ceil(heads.length / columns) * 124);
        heads.forEach((one, i) => {
          const [x, y] = [(i % columns) * 108 + 4, Math.floor(i / columns) * 124 + 18];
          context.fillStyle = colors.soft;
          context.font = '12px sans-serif';
          context.fillText(`${one.layer}.${one.head}`, x, y - 5);
          const canvas = document.createElement('canvas');
          canvas.width = pictures.width;
          canvas.height = pictures.height;
          paint(canvas, pictures, one, state.scale);
          context.drawImage(canvas, x, y, 100, 100);
        });
      },
    },
  };
}

function paint(canvas, pictures, { l, h }, scale) {
  const context = canvas.getContext('2d');
  const shade = shades(scale);
  const image = context.createImageData(pictures.width, pictures.height);
  for (let i = 0, at = 0; i < pictures.height; i++) {
    for (let j = 0; j < pictures.width; j++) {
      const [r, g, b] = shade(pictures.value(l, h, i, j) / 255);
      image.data[at++] = r;
      image.data[at++] = g;
      image.data[at++] = b;
      image.data[at++] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

function move(event, cells, at, columns) {
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: cells.children.length - 1 }[event.key];
  if (to === undefined || !cells.children[to]) return;
  event.preventDefault();
  cells.children[to].focus();
}

