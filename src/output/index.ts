export { createEnvWriter } from './env-writer.ts';
export { createFileWriter, type FileWriter } from './file-writer.ts';
