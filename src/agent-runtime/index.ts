export {
  buildAgent,
  type BuiltAgent,
  type AgentDependencies as Surroundings,
} from './build-agent.ts';
export { LOCAL_TEMPLATES } from './local-templates.ts';
export { runWithBackground as runBeside } from './run-beside.ts';
export { createShared, type Shared } from './shared.ts';
export { runAgent, type RunAgentOptions } from './run-agent.ts';
