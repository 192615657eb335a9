// NestJS 12: npm install @nestjs/core @nestjs/common @nestjs/platform-express rxjs reflect-metadata

import "reflect-metadata";
import {
  Controller,
  Headers,
  HttpCode,
  type MessageEvent,
  Module,
  Post,
  type RawBodyRequest,
  Req,
  Sse,
  SseSignal,
} from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import type { IncomingMessage } from "node:http";
import process from "node:process";
import { text } from "node:stream/consumers";
import { from, map, type Observable } from "rxjs";
import { Broadcast } from "@broadcaster/broadcaster";

const { BROADCASTER_URL = "memory://", PORT = "8000" } = process.env;
const broadcast = new Broadcast(BROADCASTER_URL);

@Controller("news")
class NewsController {
  // The signal releases the subscription. To unsubscribe would wait for the next event.
  @Sse()
  async news(
    @Headers("last-event-id") after: string | undefined,
    @SseSignal() signal: AbortSignal,
  ): Promise<Observable<MessageEvent>> {
    const news = await broadcast.subscribe("news", { after, maxResume: 1_000, signal });
    return from(news.values())
      .pipe(map(({ id, message, gap }) => ({ id, data: { message, gap } })));
  }

  @Post()
  @HttpCode(204)
  async publish(@Req() request: RawBodyRequest<IncomingMessage>): Promise<void> {
    await broadcast.publish("news", await text(request));
  }
}

@Module({ controllers: [NewsController] })
class NewsModule {}

const app = await NestFactory.create(NewsModule, { bodyParser: false, logger: ["error"] });
await app.listen(PORT, "127.0.0.1");

process.once("SIGTERM", async () => {
  await broadcast.disconnect();
  process.exit();
});
