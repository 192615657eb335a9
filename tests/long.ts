/** What takes hours: ten seeds of chaos, a storm and a soak on each scheme. */

import { chaosOf } from "./chaos/run.ts";
import { carryOutAll, start } from "./chaos/program.ts";
import { enduranceOf } from "./endurance/run.ts";

await start(() =>
  carryOutAll([
    ...chaosOf(["--suite", "long"]),
    ...enduranceOf(["storm"]),
    ...enduranceOf(["soak"]),
  ])
);
