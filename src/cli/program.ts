/**
 * The command line: from arguments to an exit code. A command's code is loaded when it is called.
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

/** The parsed options of all commands. */
interface Options {
  readonly file?: readonly string[];
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
  args: readonly string[],
  rawIo: Io,
  signal: AbortSignal,
): Promise<number> {
  const io = escapeOutput(rawIo);
  let exitCode: number = EXIT.ok;
  const program = createProgram(io, signal, (code) => (exitCode = code));
  try {
    await program.parseAsync([...args], { from: 'user' });
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

/** Input may come from others: no command prints their terminal escape sequences. Bytes stay as they are. */
function escapeOutput(io: Io): Io {
  return {
    ...io,
    out: (data) => io.out(typeof data === 'string' ? printableText(data) : data),
    printError: (line) => io.printError(printableText(line)),
  };
}

function createProgram(io: Io, signal: AbortSignal, done: (code: number) => void): Command {
  const program = new Command('vouchsafe')
    .description('Vault secrets as files in Kubernetes pods, authenticated by SPIFFE identity')
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
    .option('-c, --config <file>', 'AgentConfig, YAML or JSON (default: VOUCHSAFE_CONFIG)')
    .option('--once', 'write the files once and exit');
  return program;
}

const MANIFEST = 'manifest, or directory of them; - reads standard input; repeatable';

function withManifest(command: Command, file = MANIFEST): Command {
  return command
    .option('-f, --file <file>', file, repeated)
    .option('--values <file>', 'Helm values of the installation')
    .option('--kube-version <version>', 'Kubernetes version of the cluster, e.g. 1.34', kubeVersion)
    .option('-n, --namespace <name>', 'namespace of objects that do not set one', 'default');
}

function addInject(program: Command, io: Io, done: (code: number) => void): void {
  withManifest(program.command('inject'))
    .description('print the manifest as the webhook would patch it; warnings go to standard error')
    .option('--review', 'answer an AdmissionReview (JSON) from standard input')
    .action(async (options: Options) => {
      checkStandardInput([...(options.file ?? ['-']), options.values]);
      const { injectManifests, reviewInput } = await import('./inject.ts');
      done(options.review ? await reviewInput(io, options) : await injectManifests(io, options));
    });
}

function addExplain(program: Command, io: Io, done: (code: number) => void): void {
  withManifest(program.command('explain'))
    .description('show what would be injected and why, with the source of every setting')
    .action(async (options: Options) => {
      checkStandardInput([...(options.file ?? ['-']), options.values]);
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
  withManifest(program.command('render'), 'template; - reads standard input')
    .description('render a template offline, or the files of a pod with a dev or a real Vault')
    .option('--data <file>', 'values for the template, YAML or JSON')
    .option('--pod <file>', 'manifest of a pod; prints its files with masked values')
    .option('--show-secrets', 'print values unmasked')
    .action(async (options: Options) => {
      const [file, ...others] = options.file ?? [];
      if ((file === undefined) === (options.pod === undefined) || others.length > 0) {
        throw usage('render requires either -f TEMPLATE [--data FILE] or --pod MANIFEST');
      }
      checkStandardInput([file, options.data, options.pod, options.values]);
      if (options.pod !== undefined) {
        const { renderPod } = await import('./render-pod.ts');
        done(await renderPod(io, { ...options, pod: options.pod }, signal));
        return;
      }
      const { renderOffline } = await import('./render-offline.ts');
      done(await renderOffline(io, { file: file ?? '-', data: options.data }));
    });
}

function addDev(program: Command, io: Io, signal: AbortSignal, done: (code: number) => void): void {
  withManifest(program.command('dev'))
    .description('show identity, login, files and rotation on this machine, without a cluster')
    .option('--mode <mode>', 'csi: show the CSI driver of a node instead; run as root', csiMode)
    .option('--identity <kind>', 'service-account (default), broker or delegated, in mode csi')
    .option('--once', 'exit after the first refresh')
    .option('--out <dir>', 'keep the rendered volume in this directory')
    .option('--oidc-port <port>', 'port for the keys of the embedded identity provider', port)
    .option('--show-secrets', 'print values unmasked')
    .action(async (options: Options) => {
      checkStandardInput([...(options.file ?? []), options.values]);
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
    .option('--kubeconfig <file>', 'kubeconfig (default: KUBECONFIG, ~/.kube/config)')
    .option('--context <name>', 'context of the kubeconfig (default: the current context)')
    .option('-n, --namespace <name>', 'check only pods in this namespace')
    .option('--install-namespace <name>', 'namespace of the webhook, if there are several')
    .option('--release <name>', 'Helm release of the webhook, if there are several')
    .option(
      '--probe <namespace/account>',
      'start a pod that logs in to Vault, then delete it',
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
  throw new InvalidArgumentError('It must be NAME=VALUE, with the name without its prefix.');
}

function repeated(text: string, others: readonly string[] = []): readonly string[] {
  return [...others, text];
}

function kubeVersion(text: string): string {
  if (/^v?\d+\.\d+([.+-]|$)/.test(text)) return text;
  throw new InvalidArgumentError('It must be a version such as 1.34 or v1.34.2.');
}

function csiMode(text: string): string {
  if (text === 'csi') return text;
  throw new InvalidArgumentError('It must be csi; the pod sets other modes by its annotation.');
}

function port(text: string): string {
  if (/^\d{1,5}$/.test(text) && Number(text) < 65_536) return text;
  throw new InvalidArgumentError('It must be a port, 0 to 65535.');
}

/** Standard input can be read only once. */
function checkStandardInput(paths: readonly (string | undefined)[]): void {
  if (paths.filter((path) => path === '-').length > 1) {
    throw usage('only one input can be standard input (-)');
  }
}

/** The error for an invalid command line. */
function usage(message: string): VouchsafeError {
  return new VouchsafeError('ERR_USAGE', message);
}

/** The stack without the error's message, which may hold a secret. */
function stackFrames(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n');
}
