/**
 * A drawing of a chart, as SVG, by Vega.
 *
 * @module
 */

import type * as Vega from "npm:vega@6.4.0";
import type * as VegaLite from "npm:vega-lite@6.5.0";
import { type Spec, WIDTH } from "./chart.ts";

/** Draws a chart. */
export async function draw(spec: Spec, alt: string): Promise<string> {
  // Behind names that are computed, so that only who draws fetches them.
  const [vega, lite]: [typeof Vega, typeof VegaLite] = await Promise.all([
    import(["npm:vega", "6.4.0"].join("@")),
    import(["npm:vega-lite", "6.5.0"].join("@")),
  ]);
  const { spec: compiled } = lite.compile(spec as unknown as VegaLite.TopLevelSpec);
  const svg = await new vega.View(vega.parse(compiled), { renderer: "none" }).toSVG();
  return trimmed(svg, alt);
}

/** Without a canvas, Vega takes texts for wider than they are. The charts know how wide they are. */
function trimmed(svg: string, alt: string): string {
  const escaped = alt.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return svg.replace(
    /^<svg([^>]*?) width="[\d.]+"([^>]*?) viewBox="0 0 [\d.]+ ([\d.]+)">/,
    `<svg$1 width="${WIDTH}"$2 viewBox="0 0 ${WIDTH} $3" role="img"><title>${escaped}</title>`,
  );
}
