/** All other frameworks let go of their clients, and let them resume. */

import { FRAMEWORKS } from "./frameworks.ts";
import { speakTo } from "./speak.ts";

speakTo(FRAMEWORKS.filter(({ isFirst }) => !isFirst));
