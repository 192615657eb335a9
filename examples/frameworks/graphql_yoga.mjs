// GraphQL Yoga on node:http: npm install graphql-yoga graphql

import { createSchema, createYoga } from "graphql-yoga";
import { createServer } from "node:http";
import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";

const { BROADCASTER_URL = "memory://", PORT = "8000" } = process.env;
const broadcast = new Broadcast(BROADCASTER_URL);

const typeDefs = /* GraphQL */ `
  type News { id: ID!, message: String! }
  type Query { version: Int! }
  type Mutation { publish(message: String!): ID }
  type Subscription { news(after: ID): News! }
`;

const resolvers = {
  Query: { version: () => 1 },
  Mutation: { publish: (_, { message }) => broadcast.publish("news", message) },
  Subscription: {
    news: {
      // Frames of GraphQL have no id: a client that comes back passes the last one as `after`.
      subscribe: (_, { after }) => broadcast.subscribe("news", { after, maxResume: 1_000 }),
      resolve: (event) => event,
    },
  },
};

const yoga = createYoga({
  schema: createSchema({ typeDefs, resolvers }),
  graphqlEndpoint: "/news",
});
createServer(yoga).listen(Number(PORT), "127.0.0.1");

process.once("SIGTERM", async () => {
  await broadcast.disconnect();
  process.exit();
});
