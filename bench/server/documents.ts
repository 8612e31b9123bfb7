// The documents of the benchmark: readings of 1 KB, each in two channels.

/** The sync function of the benchmark's databases: two channels, both computed. */
export const SYNC_FUNCTION = `function (doc, oldDoc) {
  if (!doc.owner || !doc.region) throw({forbidden: "a reading has an owner and a region"});
  channel("owner-" + doc.owner);
  channel(["region-" + doc.region]);
}`;

/** The size of a document's JSON text in bytes. */
export const DOCUMENT_BYTES = 1024;
const OWNERS = 1000;
const REGIONS = 20;

/** The JSON text of document `number`, {@link DOCUMENT_BYTES} long, without `_id`. */
function documentText(number: number): string {
  const known = {
    type: "reading",
    owner: `u${number % OWNERS}`,
    region: `r${(number * 7) % REGIONS}`,
    at: 1_700_000_000_000 + number * 137,
    value: (number * 2654435761) % 100_000,
    unit: "hPa",
    tags: ["station", "hourly", `batch-${number % 97}`],
    note: "",
  };
  const bare = JSON.stringify(known).length;
  // Words rather than one letter, so that compressing stores do not get it for nothing.
  let note = "";
  for (let k = number; note.length < DOCUMENT_BYTES - bare; k = (k * 48271 + 11) % 2147483647) {
    note += `${k.toString(36)} `;
  }
  return JSON.stringify({ ...known, note: note.slice(0, Math.max(0, DOCUMENT_BYTES - bare)) });
}

/** Texts made before a measurement starts, so that making them is not measured. */
const READY = 2048;

/** Documents without `_id` for any number: a ring of {@link READY} texts made once. */
export function readyTexts(): (number: number) => string {
  const texts = Array.from({ length: READY }, (_, number) => documentText(number));
  return (number) => texts[number % READY] as string;
}
