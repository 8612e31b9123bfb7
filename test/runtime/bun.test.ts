// The gateway on Bun, from the source.

import { root } from "../harness/target.ts";
import { smoke } from "./smoke.ts";

smoke("Bun", [process.execPath, `${root}/src/main.ts`]);
