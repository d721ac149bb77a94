import { type Running, type Start } from '@mecai/runtime';
export declare function startAgent({ log, config: file, environment, fail }: Start): Promise<Running>;
