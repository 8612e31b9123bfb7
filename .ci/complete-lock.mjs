// Names in package-lock.json the packages of other platforms that the registry did not tell npm of
// (a mirror that serves one platform does that): without their names `npm ci` refuses the lock file
// anywhere. Run after every `npm install`: npm run lock. A name and a version are enough for npm; the
// checksum of such a package is left to the registry of whoever installs it.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const path = join(dirname(fileURLToPath(import.meta.url)), "..", "package-lock.json");
const lock = JSON.parse(readFileSync(path, "utf8"));
const { packages } = lock;

/** What npm has to know of a package that is for one platform, read off its name. */
function entryOf(name, version, parent) {
  const words = name.split(/[/-]/);
  const has = (word) => words.includes(word);
  const system = ["android", "darwin", "freebsd", "win32", "windows"].find(has) ?? "linux";
  const libc = has("musl") || has("linuxmusl") ? "musl" : "glibc";
  return {
    version,
    cpu: [has("arm64") || has("aarch64") ? "arm64" : "x64"],
    ...(parent.dev ? { dev: true } : {}),
    ...(system === "linux" ? { libc: [libc] } : {}),
    optional: true,
    os: [system === "windows" ? "win32" : system],
  };
}

let added = 0;
for (const parent of Object.values(packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const place = `node_modules/${name}`;
    // Only packages for one platform, pinned exactly, are of this kind.
    if (packages[place] || !/^\d+\.\d+\.\d+$/.test(version)) continue;
    packages[place] = entryOf(name, version, parent);
    added++;
  }
}
const { "": project, ...rest } = packages;
const sorted = Object.entries(rest).sort(([a], [b]) => a.localeCompare(b, "en"));
lock.packages = { "": project, ...Object.fromEntries(sorted) };
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`package-lock.json: ${added} packages of other platforms added\n`);
