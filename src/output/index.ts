export { createFileWriter, type FileWriter } from './file-writer.ts';
