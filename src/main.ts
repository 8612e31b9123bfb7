// The command line: `tidegate serve`, and the tools. What the commands do is in `src/cli/`.

import process from "node:process";
import { TidegateError } from "./base/errors.ts";
import { program } from "./cli/program.ts";

try {
  await program().parseAsync(process.argv);
} catch (error) {
  // What a user can put right is said in words; a defect with its stack.
  const words = error instanceof TidegateError ? error.message : (error as Error).stack;
  process.stderr.write(`tidegate: ${words ?? error}\n`);
  process.exit(1);
}
