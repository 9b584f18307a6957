// One colour for a person, on the map and in the pictures: told by the id alone, so that every page agrees.
//
// Ten hues in OKLCH. Neighbours in the list differ in hue and in lightness: where a colour-blind eye takes two hues for
// one, lightness still tells them apart, and the id stands beside each anyway.

import { isDark } from "/common/theme.js";

const LIGHT = [
  [0.62, 0.18, 40], [0.47, 0.17, 262], [0.63, 0.13, 163], [0.49, 0.2, 328], [0.68, 0.14, 76],
  [0.55, 0.11, 222], [0.43, 0.13, 22], [0.61, 0.16, 296], [0.47, 0.11, 140], [0.63, 0.2, 6],
];
const DARK = [
  [0.75, 0.16, 45], [0.66, 0.15, 258], [0.82, 0.14, 163], [0.7, 0.19, 328], [0.86, 0.14, 84],
  [0.74, 0.11, 220], [0.63, 0.16, 22], [0.78, 0.12, 300], [0.7, 0.14, 140], [0.78, 0.14, 2],
];

// Ids ten apart share a hue, but neither its shade nor quite its place on the circle: a busy floor has 30 colours.
const TIERS = [[0, 0], [0.1, 17], [-0.1, -13]];

const written = (table) =>
  TIERS.flatMap(([lighter, turned]) => table.map(([l, c, h]) => `oklch(${(l + lighter).toFixed(2)} ${c} ${h + turned})`));
const palettes = { true: written(DARK), false: written(LIGHT) };

export function personColour(id) {
  const palette = palettes[isDark()];
  return palette[id % palette.length];
}
