export { Agent, type AgentParts } from './agent.ts';
export { needsX509 } from './follow-x509.ts';
export type {
  FilesPort,
  IdentityPort,
  JwtSvid,
  NotifierPort,
  TemplatePort,
  TokenPort,
  ValuesRoom,
  ValuesSize,
  VaultPort,
  WriterPort,
  X509Files,
} from './ports.ts';
export { serveAgent, type ListenerParts } from './listener.ts';
export { savedBytes, StateFile } from './state-file.ts';
export { createStatusRecorder, type AgentPhase, type AgentStatus } from './status.ts';
