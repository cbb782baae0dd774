export {
  presentsX509,
  type AgentConfig,
  type AuthConfig,
  type FileConfig,
  type FileSource,
  type LoginConfig,
  type VaultConfig,
} from './agent-config.ts';
export {
  AGENT_API_VERSION,
  AGENT_CONFIG_SCHEMA,
  AGENT_KIND,
  MAX_FILES,
  MAX_LOGINS,
  type RawAgentConfig,
  type RawEnv,
  type RawFile,
  type RawX509Files,
} from './agent-document.ts';
export { agentEnvironment, vaultVariable, type AgentEnvironment } from './agent-environment.ts';
export { MAX_VARIABLES } from './env-document.ts';
export { parseAgentConfig, parseAgentConfigText } from './parse-agent-config.ts';
