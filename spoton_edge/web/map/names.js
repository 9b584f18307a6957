// What is written of an id where there is little room. The ids of one box are short; those of a site of many boxes have
// fifteen digits, of which the last ones differ most. The whole id stands in a person's card.

const LONG = 1e9;

export function shortId(id) {
  return id < LONG ? String(id) : String(id % 10_000).padStart(4, "0");
}
