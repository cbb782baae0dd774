/**
 * One delivered file of the AgentConfig document: its shape, and the rules within it.
 */
import { formatDuration } from '../../core/index.ts';
import { FORMATS, grammar, shape, type NotifyAction, type Place } from '../schema/index.ts';

/** Longest template in a document. */
export const MAX_TEMPLATE_CHARS = 512 * 1024;

/** The path of a file. */
export const file = grammar.text('the path of a file', 4096);

/** The name of a login: a connection and a role, as admission writes it. */
export const loginName = grammar.text('the name of a login', 1024);

/** What to do when the content of a file changes. */
export function actions(
  maxItems: number,
): shape.Defaulted<readonly NotifyAction[], readonly string[]> {
  const one = shape.parsed(grammar.notifyAction, 'one action');
  return shape.withDefault(
    shape.list(one, maxItems, 'What to do when the content changes.'),
    [],
    [],
  );
}

/** A duration with a default. */
export function duration(
  meaning: string,
  defaultMs: number,
  leastMs?: number,
): shape.Defaulted<number, string> {
  const read = shape.parsed(grammar.duration(leastMs), meaning);
  return shape.withDefault(read, defaultMs, formatDuration(defaultMs));
}

const SOURCES = ['template', 'templateFile', 'format', 'jwtSvid'] as const;

/** One delivered file. */
export const fileEntry = shape.object(
  {
    name: shape.required(shape.parsed(grammar.fileName, 'Logical name, unique.')),
    path: shape.parsed(grammar.outputPath, 'Path below the output directory. Default: the name.'),
    mode: shape.parsed(grammar.fileMode, 'Permission bits in octal.'),
    secret: shape.parsed(
      grammar.secretRef,
      'Vault path, optionally with #key; `\\#` in the path is a `#`.',
    ),
    optional: shape.flag(
      'Whether the secret may be absent. There is no file while it, or its #key, is. Default: false.',
    ),
    login: shape.parsed(
      loginName,
      'Login, of `logins`, that requests what the file needs from Vault. Default: `auth`.',
    ),
    format: shape.parsed(grammar.choice(FORMATS), 'A shipped template.'),
    template: shape.parsed(grammar.longText('a template', MAX_TEMPLATE_CHARS), 'Handlebars text.'),
    templateFile: shape.parsed(file, 'File with Handlebars text.'),
    jwtSvid: shape.list(
      shape.parsed(grammar.text('an audience'), 'one audience'),
      grammar.MAX_AUDIENCES,
      'Delivers a JWT-SVID with these audiences.',
    ),
    refresh: shape.parsed(
      grammar.duration(1000),
      'How often a value without a lease is read again, and a write repeated. Default: `refresh` of the document, at which no write is repeated.',
    ),
    onChange: actions(grammar.MAX_ACTIONS),
  },
  'One delivered file.',
  (value, place) => {
    const sources = SOURCES.filter((name) => value[name] !== undefined);
    checkConflict(sources, place);
    if (sources.length === 0 && value.secret === undefined) {
      place.problem('has no content: set secret, template, templateFile or jwtSvid');
    }
    if (value.secret === undefined) checkWithoutSecret(value, place);
    if (value.jwtSvid !== undefined && value.secret !== undefined) {
      place.at('secret').problem('conflicts with jwtSvid: set only one of the two');
    }
    if (value.jwtSvid !== undefined && value.login !== undefined) {
      place.at('login').problem('conflicts with jwtSvid, which needs no login');
    }
    if (value.jwtSvid?.length === 0) place.at('jwtSvid').problem('requires at least one audience');
  },
);

function checkConflict([first = '', ...others]: readonly string[], place: Place): void {
  if (others.length === 0) return;
  place.at(others.join(' and ')).problem(`conflicts with ${first}: set only one of them`);
}

function checkWithoutSecret(
  value: { readonly format?: unknown; readonly optional?: boolean | undefined },
  place: Place,
): void {
  if (value.format !== undefined) place.at('format').problem('requires secret');
  if (value.optional === true) {
    place.at('optional').problem('requires secret; within a template use optionalSecret');
  }
}
