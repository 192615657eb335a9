// The site of the documentation: `deno task docs`.

import { readFileSync } from "node:fs";

const REPOSITORY = "https://github.com/broadcaster/broadcaster";

/** All pages, in the order in which they are read. A test compares them with the folder. */
const SIDEBAR = [
  {
    text: "Start",
    items: [
      { text: "Getting started", link: "/getting-started" },
      { text: "Choosing a broker", link: "/choosing-a-broker" },
      { text: "Options and factories", link: "/options" },
    ],
  },
  {
    text: "Guide",
    items: [
      { text: "Messages, codecs, schemas", link: "/messages" },
      { text: "Delivery and gaps", link: "/delivery-and-gaps" },
      { text: "Resume and history", link: "/resume-and-history" },
      { text: "Event streams", link: "/event-streams" },
      { text: "Frameworks", link: "/frameworks" },
      { text: "WebSockets", link: "/websockets" },
    ],
  },
  {
    text: "Brokers",
    items: [
      { text: "Memory", link: "/brokers/memory" },
      { text: "BroadcastChannel", link: "/brokers/broadcast-channel" },
      { text: "Redis", link: "/brokers/redis" },
      { text: "PostgreSQL", link: "/brokers/postgres" },
      { text: "Kafka", link: "/brokers/kafka" },
      { text: "RabbitMQ", link: "/brokers/rabbitmq" },
      { text: "MQTT", link: "/brokers/mqtt" },
      { text: "NATS", link: "/brokers/nats" },
    ],
  },
  {
    text: "In production",
    items: [
      { text: "Deployment", link: "/deployment" },
      { text: "Observability", link: "/observability" },
      { text: "In a terminal", link: "/terminal" },
      { text: "Testing your application", link: "/testing-your-application" },
    ],
  },
  {
    text: "Migrating",
    items: [
      { text: "From Python's broadcaster", link: "/migrating/python-broadcaster" },
      { text: "From Socket.IO's Redis adapter", link: "/migrating/socket-io" },
      { text: "From graphql-redis-subscriptions", link: "/migrating/graphql-redis-subscriptions" },
      { text: "From better-sse", link: "/migrating/better-sse" },
    ],
  },
  {
    text: "More",
    items: [
      { text: "Writing a backend", link: "/writing-a-backend" },
      { text: "Benchmarks", link: "/benchmarks" },
      { text: "Architecture", link: "/architecture" },
      { text: "FAQ", link: "/faq" },
      { text: "Glossary", link: "/glossary" },
    ],
  },
];

/** A chart for the light and one for the dark page. */
const CHARTS =
  /<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\s*<img alt="([^"]*)" src="([^"]+)">\s*<\/picture>/g;

/**
 * Links that leave this folder lead to the repository; code that no test runs by itself is code. Of
 * two charts, the page shows the one for its switch, where a `<picture>` follows the system.
 */
function adapted(md) {
  md.core.ruler.push("adapted", ({ tokens, env }) => {
    for (const token of tokens) {
      token.info = token.info.replace(/ ignore$/, "");
      token.content = token.content.replace(
        CHARTS,
        '<img class="light-only" alt="$2" src="$3"><img class="dark-only" alt="$2" src="$1">',
      );
    }
    const depth = (env.relativePath ?? "").split("/").length;
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      if (token.type !== "link_open") continue;
      const href = token.attrGet("href");
      const [ups] = /^(\.\.\/)*/.exec(href);
      if (ups.length / 3 < depth) continue;
      token.attrSet("href", `${REPOSITORY}/blob/HEAD/${href.slice(ups.length)}`);
    }
  });
}

export default {
  title: "Broadcaster",
  description: "Realtime broadcast channels over seven brokers, behind one small API.",
  lang: "en",
  cleanUrls: true,
  lastUpdated: false,
  head: [["style", {}, readFileSync(new URL("style.css", import.meta.url), "utf8")]],
  markdown: { config: adapted },
  themeConfig: {
    sidebar: SIDEBAR,
    nav: [
      { text: "Guide", link: "/getting-started", activeMatch: "^/(?!brokers/)." },
      { text: "Brokers", link: "/choosing-a-broker", activeMatch: "^/brokers/" },
    ],
    outline: [2, 3],
    search: { provider: "local" },
    socialLinks: [{ icon: "github", link: REPOSITORY }],
    footer: { message: "Released under the MIT License." },
  },
};
