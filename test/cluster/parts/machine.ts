/** A machine outside the cluster: an agent of SPIRE that is not a pod, which its operator lets in by a join token. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentConfig, placesOf } from '../../helpers/spire-config.ts';
import { runSpire, SpireDaemon } from '../../helpers/spire-process.ts';
import { SERVER_SOCKET } from './identity-place.ts';
import { SERVER_ADDRESS, SERVER_PORT } from './spire-config.ts';
import { world } from './suite.ts';

/** Its SPIFFE ID, for entries of its workloads. */
export const MACHINE = 'spiffe://example.org/myagent';

/** Such a machine, until it is switched off. */
export interface Machine extends AsyncDisposable {
  /** Of its Workload API. */
  readonly socket: string;
}

export async function startMachine(): Promise<Machine> {
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-machine-'));
  const places = placesOf(directory, {}, [SERVER_PORT, 0, 0]);
  const bundle = join(directory, 'bundle.pem');
  await writeFile(bundle, world.bundlePem);
  const flags = ['-spiffeID', MACHINE, '-socketPath', SERVER_SOCKET, '-output', 'json'];
  const { stdout } = await runSpire('spire-server', ['token', 'generate', ...flags]);
  const { value } = JSON.parse(stdout) as { readonly value: string }; // by its interface
  const server = { server_address: SERVER_ADDRESS, trust_bundle_path: bundle };
  const config = join(directory, 'agent.conf');
  const settings = { agent: { ...server, insecure_bootstrap: false } };
  await writeFile(config, agentConfig(places, value, settings), { mode: 0o600 });
  await mkdir(join(directory, 'agent'), { recursive: true });
  const agent = new SpireDaemon('spire-agent', ['run', '-config', config]);
  await agent.start();
  return {
    socket: places.agentSocket,
    async [Symbol.asyncDispose]() {
      await agent.stop('SIGTERM');
      await rm(directory, { recursive: true });
    },
  };
}
