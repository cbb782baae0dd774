export { AgentMemory } from './agent-memory.ts';
export { buildAgent, type BuiltAgent, type AgentDependencies } from './build-agent.ts';
export { LOCAL_TEMPLATES } from './local-templates.ts';
export { runWithBackground } from './run-with-background.ts';
export { createSharedConnections, type SharedConnections } from './shared-connections.ts';
export { runAgent, type RunAgentOptions } from './run-agent.ts';
