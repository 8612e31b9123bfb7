// The index broken on purpose, each time so that a test of this folder must notice.

/** One edit of a file; `find` must be there exactly once. */
interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** A breakage, as test/breakages/run.ts tries them. */
interface Breakage {
  readonly invariant: string;
  readonly what: string;
  readonly edits: readonly Edit[];
  readonly test: string;
  readonly fails: string;
}

function breakage(
  invariant: string,
  what: string,
  test: string,
  fails: string,
  file: string,
  ...finds: readonly (readonly [find: string, replace: string])[]
): Breakage {
  const edits = finds.map(([find, replace]): Edit => {
    return { file: `src/index/${file}.ts`, find, replace };
  });
  return { invariant, what, edits, test: `test/index/${test}.test.ts`, fails };
}

/** Breakages of the index. */
export const indexBreakages: readonly Breakage[] = [
  breakage(
    "complete",
    "records are written before the entries",
    "crash",
    "a writer may stop",
    "group",
    [
      "    for (let round = 0; blocks.length > 0; round++) {",
      "    await this.#commit(members, identities, late);\n" +
        "    for (let round = 0; blocks.length > 0; round++) {",
    ],
  ),
  breakage(
    "complete",
    "blocks are made before they are listed",
    "crash",
    "a writer may stop",
    "group",
    ["    await this.#list(lists);\n", ""],
    [
      "    return blocks.filter((block, i) => {\n      if (results[i * 2]",
      "    await this.#list(lists);\n" +
        "    return blocks.filter((block, i) => {\n      if (results[i * 2]",
    ],
  ),
  breakage(
    "complete",
    "list windows are made before the root names them",
    "crash",
    "a writer may stop",
    "group",
    ["    this.counts.rootsMade += made(await this.#context.batch(roots));\n", ""],
    [
      "    this.counts.listsMade += made(await this.#context.batch(makes));\n",
      "    this.counts.listsMade += made(await this.#context.batch(makes));\n" +
        "    this.counts.rootsMade += made(await this.#context.batch(roots));\n",
    ],
  ),
  breakage(
    "complete",
    "a write that failed is said to be done",
    "crash",
    "a write that can't be carried out rejects",
    "writer",
    ["        reject(error);", "        resolve();"],
    ["mutation, reject } of group", "mutation, resolve } of group"],
  ),
  breakage(
    "complete",
    "a batch that failed is not tried again",
    "crash",
    "a bucket that is busy",
    "writer",
    ["if (!passes || attempt >= MAX_WRITE_ATTEMPTS) throw error;", "throw error;"],
  ),
  breakage(
    "pure",
    "a removal that a crash cut off is left to nobody",
    "journal",
    "a removal that a crash cut off",
    "open",
    [" || (at > stable && !this.#journal.wrote(vb, at))", ""],
  ),
  breakage("complete", "a read begins one seq late", "write-read", "random intervals", "gather", [
    "if (seq > after[vb]! && seq <=",
    "if (seq > after[vb]! + 1 && seq <=",
  ]),
  breakage(
    "complete",
    "the last block of an interval is not looked for",
    "write-read",
    "random intervals",
    "sources",
    ["Math.min(lastTile, Math.floor(upTo[vb]! / length))", "Math.floor(upTo[vb]! / length) - 1"],
  ),
  breakage(
    "complete",
    "stripes leave out a vbucket",
    "concurrent",
    "agree with the model",
    "interval",
    ["      vbFrom = vb;\n", "      vbFrom = vb + 1;\n"],
  ),
  breakage(
    "complete",
    "a document in the cache is always thought complete",
    "concurrent",
    "agree with the model",
    "documents",
    ["clock[vb]! < want) return false", "clock[vb]! < 0) return false"],
  ),
  breakage(
    "complete",
    "a rewritten document is taken for one that has grown",
    "concurrent",
    "agree with the model",
    "documents",
    ["cached.generation === generation && ", ""],
  ),
  breakage(
    "complete",
    "what is healed below the stable clock does not reach the cache",
    "branches",
    "what is healed below the stable clock",
    "group",
    ["    if (late.size > 0) this.#context.late(late);\n", ""],
  ),
  breakage(
    "idempotent",
    "a document comes as often as it was written",
    "write-read",
    "random intervals",
    "gather",
    ["      if (seen?.has(entry.docId)) continue;\n", ""],
  ),
  breakage(
    "complete",
    "compaction replaces without looking whether something was appended",
    "compaction",
    "is not lost",
    "compaction",
    [
      '{ op: "replace", key, value: rewriting.value, cas }',
      '{ op: "replace", key, value: rewriting.value }',
    ],
  ),
  breakage(
    "complete",
    "compaction drops what it has not seen before",
    "compaction",
    "a sequence document is rewritten is not lost",
    "compaction",
    [
      "return seqs === undefined || !includes(seqs, seq);",
      "return seqs === undefined || seq > seqs.at(-1)!;",
    ],
  ),
  breakage(
    "complete",
    "blocks are removed without looking whether something was appended",
    "compaction",
    "a block is removed is not lost",
    "block-removal",
    ['({ op: "remove", key, cas })', '({ op: "remove", key })'],
    ["blocks.map(({ key, cas })", "blocks.map(({ key })"],
  ),
  breakage(
    "complete",
    "lists are replaced without looking whether something was appended",
    "compaction",
    "its list is replaced is not lost",
    "block-removal",
    ["value, cas: stored.cas }", "value }"],
  ),
  breakage(
    "branch-safe",
    "entries go although their records could not",
    "branches",
    "whose record could not be dropped",
    "compaction",
    ["yield* this.#channel(channel, proven);", "yield* this.#channel(channel, stable);"],
  ),
  breakage(
    "branch-safe",
    "compaction judges a branch that it does not know",
    "branches",
    "an entry is dead only when its branch is known",
    "branch-table",
    ["return branch <= known && branch", "return known >= 0 && branch"],
  ),
  breakage(
    "branch-safe",
    "entries of dead branches are served",
    "branches",
    "a second rollback below the first",
    "gather",
    ["      if (entry.branch !== this.#branches.owner(entry.vb, seq)) continue;\n", ""],
  ),
  breakage(
    "branch-safe",
    "a record of a dead branch counts",
    "branches",
    "what is written on a branch that is not known yet",
    "journal",
    [" && table.branch(i) === branch", ""],
  ),
  breakage(
    "branch-safe",
    "a rollback leaves the cache trusted",
    "branches",
    "blocks that were complete",
    "open",
    ["    if (fresh) this.documents.distrust();\n", ""],
  ),
  breakage(
    "complete",
    "the tail answers for what it has dropped",
    "journal",
    "what was dropped for room",
    "tail",
    ["      if (after[vb]! < this.#dropped[vb]!) return undefined;\n", ""],
  ),
  breakage(
    "complete",
    "the tail answers although another node wrote in between",
    "journal",
    "does not answer across a gap",
    "tail",
    ["    if (this.#foreign[vb]! > from) {", "    if (this.#foreign[vb]! < 0) {"],
  ),
  breakage(
    "complete",
    "the tail answers for what came before it was used",
    "journal",
    "before the first mutation was looked at",
    "tail",
    ["        this.#drop(entry);\n        continue;", "        continue;"],
  ),
  breakage("idempotent", "checksums are not looked at", "codec", "one changed byte", "frame", [
    "if (crc32(payload, mark) !== sum)",
    "if (crc32(payload, mark) === -1)",
  ]),
  breakage("idempotent", "a damaged part ends the document", "codec", "a torn tail", "frame", [
    "    damaged({ at: start, length: position - start, reason: frame });\n",
    "    return frames;\n",
  ]),
  breakage(
    "pure",
    "the check does not look for what is missing",
    "verify",
    "finds a save that was not indexed",
    "verify",
    [
      "for (const entry of missing.values()) {",
      "for (const entry of [...missing.values()].slice(0, 0)) {",
    ],
    ["if (!same) {", "if (!same && found.seq < 0) {"],
  ),
];
