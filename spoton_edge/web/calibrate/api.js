// What the server is asked. An answer that is no success becomes an error with the server's own words.

export class Refused extends Error {
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refused("the calibrator does not answer: was it stopped? Start it again and open the new address.", 0);
  }
  if (response.ok) return response;
  const text = await response.text();
  let said = text.trim();
  try {
    said = JSON.parse(text).error ?? said;
  } catch {
    // Plain text.
  }
  throw new Refused(said || `the server answers ${response.status}`, response.status);
}

const post = (path, data) =>
  ask(path, { method: "POST", body: JSON.stringify(data), headers: { "Content-Type": "application/json" } });

export const site = async () => (await ask("/site")).json();
export const place = async (camera, at) =>
  (await ask(`/place/${encodeURIComponent(camera)}?${new URLSearchParams(at)}`)).json();
export const judge = async (draft) => (await post("/judge", draft)).json();
export const save = async (draft, confirmed) => (await post(`/save${confirmed ? "?confirmed=yes" : ""}`, draft)).json();

/** A picture as {url, width, height}; `URL.revokeObjectURL(url)` when it is no longer shown. */
export async function picture(path) {
  const url = URL.createObjectURL(await (await ask(path)).blob());
  const image = new Image();
  image.src = url;
  await image.decode();
  return { url, width: image.naturalWidth, height: image.naturalHeight };
}
