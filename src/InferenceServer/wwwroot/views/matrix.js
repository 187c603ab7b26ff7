// One head as a heatmap whose labels stay in sight.
import { el, button } from '../dom.js';
import { t, weight } from '../i18n.js';
import { names, shown, short } from '../units.js';
import { prepare, text, turned } from '../draw/canvas.js';
import { shades, differences, css, inkOn, theme } from '../draw/colors.js';

const left = 110;
const top = 84;

// A heatmap of a matrix: rows and columns by index, their labels, and what is chosen.
export function heatmap(context, { rows, columns, rowNames, columnNames, value, width, height, scale = 'linear', diverging = false, cell, focus = -1 }) {
  const colors = theme();
  const shade = diverging ? differences() : shades(scale);
  const size = cell ?? Math.max(3, Math.min(48, Math.floor((width - left - 8) / columns.length), rows.length > 40 ? 48 : Math.floor((height - top - 8) / rows.length)));
  const labelled = size >= 11;
  const every = labelled ? 1 : Math.ceil(15 / size);
  columns.forEach((k, x) => {
    if (x % every === 0) turned(context, short(columnNames[k]), left + x * size + size / 2, top - 6, { size: 12, color: colors.text });
  });
  // Cells too small for numbers are points of one picture.
  const picture = size < 8 && !context.getSerializedSvg ? document.createElement('canvas') : null;
  if (picture) {
    picture.width = columns.length;
    picture.height = rows.length;
    const inner = picture.getContext('2d');
    const image = inner.createImageData(columns.length, rows.length);
    let at = 0;
    for (const q of rows) {
      for (const k of columns) {
        const [r, g, b] = shade(value(q, k));
        image.data[at++] = r;
        image.data[at++] = g;
        image.data[at++] = b;
        image.data[at++] = 255;
      }
    }
    inner.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, left, top, columns.length * size, rows.length * size);
  }
  rows.forEach((q, y) => {
    if (y % every === 0) text(context, short(rowNames[q]), left - 8, top + y * size + size / 2, { size: 12, align: 'right', color: q === focus ? colors.mark : colors.text, weight: q === focus ? 700 : 400 });
    if (picture) return;
    columns.forEach((k, x) => {
      const v = value(q, k);
      const color = shade(v);
      context.fillStyle = css(color);
      context.fillRect(left + x * size, top + y * size, size > 6 ? size - 1 : size, size > 6 ? size - 1 : size);
      if (size >= 28 && Math.abs(v) >= 0.005) text(context, weight(v), left + x * size + (size - 1) / 2, top + y * size + size / 2, { size: 11, align: 'center', color: inkOn(color) });
    });
  });
  if (focus >= 0 && rows.includes(focus)) {
    context.strokeStyle = colors.mark;
    context.lineWidth = 2;
    context.strokeRect(left - 1, top + rows.indexOf(focus) * size - 1, columns.length * size + 1, size + 1);
  }
  return { size, left, top };
}

export async function draw(stage) {
  const { place, state, source, matrix, focus } = stage;
  const keyNames = names(source.keys);
  const queryNames = source.cross ? names(source.queries) : keyNames;
  const { rows, columns } = shown(source, state);
  let zoom = null; // [first row, last row, first column, last column]

  const canvas = el('canvas', { tabIndex: 0, role: 'img', 'aria-label': t('matrix.label', stage.at) });
  const scroller = el('div', { class: 'canvas-scroll' }, canvas);
  const cellSays = el('p', { class: 'note cell-says', 'aria-live': 'polite' }, t('matrix.hint'));
  const unzoom = button(t('matrix.whole'), () => { zoom = null; paint(); }, { hidden: true });
  const scale = el('label', { class: 'inline' }, t('matrix.scale'), ' ', el('select', { onchange: (event) => stage.set({ scale: event.target.value }, { step: false }) },
    ...['linear', 'sqrt'].map((name) => el('option', { value: name, selected: name === state.scale }, t(`scale.${name}`)))));
  const legend = el('canvas', { class: 'legend', role: 'img', 'aria-label': t('matrix.legend') });
  place.replaceChildren(el('p', { class: 'lead' }, t(source.kind === 'encoder' ? 'matrix.axes' : source.kind === 'cross' ? 'matrix.cross' : 'matrix.causal')), el('div', { class: 'row' }, scale, legend, unzoom), scroller, cellSays);

  let geometry;
  let [shownRows, shownColumns] = [rows, columns];
  function layout() {
    shownRows = zoom ? rows.slice(zoom[0], zoom[1] + 1) : rows;
    shownColumns = zoom ? columns.slice(zoom[2], zoom[3] + 1) : columns;
    const room = Math.max(260, place.clientWidth - 4);
    const size = Math.max(shownColumns.length > 256 ? 2 : shownColumns.length > 64 ? 4 : 14, Math.min(48, Math.floor((room - left - 8) / shownColumns.length), Math.max(20, Math.floor((stage.room() - 210) / shownRows.length))));
    return { width: left + shownColumns.length * size + 24, height: top + shownRows.length * size + 8, cell: size };
  }
  const options = (size) => ({ rows: shownRows, columns: shownColumns, rowNames: queryNames, columnNames: keyNames, value: (q, k) => matrix.value(q, k), scale: state.scale, focus, ...size });
  function paint() {
    const size = layout();
    unzoom.hidden = !zoom;
    geometry = heatmap(prepare(canvas, size.width, size.height), options(size));
  }
  paint();
  const bar = prepare(legend, 160, 26);
  const shade = shades(state.scale);
  for (let x = 0; x < 128; x++) {
    bar.fillStyle = css(shade(x / 127));
    bar.fillRect(14 + x, 0, 1, 11);
  }
  text(bar, '0', 14, 19, { size: 11, align: 'center' });
  text(bar, '1', 142, 19, { size: 11, align: 'center' });

  const at = (event) => {
    const x = Math.floor((event.offsetX - geometry.left) / geometry.size);
    const y = Math.floor((event.offsetY - geometry.top) / geometry.size);
    return x >= 0 && y >= 0 && x < shownColumns.length && y < shownRows.length ? [y, x] : null;
  };
  const say = (q, k) => { cellSays.textContent = t('matrix.cell', { query: queryNames[q], key: keyNames[k], share: weight(matrix.value(q, k)) }); };
  let from = null;
  canvas.addEventListener('pointerdown', (event) => { from = at(event); });
  canvas.addEventListener('pointermove', (event) => {
    const cell = at(event);
    if (cell) {
      say(shownRows[cell[0]], shownColumns[cell[1]]);
      stage.hover(shownRows[cell[0]]);
    }
  });
  canvas.addEventListener('pointerleave', () => stage.hover(focus));
  canvas.addEventListener('pointerup', (event) => {
    const cell = at(event);
    if (!from || !cell) return;
    if (Math.abs(cell[0] - from[0]) + Math.abs(cell[1] - from[1]) > 1) {
      const offset = zoom ?? [0, 0, 0, 0];
      zoom = [Math.min(cell[0], from[0]) + offset[0], Math.max(cell[0], from[0]) + offset[0], Math.min(cell[1], from[1]) + offset[2], Math.max(cell[1], from[1]) + offset[2]];
      paint();
    } else {
      stage.choose(shownRows[cell[0]], event.shiftKey);
    }
    from = null;
  });
  let cursor = [Math.max(0, shownRows.indexOf(focus)), 0];
  canvas.addEventListener('keydown', (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) {
      event.preventDefault();
      cursor = [Math.max(0, Math.min(shownRows.length - 1, cursor[0] + step[0])), Math.max(0, Math.min(shownColumns.length - 1, cursor[1] + step[1]))];
      say(shownRows[cursor[0]], shownColumns[cursor[1]]);
      stage.hover(shownRows[cursor[0]]);
    } else if (event.key === 'Enter') {
      stage.choose(shownRows[cursor[0]], event.shiftKey);
    }
  });

  return {
    table: () => ({ caption: t('matrix.label', stage.at), head: [t('matrix.corner'), ...columns.map((k) => keyNames[k])], rows: rows.map((q) => [queryNames[q], ...columns.map((k) => matrix.value(q, k))]) }),
    picture: { ...sizeOf(layout()), paint: (context) => { context.fillStyle = theme().back; context.fillRect(0, 0, layout().width, layout().height); heatmap(context, options(layout())); } },
  };
}

const sizeOf = ({ width, height }) => ({ width, height });
