// The floor plan's picture, once as it is and once for the dark: a drawing on white paper would dazzle there, so it is
// inverted. Its lines are laid upon the page's own paper. Photographs, which are seldom that bright, stay as they are.

const BRIGHT = 0.7; // mean of a picture that is a drawing on white
const SAMPLE_PX = 32;

export class Plan {
  constructor(image) {
    this.width = image.naturalWidth;
    this.height = image.naturalHeight;
    this.image = image;
    this.inverted = brightness(image) > BRIGHT ? inverted(image) : null;
  }

  /** The picture to draw, how strongly, and how it is laid upon what is there. */
  shown(dark) {
    if (!this.inverted) return { picture: this.image, strength: dark ? 0.55 : 0.85, mode: "source-over" };
    return dark
      ? { picture: this.inverted, strength: 0.6, mode: "screen" }
      : { picture: this.image, strength: 0.8, mode: "multiply" };
  }
}

function sheet(width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return canvas;
}

function brightness(image) {
  const context = sheet(SAMPLE_PX, SAMPLE_PX).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, SAMPLE_PX, SAMPLE_PX);
  context.drawImage(image, 0, 0, SAMPLE_PX, SAMPLE_PX);
  const { data } = context.getImageData(0, 0, SAMPLE_PX, SAMPLE_PX);
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum += 0.3 * data[i] + 0.6 * data[i + 1] + 0.1 * data[i + 2];
  return sum / (255 * SAMPLE_PX * SAMPLE_PX);
}

function inverted(image) {
  const canvas = sheet(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  context.globalCompositeOperation = "difference";
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "destination-in"; // what was clear stays clear
  context.drawImage(image, 0, 0);
  return canvas;
}
