// The log: lines for machines and for people, and no secrets in either.

import { describe, expect, test } from "bun:test";
import { makeLog } from "../../src/cli/log.ts";

function lines(format: "json" | "pretty", level: "debug" | "info" = "info") {
  const written: string[] = [];
  const write = (line: string) => {
    written.push(line);
  };
  return { written, log: makeLog({ level, format, write }) };
}

describe("the log", () => {
  test("for machines is a JSON object a line", () => {
    const { log, written } = lines("json");
    log.child({ database: "demo" }).info({ count: 3 }, "filled");
    log.debug({}, "not shown");
    expect(written.length).toBe(1);
    const line = JSON.parse(written[0] ?? "");
    expect(line).toMatchObject({ level: "info", database: "demo", count: 3, msg: "filled" });
    expect(line.time).toMatch(/^\d{4}-\d\d-\d\dT/);
  });

  test("for people is one line, and the stack of an error below it", () => {
    const { log, written } = lines("pretty");
    log.warn({ host: "127.0.0.1:80", words: "two words" }, "look here");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of a terminal are such
    const plain = (written[0] ?? "").replace(/\x1b\[\d+m/g, "");
    expect(plain).toMatch(/^\d\d:\d\d:\d\d\.\d{3} warn {2}look here host=127\.0\.0\.1:80/);
    expect(plain).toEndWith('words="two words"\n');
    log.error({ err: new Error("broken") }, "failed");
    expect(written[1]).toContain("    Error: broken\n");
  });

  test("for people does with a terminal what it says, not what clients sent", () => {
    const { log, written } = lines("pretty");
    const evil = "\x1b]0;evil\x07\x1b[2J\u009b2J\u202e\r";
    log.warn({ path: evil, err: new Error(evil) }, evil);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of a terminal are such
    const plain = (written[0] ?? "").replace(/\x1b\[\d+m/g, "");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(plain).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(plain).toContain("\\u001b[2J");
  });

  test("says no secrets", () => {
    for (const format of ["json", "pretty"] as const) {
      const { log, written } = lines(format);
      const user = { name: "ann", password: "hunter2", token: "t0ken" };
      log.info({ user, authorization: "Basic c2VjcmV0" }, "login");
      expect(written[0]).not.toMatch(/hunter2|t0ken|c2VjcmV0/);
      expect(written[0]).toContain("ann");
    }
  });

  test("leaves user data out when told to", () => {
    const written: string[] = [];
    const write = (line: string) => void written.push(line);
    const log = makeLog({ level: "info", format: "json", redact: true, write });
    const err = new Error('no document "ann-secret" is there');
    log.info({ ud: { user: "ann" }, id: "ann-secret", err, via: "password" }, "login");
    expect(written[0]).not.toContain("ann");
    expect(written[0]).toContain('"via":"password"');
    expect(written[0]).toContain("no document (user data) is there");
  });
});
