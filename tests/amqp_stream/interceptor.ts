import type { Socket } from "node:net";
import { type ChannelModel, connect } from "amqplib";

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

  private constructor(model: ChannelModel) {
    this.model = model;
    model.on("error", () => {});
    const createConfirmChannel = model.createConfirmChannel.bind(model);
    model.createConfirmChannel = async () => {
      const lane = await createConfirmChannel();
      const publish = lane.publish.bind(lane);
      lane.publish = (...message) => {
        if (!this.beforeMessage) return publish(...message);
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
      return channel;
    };
  }

  /** Connects to a server. */
  static async connect(url: string): Promise<Interceptor> {
    return new Interceptor(await connect(url, { noDelay: true }));
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
