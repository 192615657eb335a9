/** One framework of each kind of glue lets go of its clients, and lets them resume. */

import { FRAMEWORKS } from "./frameworks.ts";
import { speakTo } from "./speak.ts";

speakTo(FRAMEWORKS.filter(({ isFirst }) => isFirst));
