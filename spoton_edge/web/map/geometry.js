// Plane geometry: homographies, polygons, covariance ellipses. Points are [x, y].

/** Where a 3 x 3 matrix maps a point; null: beyond the horizon. */
export function mapped(h, [u, v]) {
  const w = h[2][0] * u + h[2][1] * v + h[2][2];
  if (!(Math.abs(w) > 1e-12)) return null;
  const x = (h[0][0] * u + h[0][1] * v + h[0][2]) / w;
  const y = (h[1][0] * u + h[1][1] * v + h[1][2]) / w;
  return Number.isFinite(x) && Number.isFinite(y) ? [x, y] : null;
}

/** Inverse of a 3 x 3 matrix up to scale; null: there is none. */
export function inverse(m) {
  const [[a, b, c], [d, e, f], [g, h, i]] = m;
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  if (!(Math.abs(determinant) > 1e-18)) return null;
  return [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ];
}

export function inside(polygon, [x, y]) {
  let within = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) within = !within;
  }
  return within;
}

/** Half axes, the longer first, and its angle, of where two standard deviations reach. cov: xx, xy, yy. */
export function ellipse([xx, xy, yy]) {
  const mean = (xx + yy) / 2;
  const spread = Math.hypot((xx - yy) / 2, xy);
  return {
    a: 2 * Math.sqrt(Math.max(mean + spread, 0)),
    b: 2 * Math.sqrt(Math.max(mean - spread, 0)),
    angle: 0.5 * Math.atan2(2 * xy, xx - yy),
  };
}

/** The smallest upright rectangle around points; null: there are none. */
export function bounds(points) {
  let box = null;
  for (const [x, y] of points) {
    if (!box) box = [x, y, x, y];
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x);
    box[3] = Math.max(box[3], y);
  }
  return box;
}
