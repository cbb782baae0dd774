export { buildAgent, type BuiltAgent, type Surroundings } from './build-agent.ts';
export { runAgent, type RunAgentOptions } from './run-agent.ts';
