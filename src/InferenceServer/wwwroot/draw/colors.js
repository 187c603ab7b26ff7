// Colours: one sequential scale of even lightness, one diverging, twelve for heads that stay apart for people who do not see all colours (each with a dash and a label).
const dark = matchMedia('(prefers-color-scheme: dark)');
export const isDark = () => dark.matches;
export const onScheme = (listener) => dark.addEventListener('change', listener);

const sequences = {
  light: ['#ffffff', '#d6e6f4', '#9cc8e3', '#56a0ce', '#1f6fb2', '#08306b'],
  dark: ['#171b21', '#17324d', '#1b5583', '#2f7fb8', '#6fb4e4', '#def0ff'],
};
const diverging = {
  light: ['#8f4700', '#d98e3c', '#f3d9b8', '#ffffff', '#d5cbe8', '#9482c4', '#4b2e83'],
  dark: ['#ffb35c', '#c07a2b', '#5a3d1c', '#171b21', '#3a3357', '#7d6bc0', '#c3b3ff'],
};

export const headColors = {
  light: ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#7a5c00', '#56b4e9', '#882255', '#44aa99', '#332288', '#aa4499', '#117733', '#555555'],
  dark: ['#58b4ee', '#ff9248', '#3fd1a6', '#f0a8cf', '#e6c84a', '#a6ddff', '#e58bb4', '#82dccd', '#b0a4ff', '#e79be6', '#7fd18f', '#c2c2c2'],
};
export const dashes = [[], [6, 3], [2, 3], [8, 3, 2, 3], [12, 4], [4, 4], [1, 3], [10, 2, 2, 2, 2, 2], [3, 6], [6, 2, 6, 6], [14, 3, 3, 3], [5, 1]];

const parse = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const tables = new Map();

function table(stops) {
  const key = stops.join();
  if (!tables.has(key)) {
    const points = stops.map(parse);
    tables.set(key, Array.from({ length: 256 }, (_, i) => {
      const x = (i / 255) * (points.length - 1);
      const at = Math.min(points.length - 2, Math.floor(x));
      return points[at].map((a, c) => Math.round(a + (points[at + 1][c] - a) * (x - at)));
    }));
  }
  return tables.get(key);
}

// Red, green and blue of weights from 0 to 1: a function, so that what is the same for every cell is looked up once.
export function shades(scale = 'linear') {
  const colors = table(sequences[isDark() ? 'dark' : 'light']);
  return scale === 'sqrt'
    ? (value) => colors[value <= 0 ? 0 : value >= 1 ? 255 : Math.round(Math.sqrt(value) * 255)]
    : (value) => colors[value <= 0 ? 0 : value >= 1 ? 255 : Math.round(value * 255)];
}

// Of differences from -1 to 1.
export function differences() {
  const colors = table(diverging[isDark() ? 'dark' : 'light']);
  return (value) => colors[Math.max(0, Math.min(255, Math.round((value + 1) * 127.5)))];
}

export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;
// Text that can be read on a colour.
export const inkOn = ([r, g, b]) => (0.2126 * (r / 255) ** 2.2 + 0.7152 * (g / 255) ** 2.2 + 0.0722 * (b / 255) ** 2.2 > 0.18 ? '#10141a' : '#ffffff');
export const headColor = (index) => headColors[isDark() ? 'dark' : 'light'][index % 12];
export const headDash = (index) => dashes[index % 12];

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const theme = () => (isDark()
  ? { text: '#e8ebf0', soft: '#a9b2be', back: '#14171c', panel: '#1e232b', line: '#3a424e', accent: '#8ab4f8', mark: '#ffd166' }
  : { text: '#1b1f24', soft: '#57606a', back: '#ffffff', panel: '#f3f5f8', line: '#cfd6de', accent: '#0b57d0', mark: '#b35900' });
export const font = (size, weight = 400) => `${weight} ${size}px ${style('--font') || 'system-ui, sans-serif'}`;
