// The gateway on Deno, from the source.

import { root } from "../harness/target.ts";
import { smoke } from "./smoke.ts";

smoke("Deno", [`${root}/node_modules/deno/deno`, "run", "-A", `${root}/src/main.ts`]);
