import type { Socket } from "node:net";
import { type ChannelModel, connect } from "amqplib";

/** What the client has, and its types have not. */
interface Registering {
  registerConsumer(tag: string, hear: (message: unknown) => void): void;
}

/** A connection of a user's, on which a test sees what comes, and does something before a message goes. */
export class Interceptor implements AsyncDisposable {
  /** What is given as the client. */
  readonly model: ChannelModel;
  /** Is waited for before each message, if it is there. */
  beforeMessage: (() => Promise<void>) | undefined;
  /** Is waited for before a channel is opened. */
  beforeChannel: () => Promise<void> = () => Promise.resolve();
  /** Told of each message that comes. */
  onDelivery: () => void = () => {};

  readonly #deafen: (() => void)[] = [];

  private constructor(model: ChannelModel) {
    this.model = model;
    model.on("error", () => {});
    const createConfirmChannel = model.createConfirmChannel.bind(model);
    model.createConfirmChannel = async () => {
      const lane = await createConfirmChannel();
      const publish = lane.publish.bind(lane);
      lane.publish = (...message) => {
        const isKnock = message[1].startsWith("broadcaster-knock-");
        if (!this.beforeMessage || isKnock) return publish(...message);
        void this.beforeMessage().then(() => publish(...message));
        return true;
      };
      return lane;
    };
    const createChannel = model.createChannel.bind(model);
    model.createChannel = async () => {
      await this.beforeChannel();
      const channel = await createChannel();
      channel.on("delivery", () => this.onDelivery());
      const registering = channel as unknown as Registering;
      const register = registering.registerConsumer.bind(channel);
      let isDeaf = false;
      this.#deafen.push(() => isDeaf = true);
      registering.registerConsumer = (tag, hear) =>
        register(tag, (message) => isDeaf ? undefined : hear(message));
      return channel;
    };
  }

  /** Connects to a server. */
  static async connect(url: string): Promise<Interceptor> {
    return new Interceptor(await connect(url, { noDelay: true }));
  }

  /** No channel that is open now brings anything any more. */
  deafen(): void {
    for (const deafen of this.#deafen.splice(0)) deafen();
  }

  /** Ends the connection at once. */
  cut(): void {
    const { stream } = this.model.connection as unknown as { stream: Socket };
    stream.destroy(new Error("cut"));
  }

  /** Ends it, if it has not ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.model.close().catch(() => {});
  }
}
