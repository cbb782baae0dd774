/**
 * A kubelet for the CSI driver of the demo: registers it, publishes and unpublishes.
 */
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { VouchsafeError, type Clock } from '../../core/index.ts';
import { CALLS, type CallType } from '../../csi/index.ts';

/** A login and its reads take longer only if something fails. */
const TIMEOUT_MS = 30_000;

/** Prefix of the attributes that the kubelet itself sets. */
const INFO = 'csi.storage.k8s.io/';

/** A pod with a volume. */
export interface ShownPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly serviceAccount: string;
  readonly volumeId: string;
  /** Target path of the volume. */
  readonly target: string;
  /** `volumeAttributes` of its volume. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Its tokens, as the kubelet writes them. */
  readonly tokens: string;
}

/** Registers a driver by its registration socket. Returns its name. */
export async function registerDriver(socket: string, clock: Clock): Promise<string> {
  const connection = new Connection(socket, clock);
  try {
    const { name } = await connection.call(CALLS.getInfo, {});
    const outcome = { pluginRegistered: true, error: '' };
    await connection.call(CALLS.notifyRegistrationStatus, outcome);
    return name;
  } finally {
    connection.close();
  }
}

/** Calls of the driver's own socket. */
export class LocalKubelet {
  readonly #connection: Connection;

  constructor(socket: string, clock: Clock) {
    this.#connection = new Connection(socket, clock);
  }

  /** Rejects with the text for the pod's events. */
  async publish(pod: ShownPod): Promise<void> {
    await this.#connection.call(CALLS.nodePublishVolume, {
      volumeId: pod.volumeId,
      publishContext: new Map(),
      stagingTargetPath: '',
      targetPath: pod.target,
      volumeCapability: {
        block: undefined,
        mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
        accessMode: { mode: 1 },
      },
      readonly: true,
      secrets: new Map([[`${INFO}serviceAccount.tokens`, pod.tokens]]),
      volumeContext: new Map([
        ...Object.entries(pod.attributes),
        [`${INFO}ephemeral`, 'true'],
        [`${INFO}pod.namespace`, pod.namespace],
        [`${INFO}pod.name`, pod.name],
        [`${INFO}pod.uid`, pod.uid],
        [`${INFO}serviceAccount.name`, pod.serviceAccount],
      ]),
    });
  }

  async unpublish({ volumeId, target }: ShownPod): Promise<void> {
    await this.#connection.call(CALLS.nodeUnpublishVolume, { volumeId, targetPath: target });
  }

  close(): void {
    this.#connection.close();
  }
}

/** Calls over one Unix socket. */
class Connection {
  readonly #client: Client;
  readonly #clock: Clock;

  constructor(socket: string, clock: Clock) {
    const options = { 'grpc.default_authority': 'localhost' };
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), options);
    this.#clock = clock;
  }

  async call<Q, A>(type: CallType<Q, A>, request: Q): Promise<A> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    this.#client.makeUnaryRequest(
      type.path,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer) => bytes,
      type.request.encode(request),
      new Metadata(),
      { deadline: this.#clock.now() + TIMEOUT_MS },
      (error: ServiceError | null, answer?: Uint8Array) => {
        if (answer !== undefined) resolve(answer);
        else reject(new VouchsafeError('ERR_CSI_PENDING', error?.details ?? 'no response'));
      },
    );
    return type.response.decode(await promise);
  }

  close(): void {
    this.#client.close();
  }
}
