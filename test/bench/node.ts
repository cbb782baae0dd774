/** A node under measurement: the driver of the bundle as a process, and the calls that a kubelet makes of it. */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CALLS, STATS_CAPABILITIES } from '../../src/csi/proto/csi.ts';
import { CsiWorld, DRIVER, type TestPod } from '../helpers/csi-world.ts';
import { Kubelet } from '../helpers/kubelet.ts';
import { Measured, type Command } from './process.ts';

/** KV secrets of each volume. */
const SECRETS = ['kv/first', 'kv/second', 'kv/third'];

const ATTRIBUTES = {
  role: 'web',
  ...Object.fromEntries(SECRETS.map((path, index) => [`secret-${index}`, path])),
};

/** As the kubelet asks for them. */
const TOKEN_TTL_MS = 3_600_000;

const PATIENCE_MS = 30_000;

/** A pod with its volume, and the tokens that its kubelet keeps. */
interface NodePod extends TestPod {
  readonly tokens: string;
}

/** A node with an embedded Vault beside it. For root, because its volumes are mounted. */
export class BenchNode implements AsyncDisposable {
  readonly driver: Measured;
  readonly mounter: Measured;
  readonly #world: CsiWorld;
  readonly #pods: NodePod[] = [];

  private constructor(world: CsiWorld, processes: Pick<BenchNode, 'driver' | 'mounter'>) {
    this.#world = world;
    this.driver = processes.driver;
    this.mounter = processes.mounter;
  }

  /** Starts it; `image` is what the image runs. */
  static async start(image: Command, cwd: string): Promise<BenchNode> {
    const world = await CsiWorld.start();
    for (const path of SECRETS) await world.vault.write(path, { user: path, password: path });
    const config = join(world.root, 'installation.json');
    await writeFile(config, JSON.stringify(world.values()));
    const socket = join(world.root, 'mounter.sock');
    const mounting = [
      ...['mounter', '--socket', socket, '--pods-directory', join(world.root, 'pods')],
      ...['--driver-name', DRIVER],
    ];
    const words = [
      ...['csi', '--config', config, '--node-name', 'bench', '--csi-socket', world.csiSocket],
      ...['--registration-directory', dirname(world.registrationSocket)],
      ...['--mounter-socket', socket],
      ...['--state-directory', world.state, '--listen', '127.0.0.1:0'],
      // That of the chart: all volumes are of one namespace, which has a third of what it allows.
      ...['--memory-limit', String(640 * 2 ** 20)],
    ];
    const node = new BenchNode(world, {
      mounter: new Measured([...image, ...mounting], {}, cwd),
      driver: new Measured([...image, ...words], {}, cwd),
    });
    try {
      await node.#listens();
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
    return node;
  }

  /** CPU time so far of driver, mounter, and the processes that render, in milliseconds. */
  cpuMs(): number {
    return this.driver.cpuMs() + this.mounter.cpuMs();
  }

  get volumes(): number {
    return this.#pods.length;
  }

  /** Makes a pod, and publishes its volume; gives how long the call took, in milliseconds. */
  async addPod(): Promise<() => Promise<number>> {
    const made = await this.#world.pod();
    const pod = { ...made, tokens: await this.#world.tokens(made, 'vault', TOKEN_TTL_MS) };
    this.#pods.push(pod);
    return async () => {
      const startedMs = performance.now();
      await this.#publish(pod);
      return performance.now() - startedMs;
    };
  }

  /**
   * What a kubelet does with one of its volumes at each sync of the pod, and as often for its statistics, where the
   * driver has them: four or five calls in a minute or so.
   *
   * @see https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/csi/csi_client.go
   */
  async look(index: number): Promise<void> {
    const pod = this.#pods[index];
    if (pod === undefined) throw new TypeError(`there is no volume ${index}`);
    // Whether it knows groups of mounts, and whether it knows the access mode.
    await this.#capabilities();
    await this.#capabilities();
    await this.#publish(pod);
    if (!(await this.#capabilities()).includes(STATS_CAPABILITIES.GET_VOLUME_STATS)) return;
    const { volumeId, target: volumePath } = pod;
    await this.#call((kubelet) =>
      kubelet.call(CALLS.nodeGetVolumeStats, { volumeId, volumePath, stagingTargetPath: '' }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.driver[Symbol.asyncDispose]();
    await this.mounter[Symbol.asyncDispose]();
    await this.#world[Symbol.asyncDispose]();
  }

  #publish(pod: NodePod): Promise<void> {
    const change = { attributes: ATTRIBUTES, tokens: pod.tokens };
    return this.#call((kubelet) => this.#world.publish(kubelet, pod, change));
  }

  async #capabilities(): Promise<readonly number[]> {
    const answer = await this.#call((kubelet) => kubelet.call(CALLS.nodeGetCapabilities, {}));
    return answer.capabilities.flatMap(({ rpc }) => rpc?.type ?? []);
  }

  /** A kubelet opens a connection for each call. */
  async #call<T>(call: (kubelet: Kubelet) => Promise<T>): Promise<T> {
    const kubelet = new Kubelet(this.#world.csiSocket);
    try {
      return await call(kubelet);
    } finally {
      kubelet.close();
    }
  }

  /** It prints where it listens. */
  async #listens(): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!this.driver.output.includes('"listening"')) {
      if (this.driver.hasEnded || performance.now() > deadline) {
        throw new Error(`the driver does not start; it printed:\n${this.driver.output}`);
      }
      await delay(20);
    }
  }
}
