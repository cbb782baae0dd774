/**
 * The environment variables of the AgentConfig document: their shape, and the rules within one variable.
 */
import { ENV_ON_CHANGE, grammar, shape } from '../schema/index.ts';
import { DEFAULTS as defaults } from '../schema/index.ts';
import { file, MAX_TEMPLATE_CHARS } from './file-document.ts';

/** Maximum number of variables of one document: together they have to fit into the environment of a process. */
export const MAX_VARIABLES = 64;
/** A pod has at most a few dozen containers. */
const MAX_CONTAINERS = 256;

/** One environment variable. */
const variableEntry = shape.object(
  {
    name: shape.required(shape.parsed(grammar.variableName, 'Name of the variable, unique.')),
    secret: shape.parsed(grammar.secretKeyRef, 'Vault path with #key; `\\#` in the path is a `#`.'),
    template: shape.parsed(grammar.longText('a template', MAX_TEMPLATE_CHARS), 'Handlebars text.'),
    optional: shape.flag(
      'Whether the secret, or its #key, may be absent. The variable is left out while it is. Default: false.',
    ),
  },
  'One environment variable.',
  ({ secret, template, optional }, place) => {
    if (secret === undefined && template === undefined) {
      place.problem('has no content: set secret or template');
    }
    if (secret !== undefined && template !== undefined) {
      place.at('template').problem('conflicts with secret: set only one of them');
    }
    if (optional === true && secret === undefined) {
      place.at('optional').problem('requires secret; within a template use optionalSecret');
    }
  },
);

/** The variables, and what happens when they change. */
export const envShape = shape.object(
  {
    directory: shape.withDefault(
      shape.parsed(file, 'Directory of the files from which the kubelet reads the variables.'),
      defaults.ENV_DIRECTORY,
      defaults.ENV_DIRECTORY,
    ),
    variables: shape.withDefault(
      shape.list(variableEntry, MAX_VARIABLES, 'The variables.'),
      [],
      [],
    ),
    onChange: shape.parsed(
      grammar.choice(ENV_ON_CHANGE),
      'Whether the containers restart when a variable changes. Default: `restart` for values that end, `none` for others.',
    ),
    containers: shape.withDefault(
      shape.list(
        shape.parsed(grammar.text('the name of a container', 63), 'one container'),
        MAX_CONTAINERS,
        'Containers with these variables whose processes the agent can see and signal. Default: none, so that nothing restarts.',
      ),
      [],
      [],
    ),
  },
  'Environment variables, in files that the kubelet reads.',
);
