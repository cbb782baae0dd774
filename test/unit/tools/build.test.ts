/**
 * The bundle of the image starts by itself, and holds nothing that it must not.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Metafile } from 'esbuild';
import { bundle } from '../../../.tools/build.ts';
import { keepCompiled } from '../../../.tools/compile.ts';
import { imageCommand } from '../../../.tools/image-command.ts';
import { EXIT } from '../../../src/core/index.ts';
import { CALLS } from '../../../src/csi/index.ts';
import { headOf, readRendered } from '../../../src/renderer/wire.ts';
import { encodeFrame, FrameReader } from '../../../src/worker-pool/frames.ts';
import { RENDER_LIMITS } from '../../../src/template/index.ts';
import { Kubelet } from '../../helpers/kubelet.ts';
import { ROOT } from '../docs/documents.ts';

let directory: string;
let metafile: Metafile;

before(async () => {
  directory = mkdtempSync(join(realpathSync(tmpdir()), 'vouchsafe-bundle-'));
  metafile = await bundle(join(directory, 'dist'));
  cpSync(join(ROOT, 'templates'), join(directory, 'templates'), { recursive: true });
  // Runs the agent between the embedded servers, and fails where it does not deliver.
  await keepCompiled(join(directory, 'dist'));
});

after(() => rmSync(directory, { recursive: true, force: true }));

/** Starts the bundle as the image does; `preload` is a file that Node loads before it. */
function start(
  words: readonly string[],
  config?: object,
  preload?: string,
): { status: number | null; text: string } {
  const [node, ...args] = imageCommand(join(directory, 'dist'));
  const before = preload === undefined ? [] : ['--require', preload];
  const { status, stdout, stderr } = spawnSync(node, [...before, ...args, ...words], {
    cwd: directory,
    encoding: 'utf8',
    timeout: 60_000,
    env: config === undefined ? {} : { VOUCHSAFE_CONFIG: JSON.stringify(config) },
  });
  return { status, text: stdout + stderr };
}

function versionOfProject(): string {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
  }; // npm requires it
  return version;
}

/** Packages in what an entry loads at once, lazy parts left out. */
function packagesAtStart(entry: string): ReadonlySet<string> {
  const found = new Set<string>();
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const output = metafile.outputs[path];
    for (const input of Object.keys(output?.inputs ?? {})) {
      const [, name] = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(input) ?? [];
      if (name !== undefined) found.add(name);
    }
    for (const { path: other, kind } of output?.imports ?? []) {
      if (kind === 'import-statement') visit(other);
    }
  };
  visit(entry);
  return found;
}

function outputOf(source: string): string {
  const found = Object.entries(metafile.outputs).find(([, one]) => one.entryPoint === source);
  assert.ok(found, source);
  return found[0];
}

const DOCUMENT = { apiVersion: 'vouchsafe.dev/v1', kind: 'AgentConfig' };

test('the agent rejects an invalid config with its exit code', () => {
  const { status, text } = start(['agent', '--once'], { ...DOCUMENT, filez: [] });
  assert.equal(status, EXIT.config);
  assert.match(text, /ERR_CONFIG_INVALID.*\n.*filez: is not known; did you mean "files"/);
});

test('the agent writes files and ends', () => {
  const files = [{ name: 'own', template: '{{json (list 1 "a")}}' }];
  const output = { directory: join(directory, 'out') };
  assert.equal(start(['agent', '--once'], { ...DOCUMENT, output, files }).status, EXIT.ok);
  assert.equal(readFileSync(join(output.directory, 'own'), 'utf8'), '[1,"a"]');
});

test('shipped templates are found beside the bundle', () => {
  const files = [{ name: 'a', secret: 'kvv2/app', format: 'yaml' }];
  const vault = { address: 'http://127.0.0.1:1' };
  const auth = { tokenFile: join(directory, 'none') };
  const config = { ...DOCUMENT, vault, auth, files, initDeadline: '1s' };
  assert.equal(start(['agent', '--once'], config).status, EXIT.deadline);
  rmSync(join(directory, 'templates', 'yaml.hbs'));
  const { status, text } = start(['agent', '--once'], config);
  assert.equal(status, EXIT.template);
  assert.match(text, /the shipped template yaml\.hbs cannot be read/);
});

test('the agent reads YAML, whose parser is loaded then', () => {
  const path = join(directory, 'agent.yaml');
  writeFileSync(path, 'apiVersion: vouchsafe.dev/v1\nkind: Wrong\n');
  const { status, text } = start(['agent', '--config', path]);
  assert.equal(status, EXIT.config);
  assert.match(text, /kind: must be one of AgentConfig/);
});

test('the agent loads gRPC where it needs an SVID', () => {
  const { status, text } = start(['agent', '--once'], {
    ...DOCUMENT,
    spiffe: { socket: `unix://${directory}/none.sock` },
    files: [{ name: 'token', jwtSvid: ['a'] }],
    output: { directory: join(directory, 'svid') },
    initDeadline: '1s',
  });
  assert.equal(status, EXIT.deadline);
  assert.match(text, /ERR_SPIFFE_UNAVAILABLE.*the socket does not exist/);
});

test('the webhook starts, and rejects invalid flags and values', () => {
  assert.equal(start(['webhook', '--wrong']).status, EXIT.usage);
  const path = join(directory, 'values.yaml');
  writeFileSync(path, 'vaults: {}\n');
  const { status, text } = start(['webhook', '--config', path]);
  assert.equal(status, EXIT.config);
  assert.match(text, /vaults: is not known; did you mean "vault"/);
});

test('the CSI driver starts, and rejects invalid flags, invalid values and a state directory that is not a directory', () => {
  assert.equal(start(['csi', '--wrong']).status, EXIT.usage);
  assert.match(
    start(['csi']).text,
    /ERR_USAGE: --node-name or the environment variable NODE_NAME is required/,
  );
  const path = join(directory, 'csi.yaml');
  writeFileSync(path, 'csi: { identty: {} }\n');
  const flags = ['csi', '--node-name', 'node', '--config', path, '--listen', ''];
  const wrong = start(flags);
  assert.equal(wrong.status, EXIT.config);
  assert.match(wrong.text, /csi.identty: is not known; did you mean "identity"/);
  writeFileSync(path, '{}\n');
  const refused = start([...flags, '--state-directory', '/proc/version/vouchsafe']);
  assert.equal(refused.status, EXIT.config);
  assert.match(refused.text, /ERR_CSI_STATE/);
});

test('the CSI driver listens for the kubelet, and ends at SIGTERM', async () => {
  const [node, ...args] = imageCommand(join(directory, 'dist'));
  const memory = mkdtempSync('/dev/shm/vouchsafe-bundle-');
  try {
    const flags = ['--node-name', 'node', '--listen', '', '--csi-socket', join(memory, 'csi.sock')];
    const child = spawn(
      node,
      [...args, 'csi', ...flags, '--state-directory', join(memory, 'state')],
      { stdio: ['ignore', 'pipe', 'inherit'], env: {}, signal: AbortSignal.timeout(60_000) },
    );
    const ended = once(child, 'exit');
    const [line] = (await Promise.race([once(child.stdout, 'data'), ended])) as [unknown];
    assert.match(String(line), /"listening":\{"csiSocket"/);
    const kubelet = new Kubelet(join(memory, 'csi.sock'));
    const { vendorVersion } = await kubelet.call(CALLS.getPluginInfo, {});
    kubelet.close();
    assert.equal(vendorVersion, versionOfProject());
    assert.ok(statSync(join(memory, 'csi.sock')).isSocket());
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [EXIT.ok, null]);
  } finally {
    rmSync(memory, { recursive: true });
  }
});

test('a process that renders answers a frame, with the code that was compiled, and ends with its input', () => {
  const [node, ...args] = imageCommand(join(directory, 'dist'));
  const template = { name: 'own', source: '{{json (list 1 "a")}}' };
  const requests = [
    { limits: RENDER_LIMITS },
    { operation: 'render', jobs: [{ template }], values: [] },
  ];
  const mark = Buffer.from('a mark of ours');
  const input = Buffer.concat(requests.flatMap((one) => encodeFrame([mark, headOf(one)])));
  const { status, stdout, stderr } = spawnSync(node, [...args, 'renderer'], {
    cwd: directory,
    env: {},
    input,
    timeout: 60_000,
  });
  assert.equal(status, EXIT.ok, String(stderr));
  const [ready, [echoed, ...answer] = []] = new FrameReader(2 ** 20).push(stdout);
  assert.deepEqual(ready, [mark]);
  assert.deepEqual(echoed, mark);
  const [output] = readRendered(answer, 1);
  assert.ok(output !== undefined && 'content' in output);
  assert.equal(Buffer.from(answer[output.content] ?? []).toString(), '[1,"a"]');
  assert.ok(statSync(join(directory, 'dist', 'renderer.cjs.cache')).size > 0);
});

test('the image holds the programs that the CSI driver runs, with what they need, and none that gives rights', () => {
  for (const name of ['node_modules', 'LICENSE'])
    symlinkSync(join(ROOT, name), join(directory, name));
  const image = join(directory, 'image');
  const laid = spawnSync('sh', [join(ROOT, '.tools/image.sh'), image], {
    cwd: directory,
    encoding: 'utf8',
  });
  assert.equal(laid.status, 0, laid.stderr);
  for (const program of ['mount', 'umount', 'flock']) {
    const path = join(image, 'usr/bin', program);
    assert.equal(statSync(path).mode & 0o7777, 0o755);
    const libraries =
      spawnSync('ldd', [path], { encoding: 'utf8' }).stdout.match(/\/[^ )]+/g) ?? [];
    assert.ok(libraries.length > 0);
    for (const library of libraries) if (library !== path) statSync(join(image, library));
  }
});

test('of package.json the bundle holds the version alone', () => {
  for (const name of readdirSync(join(directory, 'dist')).filter((one) => one.endsWith('.cjs'))) {
    const text = readFileSync(join(directory, 'dist', name), 'utf8');
    assert.ok(!text.includes('optionalDependencies'), name);
  }
});

test('anything else is a usage error', () => {
  assert.equal(start([]).status, EXIT.usage);
  assert.equal(start(['dev']).status, EXIT.usage);
});

test('V8 takes the code that was compiled when the bundle was made, and does without', () => {
  const preload = join(directory, 'tell.cjs');
  writeFileSync(
    preload,
    `const vm = require('node:vm');
     vm.Script = class extends vm.Script {
       constructor(source, options) {
         super(source, options);
         console.log(options.filename.replace(/.*[/]/, ''), this.cachedDataRejected);
       }
     };`,
  );
  const svid = {
    ...DOCUMENT,
    spiffe: { socket: `unix://${directory}/none.sock` },
    files: [{ name: 'token', jwtSvid: ['a'] }],
    output: { directory: join(directory, 'code') },
    initDeadline: '1s',
  };
  const { text } = start(['agent', '--once'], svid, preload);
  assert.match(text, /^agent\.cjs false$/m);
  assert.match(text, /^grpc-js\.cjs false$/m);
  rmSync(join(directory, 'dist', 'agent.cjs.cache'));
  assert.match(start(['agent', '--once'], svid, preload).text, /^agent\.cjs undefined$/m);
});

test('the flags of the image leave Node the code of its own modules', () => {
  const [node, ...args] = imageCommand(join(directory, 'dist'));
  const flags = args.filter((arg) => arg.startsWith('--'));
  const script = `
    const { internalBinding } = require('internal/test/binding');
    require('node:https');
    const { compiledWithCache, compiledWithoutCache } = internalBinding('builtins').getCacheUsage();
    const count = (some) => some.size ?? some.length;
    console.log(count(compiledWithCache) > 0, count(compiledWithoutCache));`;
  const { stdout } = spawnSync(node, [...flags, '--expose-internals', '--eval', script], {
    encoding: 'utf8',
  });
  assert.equal(stdout, 'true 0\n');
});

const notLinux = process.platform === 'linux' ? false : 'the kernel does not report signals';
test('SIGUSR1 opens no debugger in a process of the image', { skip: notLinux }, () => {
  const [node, ...args] = imageCommand(join(directory, 'dist'));
  const flags = args.filter((arg) => arg.startsWith('--'));
  const script = `
    const status = require('node:fs').readFileSync('/proc/self/status', 'latin1');
    const caught = BigInt('0x' + /^SigCgt:\\s*(\\S+)$/m.exec(status)[1]);
    console.log((caught >> BigInt(os.constants.signals.SIGUSR1 - 1)) & 1n);`;
  const isCaught = (words: readonly string[]): string =>
    spawnSync(node, [...words, '--eval', script], { encoding: 'utf8' }).stdout;
  assert.equal(isCaught([]), '1n\n', 'not so without the flags of the image');
  assert.equal(isCaught(flags), '0n\n');
});

test('an agent loads nothing that only others need', () => {
  const packages = packagesAtStart(outputOf('cmd/image/agent.ts'));
  assert.ok(packages.has('pino'), 'the packages are not seen at all');
  for (const name of ['axios', '@kubernetes/client-node', '@grpc/grpc-js', 'yaml', 'chokidar']) {
    assert.ok(!packages.has(name), name);
  }
});

test('of the configuration the file of the agent holds only its own document', () => {
  const inputs = Object.keys(metafile.outputs[outputOf('cmd/image/agent.ts')]?.inputs ?? {});
  const folders = inputs.flatMap((path) => /^src\/config\/([^/]+)\//.exec(path)?.[1] ?? []);
  assert.deepEqual([...new Set(folders)].sort(), ['agent', 'schema']);
});

test('the bundle has no axios and no development server', () => {
  const inputs = Object.keys(metafile.inputs);
  assert.deepEqual(
    inputs.filter((path) => /node_modules\/(axios|commander)\/|^src\/(dev|cli)\//.test(path)),
    [],
  );
});

test('the licences of what is in the bundle are beside it', () => {
  const text = readFileSync(join(directory, 'dist', 'LICENSES.txt'), 'utf8');
  for (const name of ['pino', '@grpc/grpc-js', 'handlebars', 'prom-client']) {
    assert.ok(text.includes(`node_modules/${name}/`), name);
  }
});
