// What a sync function's source text has to be: one function expression, nothing around it.

import { TidegateError } from "../../base/errors.ts";
import { type FunctionKind, MAX_SOURCE_UNITS } from "./limits.ts";

const COMMENT_OR_SPACE = /^(?:\s+|\/\*[\s\S]*?\*\/|\/\/[^\n]*)+/;

/** What stands before the source, so that `function` begins an expression. On line 1. */
const PREFIX = "0,";

/** The source as a script whose value is that of the source, and its columns moved on line 1. */
export function asScript(source: string): string {
  return PREFIX + source;
}

/** The column in the source of `column` in the script, both counted from 1. */
export function sourceColumn(line: number, column: number): number {
  return line === 1 ? Math.max(1, column - PREFIX.length) : column;
}

/**
 * Throws `bad_config` when the source can't be that of one function whatever it evaluates to.
 */
export function checkSource(source: string, kind: FunctionKind): void {
  if (source.length > MAX_SOURCE_UNITS) {
    throw new TidegateError(
      "bad_config",
      `The ${kind}'s source has ${source.length} characters; ` +
        `at most ${MAX_SOURCE_UNITS} are allowed.`,
    );
  }
  if (source.includes("\u0000")) {
    throw new TidegateError("bad_config", `The ${kind}'s source has a NUL character.`);
  }
}

/**
 * Whether `source` is the function with text `functionText` alone, but for comments, parentheses
 * and semicolons around it. Otherwise the function may share variables with code around it, and
 * keep state between calls.
 */
export function isFunctionAlone(source: string, functionText: string): boolean {
  if (!/^(?:function\b(?!\s*\*)|\(|[\p{ID_Start}$_])/u.test(functionText)) return false;
  if (/^(?:class|async)\b(?!\s*=>)/.test(functionText)) return false;
  let rest = source;
  let open = 0;
  while (true) {
    rest = rest.replace(COMMENT_OR_SPACE, "");
    if (rest.startsWith(functionText)) break;
    if (!rest.startsWith("(")) return false;
    rest = rest.slice(1);
    open++;
  }
  rest = rest.slice(functionText.length);
  while (rest !== "") {
    rest = rest.replace(COMMENT_OR_SPACE, "");
    if (rest.startsWith(")")) open--;
    else if (rest !== "" && !rest.startsWith(";")) return false;
    rest = rest.slice(1);
  }
  return open === 0;
}
