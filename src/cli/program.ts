/**
 * The command line: words in, exit code out. Commands are loaded when they are called.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import {
  EXIT,
  exitCodeOf,
  toVouchsafeError,
  VouchsafeError,
  printableText,
} from '../core/index.ts';
import type { CheckCommandOptions } from './check.ts';
import type { Io } from './io.ts';

/** What the options of all commands look like when parsed. */
interface Options {
  readonly file?: string;
  readonly values?: string;
  readonly kubeVersion?: string;
  readonly namespace: string;
  readonly review?: true;
  readonly data?: string;
  readonly pod?: string;
  readonly once?: true;
  readonly out?: string;
  readonly oidcPort?: string;
  readonly showSecrets?: true;
  readonly mode?: string;
  readonly identity?: string;
}

/** Runs one command; resolves to the exit code. Errors are printed as `vouchsafe: CODE: message`. */
export async function runCli(
  words: readonly string[],
  given: Io,
  signal: AbortSignal,
): Promise<number> {
  const io = escapeOutput(given);
  let exitCode: number = EXIT.ok;
  const program = createProgram(io, signal, (code) => (exitCode = code));
  try {
    await program.parseAsync([...words], { from: 'user' });
    return exitCode;
  } catch (caught) {
    if (caught instanceof CommanderError) return caught.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (signal.aborted) return EXIT.ok;
    const error = toVouchsafeError(caught);
    io.printError(`vouchsafe: ${error.code}: ${error.message}`);
    if (error.code === 'ERR_BUG') io.printError(stackFrames(error.cause));
    return exitCodeOf(error);
  }
}

/** Manifests, clusters and templates are of others: no command prints what would steer a terminal. Bytes stay. */
function escapeOutput(io: Io): Io {
  return {
    ...io,
    out: (data) => io.out(typeof data === 'string' ? printableText(data) : data),
    printError: (line) => io.printError(printableText(line)),
  };
}

function createProgram(io: Io, signal: AbortSignal, done: (code: number) => void): Command {
  const program = new Command('vouchsafe')
    .description('Vault secrets as files in Kubernetes pods, by SPIFFE identity')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.printError(text.trimEnd()),
    });
  addInject(program, io, done);
  addExplain(program, io, done);
  addRender(program, io, signal, done);
  addDev(program, io, signal, done);
  addCheck(program, io, signal, done);
  program
    .command('agent')
    .description('run the agent on this machine, as it runs in a pod')
    .option('-c, --config <file>', 'AgentConfig, YAML or JSON (else VOUCHSAFE_CONFIG)')
    .option('--once', 'write the files once and end');
  return program;
}

function withManifest(command: Command): Command {
  return command
    .option('-f, --file <file>', 'manifest; - is standard input')
    .option('--values <file>', 'Helm values of the installation')
    .option('--kube-version <version>', 'version of the cluster, e.g. 1.34', kubeVersion)
    .option('-n, --namespace <name>', 'namespace of objects that name none', 'default');
}

function addInject(program: Command, io: Io, done: (code: number) => void): void {
  withManifest(program.command('inject'))
    .description('print the manifest as the webhook would patch it; warnings go to standard error')
    .option('--review', 'answer an AdmissionReview (JSON) from standard input')
    .action(async (options: Options) => {
      checkStandardInput([options.file ?? '-', options.values]);
      const { injectManifests, reviewInput } = await import('./inject.ts');
      done(options.review ? await reviewInput(io, options) : await injectManifests(io, options));
    });
}

function addExplain(program: Command, io: Io, done: (code: number) => void): void {
  withManifest(program.command('explain'))
    .description('say what would be injected and why or why not, with the source of every setting')
    .action(async (options: Options) => {
      checkStandardInput([options.file ?? '-', options.values]);
      const { explainManifests } = await import('./explain.ts');
      done(await explainManifests(io, options));
    });
}

function addRender(
  program: Command,
  io: Io,
  signal: AbortSignal,
  done: (code: number) => void,
): void {
  withManifest(program.command('render'))
    .description('render a template offline, or the files of a pod against a dev or a real Vault')
    .option('--data <file>', 'values for the template, YAML or JSON')
    .option('--pod <file>', 'manifest of a pod whose files are rendered and shown masked')
    .option('--show-secrets', 'do not mask')
    .action(async (options: Options) => {
      if ((options.file === undefined) === (options.pod === undefined)) {
        throw usage('render needs either -f TEMPLATE [--data FILE] or --pod MANIFEST');
      }
      checkStandardInput([options.file, options.data, options.pod, options.values]);
      if (options.pod !== undefined) {
        const { renderPod } = await import('./render-pod.ts');
        done(await renderPod(io, { ...options, pod: options.pod }, signal));
        return;
      }
      const { renderOffline } = await import('./render-offline.ts');
      done(await renderOffline(io, { file: options.file ?? '-', data: options.data }));
    });
}

function addDev(program: Command, io: Io, signal: AbortSignal, done: (code: number) => void): void {
  withManifest(program.command('dev'))
    .description('show the whole job on this machine: identity, login, files, rotation')
    .option('--mode <mode>', 'csi: show the driver of a node instead; for root', csiMode)
    .option('--identity <kind>', 'service-account (default), broker or delegated, in mode csi')
    .option('--once', 'end after the first refresh')
    .option('--out <dir>', 'leave the rendered volume in this directory')
    .option('--oidc-port <port>', 'port for the keys of the embedded identity provider', port)
    .option('--show-secrets', 'do not mask')
    .action(async (options: Options) => {
      checkStandardInput([options.file, options.values]);
      const { runDev } = await import('./dev.ts');
      done(await runDev(io, options, signal));
    });
}

function addCheck(
  program: Command,
  io: Io,
  signal: AbortSignal,
  done: (code: number) => void,
): void {
  program
    .command('check')
    .description('check an installation in a cluster, and which pods run without the agent')
    .option('--kubeconfig <file>', 'kubeconfig (else KUBECONFIG, ~/.kube/config)')
    .option('--context <name>', 'context of the kubeconfig (else its current one)')
    .option('-n, --namespace <name>', 'look at the pods of this namespace alone')
    .option('--install-namespace <name>', 'namespace of the webhook, where there are several')
    .option('--release <name>', 'Helm release of the webhook, where there are several')
    .option(
      '--probe <namespace/account>',
      'start a pod that logs in to Vault, and delete it',
      account,
    )
    .option(
      '--setting <name=value>',
      'annotation of that pod, e.g. role=web; repeatable',
      setting,
      {},
    )
    .addOption(new Option('-o, --output <format>').choices(['text', 'json']).default('text'))
    .action(async (options: CheckCommandOptions) => {
      const { check } = await import('./check.ts');
      done(await check(io, options, signal));
    });
}

function account(text: string): string {
  if (/^[-a-z0-9]{1,63}(\/[-.a-z0-9]{1,253})?$/.test(text)) return text;
  throw new InvalidArgumentError('It must be NAMESPACE or NAMESPACE/SERVICEACCOUNT.');
}

function setting(
  text: string,
  others: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const [, name, value] = /^([^=\s/]+)=(.*)$/s.exec(text) ?? [];
  if (name !== undefined && value !== undefined) return { ...others, [name]: value };
  throw new InvalidArgumentError('It must be NAME=VALUE, the name without prefix.');
}

function kubeVersion(text: string): string {
  if (/^v?\d+\.\d+([.+-]|$)/.test(text)) return text;
  throw new InvalidArgumentError('It must be a version such as 1.34 or v1.34.2.');
}

function csiMode(text: string): string {
  if (text === 'csi') return text;
  throw new InvalidArgumentError(
    "It must be csi; other modes are the pod's to say, by its annotation.",
  );
}

function port(text: string): string {
  if (/^\d{1,5}$/.test(text) && Number(text) < 65_536) return text;
  throw new InvalidArgumentError('It must be a port, 0 to 65535.');
}

/** Standard input can be read once. */
function checkStandardInput(paths: readonly (string | undefined)[]): void {
  if (paths.filter((path) => path === '-').length > 1) {
    throw usage('only one input can be -, standard input');
  }
}

/** The error of a command line that makes no sense. */
export function usage(message: string): VouchsafeError {
  return new VouchsafeError('ERR_USAGE', message);
}

/** Places without the text of the error, which may hold what must not be printed. */
function stackFrames(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n');
}
